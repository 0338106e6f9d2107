#include "core/mem.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *have(void *p)
{
    if (!p) {
        fputs("sluice: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *mem_alloc(size_t n)
{
    return have(calloc(1, n ? n : 1));
}

void *mem_grow(void *p, size_t n)
{
    return have(realloc(p, n ? n : 1));
}

char *mem_dup_span(struct span s)
{
    char *p = mem_alloc(s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

char *mem_dup(const char *z)
{
    return z ? mem_dup_span(span_of(z)) : NULL;
}

#define BLOCK_BYTES 16384

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) char bytes[];
};
struct arena {
    struct block *first;
};

struct arena *arena_new(void)
{
    return mem_alloc(sizeof(struct arena));
}

void arena_free(struct arena **a)
{
    if (!*a)
        return;
    for (struct block *b = (*a)->first; b;) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
    free(*a);
    *a = NULL;
}

/* A new block; behind the first when it is for one large thing, so that the first stays in use. */
static struct block *add_block(struct arena *a, size_t size)
{
    struct block *b = mem_alloc(sizeof *b + size);
    struct block **at = a->first && size > BLOCK_BYTES ? &a->first->next : &a->first;
    b->size = size;
    b->next = *at;
    *at = b;
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > PTRDIFF_MAX / 2)
        n = PTRDIFF_MAX / 2; /* nobody has that much: ends in mem_alloc */
    size_t need = (n + 15) & ~(size_t)15;
    struct block *b = a->first;
    if (!b || b->size - b->used < need)
        b = add_block(a, need > BLOCK_BYTES ? need : BLOCK_BYTES);
    void *p = b->bytes + b->used;
    b->used += need;
    return p;
}

char *arena_dup(struct arena *a, struct span s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}
