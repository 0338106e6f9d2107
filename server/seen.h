/* seen: which deliveries are already durable, as a bounded set that forgets. Private to server/.
 *
 * Two generations of open-addressed tables: when the younger is full the older one goes. Each mark has a time until which it
 * counts, and the sequence of its entry. Forgetting costs nothing but a second copy of an entry, which the merge takes as the
 * same.
 * Threads: any. Life: seen_new -> … -> seen_free. */
#pragma once
#include "core/codec.h"
#include <stdbool.h>
#include <stdint.h>

#define SEEN_GENERATION 65536 /* marks of one generation */

struct seen;
struct seen *seen_new(void);
void seen_free(struct seen **s);
void seen_add(struct seen *s, struct hash128 key, uint64_t until_us, uint64_t seq);
bool seen_has(struct seen *s, struct hash128 key, uint64_t now_us, uint64_t *ret_seq);
