#include "transforms/internal.h"
#include <stdio.h>

bool types_match(const struct transform *t, const char **types)
{
    struct span type = buf_span(&t->facts.type);
    for (size_t i = 0; types && types[i]; i++) {
        if (glob_match(span_of(types[i]), type))
            return true;
    }
    return false;
}

/* A page has no event type: only a rule that speaks of the record itself can mark its records as deleted. */
static bool deletes(const struct transform *t, const struct delete_rule *d)
{
    if (d->types && (t->page || !types_match(t, d->types)))
        return false;
    if (!d->types && !d->n_when)
        return false;
    return conditions_hold(d->when, d->n_when, &t->scope);
}

/* The object after the manifest's columns; as it stands where there are none. */
static bool base_of(struct transform *t, const struct table_rule *table, struct json object, struct json *ret, struct err *err)
{
    struct columns_job job = {
        .rules = table->columns,
        .n_rules = table->n_columns,
        .carry = table->carry,
        .n_carry = table->n_carry,
        .scope = &t->scope,
    };
    *ret = object;
    if (object.type != JSON_OBJECT || !columns_any(&job))
        return true;
    buf_clear(&t->base);
    json_memo_clear(&t->base_memo);
    if (!columns_apply(t->columns, &job, object, &t->base, err))
        return false;
    *ret = (struct json){JSON_OBJECT, buf_span(&t->base)};
    return true;
}

static bool delete_each(struct transform *t, struct table_plan *plan, const struct delete_rule *d, struct json base,
                        uint64_t item, struct err *err)
{
    struct walk w;
    struct json found, one;
    bool first = true, ok = true;
    if (!walk_begin(&w, &d->each, &t->scope, &t->eval, &found)) {
        buf_clear(&t->reason);
        buf_addf(&t->reason, "%s is %s, must be a list of what was deleted", d->each.text, json_kind_words(found));
        return emit_dead(t, span_of(plan->rule->name), item, err);
    }
    while (ok && walk_next(&w, &one)) {
        t->scope.item = one;
        ok = emit_tombstone(t, plan, d, base, first ? item : plan->item++, err);
        first = false;
    }
    t->scope.item = (struct json){0};
    return ok;
}

bool object_run(struct transform *t, struct table_plan *plan, bool upserts, struct json object, struct err *err)
{
    const struct table_rule *table = plan->rule;
    uint64_t item = plan->item++;
    struct json base;
    t->scope.object = t->scope.record = object;
    t->result.records++;
    for (size_t i = 0; i < table->n_deletes; i++) {
        const struct delete_rule *d = &table->deletes[i];
        if (!deletes(t, d))
            continue;
        if (!base_of(t, table, object, &base, err))
            return false;
        if (d->has_each)
            return delete_each(t, plan, d, base, item, err);
        return emit_tombstone(t, plan, d, base, item, err);
    }
    if (!upserts)
        return true;
    if (object.type != JSON_OBJECT) {
        buf_clear(&t->reason);
        buf_addf(&t->reason, "the record of table '%s' is %s, must be an object", table->name, json_kind_words(object));
        return emit_dead(t, span_of(table->name), item, err);
    }
    if (!conditions_hold(table->keep, table->n_keep, &t->scope)) {
        if (!t->why[0])
            (void)snprintf(t->why, sizeof(t->why), "table '%s' does not keep it", table->name);
        return true;
    }
    return base_of(t, table, object, &base, err) && emit_upsert(t, plan, base, item, err);
}
