#include "transforms/columns.h"
#include "core/codec.h"
#include <stdlib.h>

/* An object or list being written. Its active rules are a run of c->active: those whose first `step` steps led here. */
struct frame {
    struct json_iter it;
    size_t active, n_active;
    size_t step;
    bool object, in_list, first;
};
struct added { /* a column that is set: its value is a slice of the input, or of c->values when p is NULL */
    struct span name;
    const char *p;
    size_t offset, n;
};
struct columns {
    struct buf frames, active, added; /* of struct frame, size_t, struct added */
    struct buf values, text;
};

struct columns *columns_new(void)
{
    return mem_alloc(sizeof(struct columns));
}

void columns_free(struct columns **c)
{
    if (!*c)
        return;
    buf_release(&(*c)->frames);
    buf_release(&(*c)->active);
    buf_release(&(*c)->added);
    buf_release(&(*c)->values);
    buf_release(&(*c)->text);
    free(*c);
    *c = NULL;
}

static struct frame *frame_at(struct columns *c, size_t i)
{
    return (struct frame *)(void *)c->frames.p + i;
}

static size_t frame_count(const struct columns *c)
{
    return c->frames.n / sizeof(struct frame);
}

static const struct added *added_at(const struct columns *c, size_t i)
{
    return (const struct added *)(const void *)c->added.p + i;
}

/* A later setting of the same column replaces the earlier one. */
static void add_column(struct columns *c, struct added a)
{
    for (size_t i = 0; i < c->added.n / sizeof(a); i++) {
        if (span_eq(added_at(c, i)->name, a.name)) {
            memcpy(c->added.p + i * sizeof(a), &a, sizeof(a));
            return;
        }
    }
    buf_add(&c->added, &a, sizeof(a));
}

static void add_value(struct columns *c, const char *name, const struct path *path, const struct scope *scope)
{
    struct value v;
    buf_clear(&c->text);
    if (!scope)
        return;
    v = path_eval(path, scope, &c->text);
    if (v.kind == VALUE_JSON && v.json.type != JSON_NONE) {
        add_column(c, (struct added){.name = span_of(name), .p = v.json.raw.p, .n = v.json.raw.n});
    } else if (v.kind == VALUE_TEXT) {
        size_t at = c->values.n;
        json_write_string(&c->values, v.text);
        add_column(c, (struct added){.name = span_of(name), .offset = at, .n = c->values.n - at});
    }
}

static struct json member_at(struct json object, const struct span *steps, size_t n)
{
    for (size_t i = 0; i < n; i++)
        object = json_get(object, steps[i]);
    return object;
}

/* What is set is known before the object is written, so that a member of the same name can be left out. */
static void gather_added(struct columns *c, const struct columns_job *job, struct json object)
{
    buf_clear(&c->added);
    buf_clear(&c->values);
    for (size_t i = 0; i < job->n_rules; i++) {
        const struct column_rule *r = &job->rules[i];
        const char *name = r->to ? r->to : r->from;
        if (r->action == COLUMN_RENAME) {
            struct json v = member_at(object, r->steps, r->n_steps);
            if (v.type != JSON_NONE)
                add_column(c, (struct added){.name = span_of(name), .p = v.raw.p, .n = v.raw.n});
        } else if (r->action == COLUMN_FROM) {
            add_value(c, name, &r->path, job->scope);
        } else if (r->action == COLUMN_CONST) {
            add_column(c, (struct added){.name = span_of(name), .p = r->text, .n = strlen(r->text)});
        }
    }
    for (size_t i = 0; i < job->n_carry; i++)
        add_value(c, job->carry[i].column, &job->carry[i].path, job->scope);
}

static bool is_added(const struct columns *c, struct span name)
{
    for (size_t i = 0; i < c->added.n / sizeof(struct added); i++) {
        if (span_eq(added_at(c, i)->name, name))
            return true;
    }
    return false;
}

static void add_hash(struct columns *c, struct json v, struct buf *out)
{
    unsigned char digest[32];
    if (v.type == JSON_NULL) {
        buf_addz(out, "null");
        return;
    }
    buf_clear(&c->text);
    if (!json_text(v, &c->text))
        json_minify(&c->text, v.raw);
    sha256(buf_span(&c->text), digest);
    buf_addz(out, "\"sha256:");
    hex_encode(out, (struct span){(const char *)digest, sizeof(digest)});
    buf_addc(out, '"');
}

static void push_frame(struct columns *c, struct json container, size_t active, size_t step, bool in_list)
{
    struct frame f = {
        .it = json_iter(container),
        .active = active,
        .n_active = c->active.n / sizeof(size_t) - active,
        .step = step,
        .object = container.type == JSON_OBJECT,
        .in_list = in_list || container.type == JSON_ARRAY,
        .first = true,
    };
    buf_add(&c->frames, &f, sizeof(f));
}

/* Whether a rule can end here, inside this frame. */
static bool applies(const struct column_rule *r, const struct frame *f)
{
    return r->action == COLUMN_DROP || r->action == COLUMN_HASH || (r->action == COLUMN_RENAME && !f->in_list);
}

/* Gathers the rules that go on below the member `name` to the end of c->active; returns the one that ends at it, or NULL. */
static const struct column_rule *match_member(struct columns *c, const struct columns_job *job, const struct frame *f,
                                              struct span name)
{
    const struct column_rule *end = NULL;
    for (size_t k = 0; k < f->n_active; k++) {
        size_t i;
        memcpy(&i, c->active.p + (f->active + k) * sizeof(size_t), sizeof(i));
        const struct column_rule *r = &job->rules[i];
        if (!applies(r, f) || r->n_steps <= f->step || !span_eq(r->steps[f->step], name))
            continue;
        if (r->n_steps == f->step + 1)
            end = end ? end : r;
        else
            buf_add(&c->active, &i, sizeof(i));
    }
    return end;
}

static void write_member(struct columns *c, const struct columns_job *job, struct span key, struct json v, struct buf *out)
{
    size_t top = frame_count(c) - 1;
    struct frame f = *frame_at(c, top);
    size_t below = c->active.n / sizeof(size_t);
    struct span name = key;
    if (key.n && memchr(key.p, '\\', key.n)) {
        buf_clear(&c->text);
        json_unescape(&c->text, key);
        name = buf_span(&c->text);
    }
    const struct column_rule *end = match_member(c, job, &f, name);
    if ((end && end->action != COLUMN_HASH) || (top == 0 && is_added(c, name))) {
        c->active.n = below * sizeof(size_t);
        return;
    }
    if (!f.first)
        buf_addc(out, ',');
    frame_at(c, top)->first = false;
    buf_addc(out, '"');
    buf_adds(out, key);
    buf_addz(out, "\":");
    if (end) {
        add_hash(c, v, out);
    } else if (c->active.n > below * sizeof(size_t) && (v.type == JSON_OBJECT || v.type == JSON_ARRAY)) {
        buf_addc(out, v.type == JSON_OBJECT ? '{' : '[');
        push_frame(c, v, below, f.step + 1, f.in_list);
        return;
    } else {
        buf_adds(out, v.raw);
    }
    c->active.n = below * sizeof(size_t);
}

static void write_element(struct columns *c, struct json v, struct buf *out)
{
    size_t top = frame_count(c) - 1;
    struct frame f = *frame_at(c, top);
    if (!f.first)
        buf_addc(out, ',');
    frame_at(c, top)->first = false;
    if (v.type != JSON_OBJECT && v.type != JSON_ARRAY) {
        buf_adds(out, v.raw);
        return;
    }
    size_t below = c->active.n / sizeof(size_t);
    for (size_t k = 0; k < f.n_active; k++) {
        size_t i;
        memcpy(&i, c->active.p + (f.active + k) * sizeof(size_t), sizeof(i));
        buf_add(&c->active, &i, sizeof(i));
    }
    buf_addc(out, v.type == JSON_OBJECT ? '{' : '[');
    push_frame(c, v, below, f.step, true);
}

static void write_added(struct columns *c, bool first, struct buf *out)
{
    for (size_t i = 0; i < c->added.n / sizeof(struct added); i++) {
        const struct added *a = added_at(c, i);
        if (!first)
            buf_addc(out, ',');
        first = false;
        json_write_string(out, a->name);
        buf_addc(out, ':');
        buf_add(out, a->p ? a->p : c->values.p + a->offset, a->n);
    }
}

/* Where columns are only set, and the object has none of them and no space between its members, it is copied in one piece. */
static bool copy_whole(struct columns *c, const struct columns_job *job, struct json object, struct buf *out)
{
    struct json_memo *memo = job->scope ? job->scope->memo : NULL;
    for (size_t i = 0; i < job->n_rules; i++) {
        if (job->rules[i].action != COLUMN_FROM && job->rules[i].action != COLUMN_CONST)
            return false;
    }
    const struct json_memo_object *o = json_members(memo, object);
    if (!o)
        return false;
    size_t tight = 2 + (o->n ? o->n - 1 : 0); /* brackets and commas */
    for (size_t i = 0; i < o->n; i++)
        tight += o->members[i].key.n + 3 + o->members[i].value.raw.n;
    if (tight != object.raw.n)
        return false;
    for (size_t i = 0; i < c->added.n / sizeof(struct added); i++) {
        if (json_get_memo(memo, object, added_at(c, i)->name).type != JSON_NONE)
            return false;
    }
    buf_add(out, object.raw.p, object.raw.n - 1);
    write_added(c, o->n == 0, out);
    buf_addc(out, '}');
    return true;
}

static void write_object(struct columns *c, const struct columns_job *job, struct json object, struct buf *out)
{
    for (size_t i = 0; i < job->n_rules; i++)
        buf_add(&c->active, &i, sizeof(i));
    buf_addc(out, '{');
    push_frame(c, object, 0, 0, false);
    while (frame_count(c) && buf_ok(&c->frames) && buf_ok(&c->active)) {
        struct frame *f = frame_at(c, frame_count(c) - 1);
        struct span key;
        struct json v;
        if (json_next(&f->it, &key, &v)) {
            if (f->object)
                write_member(c, job, key, v, out);
            else
                write_element(c, v, out);
            continue;
        }
        if (frame_count(c) == 1)
            write_added(c, f->first, out);
        buf_addc(out, f->object ? '}' : ']');
        c->active.n = f->active * sizeof(size_t);
        c->frames.n -= sizeof(struct frame);
    }
}

bool columns_apply(struct columns *c, const struct columns_job *job, struct json object, struct buf *out, struct err *err)
{
    gather_added(c, job, object);
    buf_clear(&c->frames);
    buf_clear(&c->active);
    if (!copy_whole(c, job, object, out))
        write_object(c, job, object, out);
    if (!buf_ok(&c->frames) || !buf_ok(&c->active) || !buf_ok(&c->added) || !buf_ok(&c->values) || !buf_ok(out))
        return err_set(err, ERR_NOMEM, "out of memory for a row");
    return true;
}
