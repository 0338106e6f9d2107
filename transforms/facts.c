#include "core/codec.h"
#include "transforms/instant.h"
#include "transforms/internal.h"

static bool rendered(struct transform *t, const struct template *template, struct buf *out)
{
    struct err ignored;
    buf_clear(out);
    if (template->n_parts && template_render(template, &t->scope, out, &ignored) && out->n)
        return true;
    buf_clear(out);
    return false;
}

static void text_at(struct transform *t, bool has, const struct path *path, struct buf *out)
{
    buf_clear(out);
    if (has && !path_text(path, &t->scope, out))
        buf_clear(out);
}

static void read_id(struct transform *t, struct span raw)
{
    const struct event_rule *rule = &t->manifest->event;
    t->facts.has_id = !rule->id_is_body_hash && rendered(t, &rule->id, &t->facts.id);
    if (t->facts.has_id)
        return;
    struct hash128 h = hash128(raw);
    buf_clear(&t->facts.id);
    buf_addf(&t->facts.id, "%016llx%016llx", (unsigned long long)h.hi, (unsigned long long)h.lo);
}

static void read_time(struct transform *t, bool *ret_bad)
{
    static const char *const units[] = {"an ISO 8601 time", "a time in seconds", "a time in milliseconds",
                                        "an ISO 8601 time"};
    const struct event_rule *rule = &t->manifest->event;
    t->facts.time_us = 0;
    text_at(t, rule->has_time, &rule->time, &t->eval);
    if (!t->eval.n || instant_parse(buf_span(&t->eval), rule->time_unit, &t->facts.time_us))
        return;
    size_t n = t->eval.n > 60 ? 60 : t->eval.n;
    buf_clear(&t->reason);
    buf_addf(&t->reason, "%s is '%.*s', not %s", rule->time.text, (int)n, t->eval.p, units[rule->time_unit]);
    *ret_bad = true;
}

uint64_t facts_time(struct transform *t)
{
    const struct event_rule *rule = &t->manifest->event;
    uint64_t us, received = t->entry->received_us;
    text_at(t, rule->has_time, &rule->time, &t->eval);
    bool known = t->eval.n && instant_parse(buf_span(&t->eval), rule->time_unit, &us);
    return known && clamp_ahead(us, received) == us ? us : 0;
}

void facts_read(struct transform *t, struct span raw, bool *ret_bad)
{
    const struct event_rule *rule = &t->manifest->event;
    struct facts *f = &t->facts;
    read_id(t, raw);
    rendered(t, &rule->type, &f->type);
    text_at(t, rule->has_account, &rule->account, &f->account);
    text_at(t, rule->has_kind, &rule->kind, &f->kind);
    text_at(t, rule->has_api_version, &rule->api_version, &f->api_version);
    read_time(t, ret_bad);
}

void must_words(struct transform *t, const struct condition *c)
{
    struct buf *out = &t->reason;
    buf_clear(out);
    buf_clear(&t->eval);
    buf_addz(out, c->path.text);
    if (c->kind == COND_PRESENT || !path_text(&c->path, &t->scope, &t->eval)) {
        buf_addz(out, " is absent");
    } else {
        size_t n = t->eval.n > 60 ? 60 : t->eval.n;
        buf_addf(out, " %.*s is not ", (int)n, t->eval.p);
    }
    if (c->kind == COND_ABSENT) {
        buf_addz(out, "absent, as it must be");
    } else if (c->kind == COND_PATH) {
        buf_clear(&t->eval);
        path_text(&c->other, &t->scope, &t->eval);
        size_t n = t->eval.n > 60 ? 60 : t->eval.n;
        buf_addf(out, "%sthe configured %s %.*s", out->p && out->p[out->n - 1] == ' ' ? "" : ", must be ",
                 c->other.text, (int)n, t->eval.p ? t->eval.p : "");
    } else if (c->kind == COND_VALUES) {
        buf_addz(out, out->p && out->p[out->n - 1] == ' ' ? "" : ", must be ");
        for (size_t i = 0; i < c->n_values; i++) {
            buf_addz(out, i ? " or " : "");
            buf_adds(out, c->values[i]);
        }
    }
}

void transform_facts(struct transform *t, const struct http_message *message, struct event_facts *ret)
{
    const struct manifest *m = t->manifest;
    struct json body = {0}, found;
    struct err ignored;
    struct walk w;
    bool bad = false;
    json_memo_clear(&t->memo);
    t->scope = (struct scope){.message = message, .config = t->config, .n_config = t->n_config, .memo = &t->memo};
    if (!m->body_is_form && json_parse_memo(&t->memo, message->body, &body, &ignored))
        t->scope.body = t->scope.event = body;
    if (m->event.has_each) {
        struct json first = {0};
        if (walk_begin(&w, &m->event.each, &t->scope, &t->eval, &found))
            walk_next(&w, &first);
        t->scope.event = first;
    }
    facts_read(t, message->body, &bad);
    *ret = (struct event_facts){
        .id = t->facts.has_id ? buf_span(&t->facts.id) : (struct span){NULL, 0},
        .type = buf_span(&t->facts.type),
        .account = buf_span(&t->facts.account),
    };
}
