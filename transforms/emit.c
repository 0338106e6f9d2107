#include "core/codec.h"
#include "core/clock.h"
#include "transforms/internal.h"

const char *json_kind_words(struct json v)
{
    switch (v.type) {
    case JSON_NONE:
        return "absent";
    case JSON_NULL:
        return "null";
    case JSON_ARRAY:
        return "a list";
    case JSON_OBJECT:
        return "an object";
    case JSON_STRING:
        return "text";
    case JSON_NUMBER:
        return "a number";
    default:
        return "true or false";
    }
}

struct json eval_json(struct transform *t, const struct path *path, struct buf *out)
{
    if (path->root == ROOT_FORM && path->n_steps == 0 && path->name.n == 0)
        return t->form;
    buf_clear(&t->eval);
    struct value v = path_eval(path, &t->scope, &t->eval);
    if (v.kind == VALUE_JSON)
        return v.json;
    if (v.kind == VALUE_ABSENT)
        return (struct json){0};
    buf_clear(out);
    json_write_string(out, v.text);
    return (struct json){JSON_STRING, buf_span(out)};
}

bool emit_dead(struct transform *t, struct span table, uint64_t item, struct err *err)
{
    t->result.dead++;
    return t->sink->dead(t->sink->ctx, t->entry, table, item, buf_z(&t->reason), err);
}

/* A member, of the object as received or as it was built in t->base. */
static struct json member(struct transform *t, struct json object, struct span name)
{
    return json_get_memo(object.raw.p == t->base.p ? &t->base_memo : &t->memo, object, name);
}

static struct json dotted(struct transform *t, struct json object, const char *name)
{
    struct span rest = span_of(name);
    struct json v = member(t, object, rest);
    if (v.type != JSON_NONE || !memchr(rest.p, '.', rest.n))
        return v;
    v = object;
    while (rest.p) {
        struct span step = span_cut(rest, '.', &rest);
        v = json_get(v, step);
    }
    return v;
}

/* The fields of the row as it is after the manifest's rules; where those removed one, of the object as received. */
static struct json field_of(struct transform *t, struct json base, const char *name)
{
    struct json v = dotted(t, base, name);
    return v.type != JSON_NONE ? v : dotted(t, t->scope.object, name);
}

static struct json mapped_key(struct transform *t, const struct delete_rule *d, const char *column, struct json base)
{
    for (size_t i = 0; d && i < d->n_key; i++) {
        if (strcmp(d->key[i].column, column) == 0)
            return eval_json(t, &d->key[i].path, &t->hash);
    }
    return member(t, base, span_of(column));
}

/* t->key = {"a":…,"b":…}. Values stay as received, but text without needless escapes, so that equal keys have equal
 * bytes. false: a column has no value; words in t->reason. */
static bool make_key(struct transform *t, const struct table_rule *table, const struct delete_rule *d, struct json base)
{
    buf_clear(&t->key);
    buf_addc(&t->key, '{');
    for (size_t i = 0; i < table->n_key; i++) {
        const char *column = table->key[i];
        struct json v = mapped_key(t, d, column, base);
        if (v.type == JSON_NONE || v.type == JSON_NULL || v.type == JSON_ARRAY || v.type == JSON_OBJECT) {
            buf_clear(&t->reason);
            buf_addf(&t->reason, "key column '%s' of table '%s' is %s, must be a value", column, table->name,
                     json_kind_words(v));
            return false;
        }
        if (i)
            buf_addc(&t->key, ',');
        json_write_string(&t->key, span_of(column));
        buf_addc(&t->key, ':');
        if (v.type == JSON_STRING && memchr(v.raw.p, '\\', v.raw.n)) {
            buf_clear(&t->eval);
            json_text(v, &t->eval);
            json_write_string(&t->key, buf_span(&t->eval));
        } else {
            buf_adds(&t->key, v.raw);
        }
    }
    buf_addc(&t->key, '}');
    return true;
}

static unsigned rank_of(struct transform *t, const struct table_rule *table, struct json base)
{
    if (!table->rank_field || !table->rank)
        return 0;
    buf_clear(&t->eval);
    if (!json_text(field_of(t, base, table->rank_field), &t->eval))
        return 0;
    for (unsigned i = 0; table->rank[i]; i++) {
        if (span_eqz(buf_span(&t->eval), table->rank[i]))
            return i + 1;
    }
    return 0;
}

#define RECORDS_PLACES UINT64_C(999999) /* of a page; with four digits for its record's objects the ten digits of `item` */
#define OBJECT_PLACES UINT64_C(10000)

/* What happened later must sort higher, also when it was read first. */
static void reverse(const struct transform *t, struct version_parts *p)
{
    uint64_t record = t->record < RECORDS_PLACES ? t->record : RECORDS_PLACES;
    p->came_us = t->entry->began_us ? t->entry->began_us : p->came_us;
    p->seq = UINT64_MAX - p->seq;
    p->item = (RECORDS_PLACES - record) * OBJECT_PLACES + p->item % OBJECT_PLACES;
}

static void make_version(struct transform *t, const struct table_rule *table, struct json base, uint64_t item, bool tombstone)
{
    const struct entry *e = t->entry;
    struct version_parts p = {
        .unit = table->version_unit,
        .observed_us = t->observed_us,
        .received_us = e->received_us,
        .came_us = e->received_us,
        .page = t->page,
        .node = e->node,
        .lane = e->lane,
        .seq = e->seq,
        .item = item,
        .transform = t->ordinal,
    };
    if (t->newest_first)
        reverse(t, &p);
    buf_clear(&t->version);
    if (tombstone) {
        version_tombstone(&t->version, &p);
        return;
    }
    buf_clear(&t->fields);
    for (size_t i = 0; table->version && table->version[i]; i++) {
        struct json v = field_of(t, base, table->version[i]);
        buf_add(&t->fields, &v, sizeof(v));
        p.n_fields++;
    }
    p.fields = (const struct json *)(const void *)t->fields.p;
    p.rank = rank_of(t, table, base);
    version_upsert(&t->version, &p);
}

/* Lines hold no raw line breaks; in valid JSON those stand only where white space means nothing. */
static bool has_breaks(struct span raw)
{
    return memchr(raw.p, '\n', raw.n) || memchr(raw.p, '\r', raw.n);
}

static size_t minified_bytes(struct transform *t, struct span proven)
{
    buf_clear(&t->minified);
    json_minify(&t->minified, proven);
    return t->minified.n;
}

/* Most of an event that is one line already is looked for there, by how long what stands around it is. */
static struct span one_line(struct transform *t, struct json v)
{
    struct span event = t->scope.event.raw, line = t->line;
    uintptr_t before = (uintptr_t)v.raw.p - (uintptr_t)event.p;
    if (!has_breaks(v.raw))
        return v.raw;
    if (!line.n || before > event.n || event.n - before < v.raw.n || v.raw.n < event.n / 2) {
        (void)minified_bytes(t, v.raw);
        return buf_span(&t->minified);
    }
    size_t first = minified_bytes(t, (struct span){event.p, before});
    size_t last = minified_bytes(t, span_skip(event, before + v.raw.n));
    return (struct span){line.p + first, line.n - first - last};
}

static bool scratch_ok(const struct transform *t)
{
    return buf_ok(&t->key) && buf_ok(&t->version) && buf_ok(&t->fields) && buf_ok(&t->minified) && buf_ok(&t->out) &&
           buf_ok(&t->out2) && buf_ok(&t->eval) && buf_ok(&t->facts.id) && buf_ok(&t->hash);
}

static bool emit_row(struct transform *t, const struct table_rule *table, enum row_op op, enum shape shape, struct span row,
                     struct err *err)
{
    const struct facts *f = &t->facts;
    if (!scratch_ok(t))
        return err_set(err, ERR_NOMEM, "out of memory for a row of '%s'", table->name);
    struct row r = {
        .source = span_of(t->source->name),
        .account = buf_span(&f->account),
        .table = span_of(table->name),
        .key = buf_span(&t->key),
        .version = buf_span(&t->version),
        .op = op,
        .origin = t->backfill ? ORIGIN_BACKFILL : ORIGIN_WEBHOOK,
        .shape = shape,
        .api_version = buf_span(&f->api_version),
        .event_id = t->page ? (struct span){NULL, 0} : buf_span(&f->id),
        .event_type = t->page ? (struct span){NULL, 0} : buf_span(&f->type),
        .entry = span_of(t->entry_id),
        .received_us = t->entry->received_us,
        .observed_us = t->observed_us,
        .row = row,
    };
    t->result.rows++;
    return t->sink->emit(t->sink->ctx, &r, err);
}

static bool user_columns(struct transform *t, const struct table_plan *plan, struct json *row, struct err *err)
{
    if (!plan->config || !plan->config->n_columns)
        return true;
    struct columns_job job = {.rules = plan->config->columns, .n_rules = plan->config->n_columns};
    buf_clear(&t->out);
    if (!columns_apply(t->columns, &job, *row, &t->out, err))
        return false;
    *row = (struct json){JSON_OBJECT, buf_span(&t->out)};
    return true;
}

bool emit_upsert(struct transform *t, struct table_plan *plan, struct json base, uint64_t item, struct err *err)
{
    const struct table_rule *table = plan->rule;
    if (!make_key(t, table, NULL, base))
        return emit_dead(t, span_of(table->name), item, err);
    make_version(t, table, base, item, false);
    if (!user_columns(t, plan, &base, err))
        return false;
    return emit_row(t, table, ROW_UPSERT, table_shape(table, t->page), one_line(t, base), err);
}

bool emit_tombstone(struct transform *t, struct table_plan *plan, const struct delete_rule *d, struct json base, uint64_t item,
                    struct err *err)
{
    const struct table_rule *table = plan->rule;
    if (!make_key(t, table, d, base))
        return emit_dead(t, span_of(table->name), item, err);
    make_version(t, table, base, item, true);
    return emit_row(t, table, ROW_DELETE, SHAPE_FULL, SPAN_LIT("null"), err);
}

/* What was received; as one line where no column of it is looked at any more. */
static void add_body(struct transform *t, struct span body, bool line)
{
    struct buf *out = &t->out2;
    struct json event = t->scope.event;
    if (event.type != JSON_NONE && line && has_breaks(event.raw)) {
        size_t at = out->n;
        json_minify(out, event.raw);
        buf_reserve(out, 1); /* for the last bracket: the line must not move any more */
        t->line = span_skip(buf_span(out), at);
    } else if (event.type != JSON_NONE) {
        buf_adds(out, event.raw);
    } else if (utf8_valid(body)) {
        json_write_string(out, body);
    } else {
        buf_adds(out, SPAN_LIT("{\"base64\":\""));
        base64_encode(out, body);
        buf_adds(out, SPAN_LIT("\"}"));
    }
}

bool emit_event_row(struct transform *t, struct span body, struct err *err)
{
    char received[CLOCK_TEXT_MAX];
    const struct facts *f = &t->facts;
    bool columns = t->events.config && t->events.config->n_columns;
    uint64_t item = t->events.item++;
    clock_iso_us(t->entry->received_us, received);
    buf_clear(&t->key); /* an event always has an id */
    row_add_member(&t->key, SPAN_LIT("{\"id\":"), buf_span(&f->id));
    buf_addc(&t->key, '}');
    make_version(t, t->events.rule, (struct json){0}, item, false);
    buf_clear(&t->out2);
    row_add_member(&t->out2, SPAN_LIT("{\"id\":"), buf_span(&f->id));
    row_add_member(&t->out2, SPAN_LIT(",\"type\":"), buf_span(&f->type));
    row_add_member(&t->out2, SPAN_LIT(",\"account\":"), buf_span(&f->account));
    row_add_member(&t->out2, SPAN_LIT(",\"received_at\":"), span_of(received));
    buf_adds(&t->out2, SPAN_LIT(",\"body\":"));
    add_body(t, body, !columns);
    buf_addc(&t->out2, '}');
    struct json row = {JSON_OBJECT, buf_span(&t->out2)};
    if (!columns)
        return emit_row(t, t->events.rule, ROW_UPSERT, SHAPE_FULL, row.raw, err);
    return user_columns(t, &t->events, &row, err) &&
           emit_row(t, t->events.rule, ROW_UPSERT, SHAPE_FULL, one_line(t, row), err);
}
