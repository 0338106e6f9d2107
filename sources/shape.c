#include "sources/manifest.h"

static const char *const names[SHAPE_COUNT] = {"full", "pull", "push"};

const char *shape_name(enum shape s)
{
    return names[s];
}

bool shape_parse(struct span text, enum shape *ret)
{
    for (int i = 0; i < SHAPE_COUNT; i++) {
        if (span_eqz(text, names[i])) {
            *ret = (enum shape)i;
            return true;
        }
    }
    return false;
}

enum shape table_shape(const struct table_rule *t, bool pulled)
{
    if (pulled)
        return t->lacks_pull.kind == LACKS_NOTHING ? SHAPE_FULL : SHAPE_PULL;
    return t->lacks_push.kind == LACKS_NOTHING ? SHAPE_FULL : SHAPE_PUSH;
}

bool table_many_shapes(const struct table_rule *t)
{
    return t->lacks_pull.kind != LACKS_NOTHING || t->lacks_push.kind != LACKS_NOTHING;
}

static bool in_list(const char **list, struct span word)
{
    for (size_t i = 0; list && list[i]; i++) {
        if (span_eqz(word, list[i]))
            return true;
    }
    return false;
}

/* A column that the table names itself: in its key, among its versions, in its columns, carried. */
static bool is_named(const struct table_rule *t, struct span column)
{
    if (in_list(t->key, column) || in_list(t->version, column))
        return true;
    for (size_t i = 0; i < t->n_columns; i++) {
        const struct column_rule *c = &t->columns[i];
        if (c->action != COLUMN_DROP && span_eqz(column, c->to ? c->to : c->from))
            return true;
    }
    for (size_t i = 0; i < t->n_carry; i++) {
        if (span_eqz(column, t->carry[i].column))
            return true;
    }
    return false;
}

bool shape_carries(const struct table_rule *t, enum shape s, struct span column)
{
    if (s == SHAPE_FULL)
        return true;
    const struct lacks_rule *lacks = s == SHAPE_PULL ? &t->lacks_pull : &t->lacks_push;
    switch (lacks->kind) {
    case LACKS_LIST:
        return !in_list(lacks->columns, column);
    case LACKS_OTHERS:
        return is_named(t, column);
    default:
        return true;
    }
}
