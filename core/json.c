/* Reading proven text: values are skipped by looking at quotes and brackets alone. */
#include "core/json_next.h"

struct json_iter json_iter(struct json v)
{
    if (v.type != JSON_OBJECT && v.type != JSON_ARRAY)
        return (struct json_iter){NULL, NULL, false};
    return (struct json_iter){v.raw.p + 1, v.raw.p + v.raw.n - 1, v.type == JSON_OBJECT};
}

bool json_next(struct json_iter *it, struct span *key, struct json *value)
{
    struct known_containers nothing = {0};
    return next_value(it, key, value, &nothing);
}

struct json json_get(struct json obj, struct span name)
{
    struct json found = {0}, value;
    struct span key;
    if (obj.type != JSON_OBJECT)
        return found;
    struct json_iter it = json_iter(obj);
    while (json_next(&it, &key, &value))
        if (json_inner_is(key, name))
            found = value;
    return found;
}

#define MEMO_FROM 256 /* bytes: below, a walk is as quick */

void json_memo_clear(struct json_memo *m)
{
    m->n_containers = 0;
    for (unsigned i = 0; i < JSON_MEMO_OBJECTS; i++)
        m->objects[i].raw.p = NULL;
}

/* What is known of the containers in obj. */
static struct known_containers known_in(const struct json_memo *m, struct json obj)
{
    uint32_t low = 0, n = m->n_containers;
    uintptr_t offset = (uintptr_t)obj.raw.p - (uintptr_t)m->text; /* far beyond the text, where obj is not in it */
    while (n > 1) {
        uint32_t half = n / 2;
        low += m->containers[low + half].from <= offset ? half : 0;
        n -= half;
    }
    if (!n || m->containers[low].from != offset)
        return (struct known_containers){0};
    return (struct known_containers){m->text, m->containers, low + 1};
}

/* NULL: it has too many members. */
static const struct json_memo_object *memo_of(struct json_memo *m, struct json obj)
{
    for (unsigned i = 0; i < JSON_MEMO_OBJECTS; i++)
        if (m->objects[i].raw.p == obj.raw.p && m->objects[i].raw.n == obj.raw.n)
            return &m->objects[i];
    struct json_memo_object *o = &m->objects[m->next++ % JSON_MEMO_OBJECTS];
    struct known_containers known = known_in(m, obj);
    o->raw.p = NULL;
    if (!JSON_LOOP(json_list)(obj, &known, o))
        return NULL;
    o->raw = obj.raw;
    return o;
}

const struct json_memo_object *json_members(struct json_memo *m, struct json obj)
{
    return m && obj.type == JSON_OBJECT && obj.raw.n >= MEMO_FROM ? memo_of(m, obj) : NULL;
}

struct json json_get_memo(struct json_memo *m, struct json obj, struct span name)
{
    const struct json_memo_object *o = json_members(m, obj);
    if (!o)
        return json_get(obj, name);
    for (size_t i = o->n; i-- > 0;) /* of doubled keys the last */
        if (json_inner_is(o->members[i].key, name))
            return o->members[i].value;
    return (struct json){0};
}

struct json json_at(struct json array, size_t index)
{
    struct json value = {0};
    if (array.type != JSON_ARRAY)
        return value;
    struct json_iter it = json_iter(array);
    for (size_t i = 0; json_next(&it, NULL, &value); i++)
        if (i == index)
            return value;
    return (struct json){0};
}

size_t json_count(struct json v)
{
    struct json_iter it = json_iter(v);
    struct json value;
    size_t n = 0;
    while (json_next(&it, NULL, &value))
        n++;
    return n;
}
