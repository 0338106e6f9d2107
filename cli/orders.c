#include "cli/orders.h"
#include "merge/merge.h"

#define CLEAR_WAIT_US (UINT64_C(30) * 1000000)
#define LOOK_US 50000

static bool is_field(const char *text)
{
    size_t n = strlen(text);
    bool ok = n > 0 && n < CONTROL_FIELD_MAX;
    for (size_t i = 0; ok && i < n; i++)
        ok = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') || (text[i] >= '0' && text[i] <= '9') ||
             text[i] == '_' || text[i] == '-' || text[i] == '.';
    return ok;
}

bool orders_can_pull(const struct source_config *s, const struct table_rule *t)
{
    return s->manifest->api.present && (t == &manifest_events_table ? s->manifest->feed.present : t->has_path);
}

bool orders_check(const struct source_config *s, const struct table_rule *t, const struct control_order *o, struct err *err)
{
    bool filters = orders_can_pull(s, t) && t != &manifest_events_table && t->since.kind != SINCE_NONE;
    if (o->order == ORDER_PULL && !orders_can_pull(s, t))
        return err_set(err, ERR_INPUT, "table %s of %s has no list API: nothing can be pulled", t->name, s->name);
    if (o->order != ORDER_SET)
        return true;
    if (!o->mode && !o->field)
        return err_set(err, ERR_INPUT, "say what to change: mode or incremental");
    if (o->mode && *o->mode && strcmp(o->mode, "full") != 0 && strcmp(o->mode, "incremental") != 0)
        return err_set(err, ERR_INPUT, "mode is full, incremental, or empty for the manifest's");
    if (!filters && ((o->mode && strcmp(o->mode, "incremental") == 0) || (o->field && *o->field)))
        return err_set(err, ERR_INPUT, "the list API of %s of %s has no incremental filter: every pull is a full one", t->name,
                       s->name);
    if (o->field && *o->field && !is_field(o->field))
        return err_set(err, ERR_INPUT, "incremental is the name of a field: letters, digits, _ - and . ");
    return true;
}

bool orders_give(struct instance *in, const struct source_config *s, const struct table_rule *t, struct control_order *o,
                 struct table_control *ret, struct err *err)
{
    struct state *state;
    o->source = span_of(s->name);
    o->table = span_of(t->name);
    o->now_us = in->io->world->now_us(in->io);
    if (!orders_check(s, t, o, err) || !instance_state(in, &state, err))
        return false;
    bool pulls = o->order == ORDER_RESET && !orders_can_pull(s, t);
    if (!controls_order(state, o, ret, err))
        return false;
    if (pulls && !controls_pulled(state, o->source, o->table, ret->pull_us, err)) /* nothing brings it back but events */
        return false;
    if (in->live)
        merger_wake(in->live->merger);
    return true;
}

static bool clear_here(struct instance *in, const struct source_config *s, const struct table_rule *t, struct err *err)
{
    struct store *store;
    struct merger *merger = NULL;
    struct merge_counts counts = {0};
    struct merger_opts o = {.config = in->config, .io = in->io, .data_dir = in->config->data_dir};
    if (!instance_store(in, &store, err))
        return false;
    o.store = store;
    bool ok = merger_new(&o, &merger, err) && merger_pass(merger, span_of(s->name), span_of(t->name), &counts, err);
    merger_free(&merger);
    return ok;
}

bool orders_settle(struct instance *in, const struct source_config *s, const struct table_rule *t, bool *ret_done,
                   struct err *err)
{
    struct state *state;
    struct table_control c;
    *ret_done = false;
    if (!instance_state(in, &state, err) || (!in->live && !clear_here(in, s, t, err)))
        return false;
    uint64_t until = in->io->world->monotonic_us(in->io) + CLEAR_WAIT_US;
    for (;;) {
        if (!controls_read(state, span_of(s->name), span_of(t->name), &c, err))
            return false;
        *ret_done = !c.clear;
        if (*ret_done || in->io->world->monotonic_us(in->io) > until)
            return true;
        in->io->world->sleep_us(in->io, LOOK_US);
    }
}
