/* mem: allocation that ends the process when memory is gone (configuration and manifests, which are
 * read before anything is accepted), and an arena for things that die together.
 * The request path, the journal and the merge use bounded bufs instead and report ERR_NOMEM.
 * Threads: an arena belongs to one thread at a time. */
#pragma once
#include "core/span.h"

void *mem_alloc(size_t n);             /* zeroed */
void *mem_grow(void *p, size_t n);
char *mem_dup(const char *z);          /* NULL stays NULL */
char *mem_dup_span(struct span s);     /* NUL-terminated copy */

struct arena;
struct arena *arena_new(void);
void arena_free(struct arena **a);     /* accepts NULL inside; sets NULL */
void *arena_alloc(struct arena *a, size_t n); /* zeroed, 16-byte aligned */
char *arena_dup(struct arena *a, struct span s); /* NUL-terminated copy */
