/* peers: how much each address has open. Part of http.
 *
 * A table of counters by group (core/address.h); an address with nothing open takes no place. Its hash is salted, so that nobody
 * can choose addresses that fall together.
 * Threads: any; a lock of its own, a leaf. Life: peers_new -> … -> peers_free, when all have left. */
#pragma once
#include "core/address.h"

struct peers;
/* most: of one address; 0: no limit, and then nothing is counted. places: how many addresses are expected at once. */
struct peers *peers_new(uint32_t most, size_t places, uint64_t salt);
void peers_free(struct peers **p);
bool peers_full(struct peers *p, const struct address *a); /* it has as many open as it may */
/* peers_enter always counts; peers_try only below the limit. false: not counted (no memory, or full). */
bool peers_enter(struct peers *p, const struct address *a);
bool peers_try(struct peers *p, const struct address *a);
void peers_leave(struct peers *p, const struct address *a); /* of an address that was counted */
uint32_t peers_most(const struct peers *p);
