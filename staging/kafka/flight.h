/* flight: entries on their way, in the order of their lane: which of them is wholly delivered. Private to staging/kafka.
 *
 * An entry is begun, its messages are produced, it is ended with their number; each delivery counts one. The position is behind
 * the last entry before which, itself included, every message was delivered. Ids grow for ever and name an entry's place.
 * Threads: the caller's lock. Life: a zeroed struct -> use -> flight_release. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLIGHT_MAX ((size_t)1 << 17) /* entries of a lane */

struct flight_slot {
    uint64_t next; /* the position once this entry and all before it are delivered */
    int32_t left;  /* deliveries that are missing; while it is open: less than none */
    bool open;
};
struct flight {
    struct flight_slot *slots; /* a ring of cap, a power of two */
    size_t cap;
    uint64_t head, tail; /* ids: head is the oldest, tail the next */
    uint64_t position;
};

void flight_release(struct flight *f);
bool flight_has_room(const struct flight *f);
uint64_t flight_begin(struct flight *f); /* there is room; *ret: its id */
/* It has so many messages; the lane goes on with `next`. Returns whether the position moved. */
bool flight_end(struct flight *f, uint64_t next, int32_t messages);
/* It will be begun again: its messages count for nothing, the lane goes on where it was. */
bool flight_give_up(struct flight *f, int32_t messages);
bool flight_delivered(struct flight *f, uint64_t id);
