#include "staging/kafka/flight.h"
#include "core/mem.h"
#include <stdlib.h>

#define FIRST_CAP ((size_t)256)

void flight_release(struct flight *f)
{
    free(f->slots);
    *f = (struct flight){0};
}

bool flight_has_room(const struct flight *f)
{
    return f->tail - f->head < FLIGHT_MAX;
}

static struct flight_slot *slot(const struct flight *f, uint64_t id)
{
    return &f->slots[id & (f->cap - 1)];
}

static void grow(struct flight *f)
{
    struct flight old = *f;
    f->cap = f->cap ? 2 * f->cap : FIRST_CAP;
    f->slots = mem_alloc(f->cap * sizeof *f->slots);
    for (uint64_t id = f->head; id < f->tail; id++)
        *slot(f, id) = *slot(&old, id);
    free(old.slots);
}

uint64_t flight_begin(struct flight *f)
{
    if (f->tail - f->head == f->cap)
        grow(f);
    *slot(f, f->tail) = (struct flight_slot){.open = true};
    return f->tail++;
}

static bool advance(struct flight *f)
{
    uint64_t before = f->position;
    while (f->head < f->tail) {
        const struct flight_slot *s = slot(f, f->head);
        if (s->open || s->left)
            break;
        f->position = s->next;
        f->head++;
    }
    return f->position != before;
}

static bool end(struct flight *f, uint64_t next, int32_t messages)
{
    struct flight_slot *s = slot(f, f->tail - 1);
    s->next = next;
    s->left += messages;
    s->open = false;
    return advance(f);
}

bool flight_end(struct flight *f, uint64_t next, int32_t messages)
{
    return end(f, next, messages);
}

bool flight_give_up(struct flight *f, int32_t messages)
{
    uint64_t id = f->tail - 1;
    return end(f, id > f->head ? slot(f, id - 1)->next : f->position, messages);
}

bool flight_delivered(struct flight *f, uint64_t id)
{
    slot(f, id)->left--;
    return id == f->head && advance(f);
}
