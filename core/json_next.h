/* json_next: a step from one value of a container to the next. Private to core/json*.c.
 * Threads: pure functions. */
#pragma once
#include "core/json_loops.h"
#include "core/json_scan.h"

static inline const char *skip_number(const char *p, const char *end)
{
    while (p < end && *p != ',' && *p != '}' && *p != ']' && (unsigned char)*p > ' ')
        p++;
    return p;
}

static inline const char *skip_container(const char *p, const char *end, struct known_containers *k)
{
    if (!k->list)
        return JSON_LOOP(json_skip)(p, end);
    const struct json_container *c = &k->list[k->next];
    k->next = c->after;
    return k->text + c->end;
}

/* The value that begins at p. */
static inline struct json slice(const char *p, const char *end, struct known_containers *k)
{
    switch (*p) {
    case '{':
        return (struct json){JSON_OBJECT, {p, (size_t)(skip_container(p, end, k) - p)}};
    case '[':
        return (struct json){JSON_ARRAY, {p, (size_t)(skip_container(p, end, k) - p)}};
    case '"':
        return (struct json){JSON_STRING, {p, (size_t)(scan_string(p, end) - p)}};
    case 't':
        return (struct json){JSON_TRUE, {p, 4}};
    case 'f':
        return (struct json){JSON_FALSE, {p, 5}};
    case 'n':
        return (struct json){JSON_NULL, {p, 4}};
    default:
        return (struct json){JSON_NUMBER, {p, (size_t)(skip_number(p, end) - p)}};
    }
}

/* As json_next. */
static inline bool next_value(struct json_iter *it, struct span *key, struct json *value, struct known_containers *k)
{
    const char *p = scan_space(it->p, it->end);
    if (p == it->end)
        return false;
    if (*p == ',')
        p = scan_space(p + 1, it->end);
    if (it->object) {
        const char *after = scan_string(p, it->end);
        if (key)
            *key = (struct span){p + 1, (size_t)(after - p) - 2};
        p = scan_space(after, it->end);
        p = scan_space(p + 1, it->end); /* the colon */
    }
    *value = slice(p, it->end, k);
    it->p = value->raw.p + value->raw.n;
    return true;
}
