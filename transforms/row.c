#include "transforms/row.h"
#include "core/clock.h"

static const char *const op_names[] = {"upsert", "delete"};
static const char *const origin_names[] = {"webhook", "backfill", "replay"};

void row_add_member(struct buf *out, struct span before, struct span text)
{
    buf_adds(out, before);
    if (text.n)
        json_write_string(out, text);
    else
        buf_adds(out, SPAN_LIT("null"));
}

/* Text of ours that needs no escape. */
static void add_word(struct buf *out, struct span before, const char *word)
{
    buf_adds(out, before);
    buf_addc(out, '"');
    buf_adds(out, span_of(word));
    buf_addc(out, '"');
}

static void add_raw(struct buf *out, struct span before, struct span json)
{
    buf_adds(out, before);
    buf_adds(out, json);
}

void row_write(struct buf *out, const struct row *row)
{
    char received[CLOCK_TEXT_MAX], observed[CLOCK_TEXT_MAX];
    clock_iso_us(row->received_us, received);
    clock_iso_us(row->observed_us, observed);
    row_add_member(out, SPAN_LIT("{\"format\":1,\"source\":"), row->source);
    row_add_member(out, SPAN_LIT(",\"account\":"), row->account);
    row_add_member(out, SPAN_LIT(",\"table\":"), row->table);
    add_raw(out, SPAN_LIT(",\"key\":"), row->key);
    row_add_member(out, SPAN_LIT(",\"version\":"), row->version);
    add_word(out, SPAN_LIT(",\"op\":"), op_names[row->op]);
    add_word(out, SPAN_LIT(",\"origin\":"), origin_names[row->origin]);
    add_word(out, SPAN_LIT(",\"shape\":"), shape_name(row->shape));
    row_add_member(out, SPAN_LIT(",\"api_version\":"), row->api_version);
    row_add_member(out, SPAN_LIT(",\"event_id\":"), row->event_id);
    row_add_member(out, SPAN_LIT(",\"event_type\":"), row->event_type);
    row_add_member(out, SPAN_LIT(",\"entry\":"), row->entry);
    add_word(out, SPAN_LIT(",\"received_at\":"), received);
    add_word(out, SPAN_LIT(",\"observed_at\":"), observed);
    add_raw(out, SPAN_LIT(",\"row\":"), row->row);
    buf_adds(out, SPAN_LIT("}\n"));
}

enum member {
    M_FORMAT, M_SOURCE, M_ACCOUNT, M_TABLE, M_KEY, M_VERSION, M_OP, M_ORIGIN, M_SHAPE, M_API_VERSION, M_EVENT_ID,
    M_EVENT_TYPE, M_ENTRY, M_RECEIVED, M_OBSERVED, M_ROW, M_COUNT
};
static const struct {
    const char *name;
    bool optional; /* null is a value */
} members[M_COUNT] = {
    [M_FORMAT] = {"format", false},          [M_SOURCE] = {"source", false},
    [M_ACCOUNT] = {"account", true},         [M_TABLE] = {"table", false},
    [M_KEY] = {"key", false},                [M_VERSION] = {"version", false},
    [M_OP] = {"op", false},                  [M_ORIGIN] = {"origin", false},
    [M_SHAPE] = {"shape", false},            [M_API_VERSION] = {"api_version", true},
    [M_EVENT_ID] = {"event_id", true},       [M_EVENT_TYPE] = {"event_type", true},
    [M_ENTRY] = {"entry", false},            [M_RECEIVED] = {"received_at", false},
    [M_OBSERVED] = {"observed_at", false},   [M_ROW] = {"row", true},
};

/* Members come in the order of the enum from our own writer; from others in any order, with more among them. */
static void gather(struct json line, struct json found[M_COUNT])
{
    struct json_iter it = json_iter(line);
    struct span key;
    struct json value;
    size_t expected = 0;
    while (json_next(&it, &key, &value)) {
        for (size_t k = 0; k < M_COUNT; k++) {
            size_t i = (expected + k) % M_COUNT;
            if (span_eqz(key, members[i].name)) {
                found[i] = value;
                expected = i + 1;
                break;
            }
        }
    }
}

static bool text_of(struct json v, enum member m, struct buf *scratch, size_t line_bytes, struct span *ret, struct err *err)
{
    if (members[m].optional && (v.type == JSON_NONE || v.type == JSON_NULL)) {
        *ret = (struct span){NULL, 0};
        return true;
    }
    if (v.type != JSON_STRING)
        return err_set(err, ERR_INPUT, "row envelope: '%s' is %s, must be a string", members[m].name,
                       v.type == JSON_NONE ? "absent" : "of another type");
    struct span inner = json_inner(v);
    if (!inner.n || !memchr(inner.p, '\\', inner.n)) {
        *ret = inner;
        return true;
    }
    /* Decoded texts together are shorter than the line, so that the memory reserved here never moves. */
    if (scratch->n == 0 && !buf_reserve(scratch, line_bytes))
        return err_set(err, ERR_NOMEM, "out of memory for a row envelope of %zu bytes", line_bytes);
    size_t at = scratch->n;
    if (!json_unescape(scratch, inner) || !buf_ok(scratch))
        return err_set(err, ERR_INPUT, "row envelope: '%s' has a wrong escape", members[m].name);
    *ret = (struct span){scratch->p + at, scratch->n - at};
    return true;
}

static bool word_of(struct span text, enum member m, const char *const *words, size_t n, unsigned *ret, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (span_eqz(text, words[i])) {
            *ret = (unsigned)i;
            return true;
        }
    }
    return err_set(err, ERR_INPUT, "row envelope: '%s' is '%.*s', must be one of %s, %s%s%s", members[m].name,
                   (int)(text.n > 40 ? 40 : text.n), text.p, words[0], words[1], n > 2 ? ", " : "", n > 2 ? words[2] : "");
}

static bool time_of(struct span text, enum member m, uint64_t *ret, struct err *err)
{
    if (clock_parse_iso(text, ret))
        return true;
    return err_set(err, ERR_INPUT, "row envelope: '%s' is '%.*s', must be an ISO 8601 time", members[m].name,
                   (int)(text.n > 40 ? 40 : text.n), text.p);
}

static bool read_words(const struct span *text, struct row *row, struct err *err)
{
    unsigned op, origin;
    if (!word_of(text[M_OP], M_OP, op_names, 2, &op, err) ||
        !word_of(text[M_ORIGIN], M_ORIGIN, origin_names, 3, &origin, err) ||
        !time_of(text[M_RECEIVED], M_RECEIVED, &row->received_us, err) ||
        !time_of(text[M_OBSERVED], M_OBSERVED, &row->observed_us, err))
        return false;
    if (!shape_parse(text[M_SHAPE], &row->shape))
        return err_set(err, ERR_INPUT, "row envelope: 'shape' is '%.*s', must be one of full, pull, push",
                       (int)(text[M_SHAPE].n > 40 ? 40 : text[M_SHAPE].n), text[M_SHAPE].p);
    row->op = (enum row_op)op;
    row->origin = (enum row_origin)origin;
    return true;
}

bool row_read(struct span line, struct row *ret, struct buf *scratch, struct err *err)
{
    struct json parsed, found[M_COUNT] = {0};
    struct span text[M_COUNT] = {0};
    struct row row = {0};
    buf_clear(scratch);
    if (!json_parse(line, &parsed, err))
        return err_prefix(err, "row envelope");
    if (parsed.type != JSON_OBJECT)
        return err_set(err, ERR_INPUT, "row envelope: the line is no JSON object");
    gather(parsed, found);
    if (!json_eqz(found[M_FORMAT], "1"))
        return err_set(err, ERR_INPUT, "row envelope: 'format' is '%.*s', this version reads 1",
                       (int)(found[M_FORMAT].raw.n > 40 ? 40 : found[M_FORMAT].raw.n),
                       found[M_FORMAT].raw.n ? found[M_FORMAT].raw.p : "");
    for (enum member m = M_SOURCE; m < M_ROW; m++) {
        if (m != M_KEY && !text_of(found[m], m, scratch, line.n, &text[m], err))
            return false;
    }
    if (!read_words(text, &row, err))
        return false;
    if (found[M_KEY].type != JSON_OBJECT)
        return err_set(err, ERR_INPUT, "row envelope: 'key' must be an object");
    if (row.op == ROW_UPSERT && found[M_ROW].type != JSON_OBJECT)
        return err_set(err, ERR_INPUT, "row envelope: 'row' of an upsert must be an object");
    row.source = text[M_SOURCE];
    row.account = text[M_ACCOUNT];
    row.table = text[M_TABLE];
    row.version = text[M_VERSION];
    row.api_version = text[M_API_VERSION];
    row.event_id = text[M_EVENT_ID];
    row.event_type = text[M_EVENT_TYPE];
    row.entry = text[M_ENTRY];
    row.key = found[M_KEY].raw;
    row.row = row.op == ROW_DELETE ? SPAN_LIT("null") : found[M_ROW].raw;
    *ret = row;
    return true;
}
