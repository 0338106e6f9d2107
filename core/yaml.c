#include "core/yaml_node.h"
#include "core/json.h"
#include "core/mem.h"
#include <libfyaml.h>
#include <stdlib.h>

/* The tree is built from libfyaml's events: they tell of anchors, tags and further documents before anything is
 * resolved, and carry the exact place of every token. Nothing but this file knows the library. */

#define YAML_DEPTH_MAX 48
#define YAML_NODES_MAX 50000 /* doubled keys are searched for pairwise within a map */

struct frame {
    struct yaml_node *node;
    struct yaml_node *pending; /* a map's key that waits for its value */
    struct yaml_node **items, **keys;
    size_t cap;
};

struct builder {
    struct yaml *file;
    struct report *report;
    struct frame frames[YAML_DEPTH_MAX];
    size_t depth, nodes, documents;
    bool stop;
    /* the line of the place looked up last: places come in rising order, so the whole reading stays linear */
    size_t line_start;
    uint32_t line;
};

static void builder_place(struct builder *b, struct yaml_node *node)
{
    const char *p = b->file->bytes.p;
    if (node->offset < b->line_start) {
        b->line_start = 0;
        b->line = 1;
    }
    const char *nl;
    while ((nl = memchr(p + b->line_start, '\n', node->offset - b->line_start)) != NULL) {
        b->line_start = (size_t)(nl - p) + 1;
        b->line++;
    }
    node->line = b->line;
    node->col = 1;
    for (size_t i = b->line_start; i < node->offset; i++)
        node->col += ((unsigned char)p[i] & 0xc0) != 0x80;
}

static struct yaml_node *node_new(struct builder *b, enum yaml_kind kind, size_t offset, size_t width)
{
    struct yaml_node *node = arena_alloc(b->file->arena, sizeof(*node));
    node->file = b->file;
    node->kind = kind;
    node->offset = offset > b->file->bytes.n ? b->file->bytes.n : offset;
    node->width = width;
    node->text = SPAN_LIT("");
    builder_place(b, node);
    if (++b->nodes > YAML_NODES_MAX) {
        report_source(b->report, b->file, node->offset, 1, "the file has more than %d values", YAML_NODES_MAX);
        b->stop = true;
    }
    return node;
}

static void frame_grow(struct frame *f)
{
    if (f->node->n < f->cap)
        return;
    f->cap = f->cap ? f->cap * 2 : 8;
    f->items = mem_grow(f->items, f->cap * sizeof(*f->items));
    f->keys = mem_grow(f->keys, f->cap * sizeof(*f->keys));
}

/* Takes the node as the pending key of a map; refuses what is no plain word, and doubles. */
static void take_key(struct builder *b, struct frame *f, struct yaml_node *node)
{
    node->is_key = true;
    if ((node->kind != YAML_SCALAR && node->kind != YAML_NULL) || node->text.n == 0) {
        report_source(b->report, b->file, node->offset, node->width, "a key must be a word");
        node->text = SPAN_LIT("?");
        if (node->kind == YAML_LIST || node->kind == YAML_MAP)
            b->stop = true;
    }
    node->kind = YAML_SCALAR;
    for (size_t i = 0; i < f->node->n; i++) {
        if (span_eq(f->keys[i]->text, node->text)) {
            struct buf path;
            buf_init(&path, 0);
            yaml_path(node, &path);
            report_source(b->report, b->file, node->offset, node->width, "%s: the key is there twice, first in line %u",
                          buf_z(&path), f->keys[i]->line);
            buf_release(&path);
            break;
        }
    }
    f->pending = node;
}

/* Hangs a finished or opened node where it belongs: root, item, key or value. */
static void attach(struct builder *b, struct yaml_node *node)
{
    if (b->depth == 0) {
        b->file->root = node;
        return;
    }
    struct frame *f = &b->frames[b->depth - 1];
    node->parent = f->node;
    if (f->node->kind == YAML_MAP && !f->pending) {
        take_key(b, f, node);
        return;
    }
    frame_grow(f);
    node->index = f->node->n;
    node->key = f->pending;
    if (f->pending)
        f->pending->index = node->index;
    f->keys[f->node->n] = f->pending;
    f->items[f->node->n++] = node;
    f->pending = NULL;
}

static void open_container(struct builder *b, struct yaml_node *node)
{
    attach(b, node);
    if (b->depth == YAML_DEPTH_MAX) {
        report_source(b->report, b->file, node->offset, 1, "nested deeper than %d levels", YAML_DEPTH_MAX);
        b->stop = true;
        return;
    }
    b->frames[b->depth++] = (struct frame){.node = node};
}

static void close_container(struct builder *b)
{
    struct frame *f = &b->frames[--b->depth];
    size_t bytes = f->node->n * sizeof(*f->items);
    if (bytes) {
        f->node->items = arena_alloc(b->file->arena, bytes);
        memcpy(f->node->items, f->items, bytes);
    }
    if (bytes && f->node->kind == YAML_MAP) {
        f->node->keys = arena_alloc(b->file->arena, bytes);
        memcpy(f->node->keys, f->keys, bytes);
    }
    free(f->items);
    free(f->keys);
    *f = (struct frame){0};
}

static bool is_null_word(struct span s)
{
    return s.n == 0 || span_eqz(s, "~") || span_eqz(s, "null") || span_eqz(s, "Null") || span_eqz(s, "NULL");
}

static void take_scalar(struct builder *b, struct fy_token *token)
{
    const struct fy_mark *start = token ? fy_token_start_mark(token) : NULL;
    const struct fy_mark *end = token ? fy_token_end_mark(token) : NULL;
    if (!start || !end) { /* nothing was written: the place is that of the key or the container */
        struct frame *f = b->depth ? &b->frames[b->depth - 1] : NULL;
        const struct yaml_node *near = !f ? NULL : f->pending ? f->pending : f->node;
        attach(b, node_new(b, YAML_NULL, near ? near->offset : 0, near ? near->width : 0));
        return;
    }
    size_t n = 0;
    const char *text = fy_token_get_text(token, &n);
    enum fy_scalar_style style = fy_token_scalar_style(token);
    bool marks = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED; /* the token's place is within them */
    size_t offset = start->input_pos, width = end->input_pos - start->input_pos;
    if (marks && offset > 0) {
        offset--;
        width += 2;
    }
    struct yaml_node *node = node_new(b, YAML_SCALAR, offset, width);
    node->quoted = style != FYSS_PLAIN;
    if (text && n)
        node->text = (struct span){arena_dup(b->file->arena, (struct span){text, n}), n};
    if (!node->quoted && is_null_word(node->text))
        node->kind = YAML_NULL;
    attach(b, node);
}

static void refuse_token(struct builder *b, struct fy_token *token, const char *what)
{
    const struct fy_mark *start = token ? fy_token_start_mark(token) : NULL;
    if (!start)
        return;
    const struct fy_mark *end = fy_token_end_mark(token);
    size_t width = end && end->input_pos > start->input_pos ? end->input_pos - start->input_pos : 1;
    report_source(b->report, b->file, start->input_pos, width, "%s", what);
}

static void refuse_extras(struct builder *b, struct fy_token *anchor, struct fy_token *tag)
{
    refuse_token(b, anchor, "anchors are not understood here: write the value out where it is used");
    refuse_token(b, tag, "tags are not understood here: write the plain value");
}

static size_t mark_offset(const struct fy_token *token, const struct builder *b)
{
    /* The library reads marks through a pointer that is not const. */
    union {
        const struct fy_token *in;
        struct fy_token *out;
    } u = {token};
    const struct fy_mark *m = token ? fy_token_start_mark(u.out) : NULL;
    return m ? m->input_pos : b->file->bytes.n;
}

static void take_event(struct builder *b, struct fy_event *e)
{
    switch (e->type) {
    case FYET_DOCUMENT_START:
        if (b->documents++ == 1) {
            size_t offset = mark_offset(e->document_start.document_start, b);
            report_source(b->report, b->file, offset, 3, "a second document: one file holds one");
            b->stop = true;
        }
        break;
    case FYET_SCALAR:
        refuse_extras(b, e->scalar.anchor, e->scalar.tag);
        take_scalar(b, e->scalar.value);
        break;
    case FYET_ALIAS:
        refuse_token(b, e->alias.anchor, "aliases are not understood here: write the value out");
        take_scalar(b, NULL);
        break;
    case FYET_SEQUENCE_START:
        refuse_extras(b, e->sequence_start.anchor, e->sequence_start.tag);
        open_container(b, node_new(b, YAML_LIST, mark_offset(e->sequence_start.sequence_start, b), 1));
        break;
    case FYET_MAPPING_START:
        refuse_extras(b, e->mapping_start.anchor, e->mapping_start.tag);
        open_container(b, node_new(b, YAML_MAP, mark_offset(e->mapping_start.mapping_start, b), 1));
        break;
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        close_container(b);
        break;
    default:
        break;
    }
}

/* The byte where a line and column (from 1, in characters) stand. */
static size_t offset_of(struct span s, int line, int col)
{
    size_t i = 0;
    for (int l = 1; l < line && i < s.n; i++)
        l += s.p[i] == '\n';
    for (int c = 1; i < s.n && s.p[i] != '\n'; i++) {
        if (((unsigned char)s.p[i] & 0xc0) != 0x80 && c++ == col)
            break;
    }
    return i;
}

static void report_syntax(struct builder *b, struct fy_diag *diag)
{
    void *at = NULL;
    struct fy_diag_error *e = fy_diag_errors_iterate(diag, &at); /* what follows the first is its consequence */
    if (!e) {
        report_source(b->report, b->file, 0, 1, "not a YAML file");
        return;
    }
    size_t offset = offset_of(b->file->bytes, e->line, e->column);
    report_source(b->report, b->file, offset, 1, "not valid YAML: %s", e->msg ? e->msg : "syntax error");
}

static bool build(struct builder *b)
{
    struct fy_diag_cfg quiet;
    fy_diag_cfg_default(&quiet);
    quiet.fp = NULL;
    quiet.colorize = false;
    struct fy_diag *diag = fy_diag_create(&quiet);
    if (!diag)
        return false;
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = {.flags = FYPCF_DEFAULT_PARSE, .diag = diag};
    struct fy_parser *parser = fy_parser_create(&cfg);
    bool ok = parser && fy_parser_set_string(parser, b->file->bytes.p, b->file->bytes.n) == 0;
    struct fy_event *e;
    while (ok && !b->stop && (e = fy_parser_parse(parser)) != NULL) {
        take_event(b, e);
        fy_parser_event_free(parser, e);
    }
    if (!ok || (!b->stop && fy_parser_get_stream_error(parser)))
        report_syntax(b, diag);
    if (parser)
        fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    while (b->depth)
        close_container(b);
    return true;
}

/* The first byte that cannot be in a file of text, or n. */
static size_t bad_byte(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\n' && c != '\r' && c != '\t') || c == 0x7f)
            return i;
    }
    return s.n;
}

struct yaml *yaml_parse(const char *name, struct span bytes, struct report *r)
{
    struct arena *arena = arena_new();
    struct yaml *y = arena_alloc(arena, sizeof(*y));
    y->arena = arena;
    y->name = arena_dup(arena, span_of(name));
    y->bytes = bytes.p ? bytes : SPAN_LIT("");
    unsigned before = r->count;
    size_t bad = bad_byte(y->bytes);
    struct builder b = {.file = y, .report = r, .line = 1};
    if (bad < y->bytes.n)
        report_source(r, y, bad, 1, "a control character (byte 0x%02x)", (unsigned)(unsigned char)y->bytes.p[bad]);
    else if (!utf8_valid(y->bytes))
        report_plain(r, "%s: not UTF-8", y->name);
    else if (y->bytes.n && !build(&b))
        report_plain(r, "%s: out of memory", y->name);
    if (r->count == before && !y->root)
        y->root = node_new(&b, YAML_NULL, 0, 0);
    if (r->count != before)
        yaml_free(&y);
    return y;
}

void yaml_free(struct yaml **y)
{
    if (!*y)
        return;
    struct arena *arena = (*y)->arena;
    *y = NULL;
    arena_free(&arena);
}

const struct yaml_node *yaml_root(const struct yaml *y)
{
    return y ? y->root : NULL;
}

enum yaml_kind yaml_kind(const struct yaml_node *n)
{
    return n ? n->kind : YAML_NULL;
}

struct span yaml_text(const struct yaml_node *n)
{
    return n && n->kind == YAML_SCALAR ? n->text : SPAN_LIT("");
}

bool yaml_quoted(const struct yaml_node *n)
{
    return n && n->quoted;
}

size_t yaml_count(const struct yaml_node *n)
{
    return n ? n->n : 0;
}

const struct yaml_node *yaml_item(const struct yaml_node *list, size_t i)
{
    return list && i < list->n ? list->items[i] : NULL;
}

const struct yaml_node *yaml_key(const struct yaml_node *map, size_t i)
{
    return map && map->kind == YAML_MAP && i < map->n ? map->keys[i] : NULL;
}

const struct yaml_node *yaml_value(const struct yaml_node *map, size_t i)
{
    return map && map->kind == YAML_MAP && i < map->n ? map->items[i] : NULL;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    for (size_t i = 0; map && map->kind == YAML_MAP && i < map->n; i++) {
        if (span_eqz(map->keys[i]->text, key))
            return map->items[i];
    }
    return NULL;
}

uint32_t yaml_line(const struct yaml_node *n)
{
    return n ? n->line : 0;
}

uint32_t yaml_col(const struct yaml_node *n)
{
    return n ? n->col : 0;
}

void yaml_hide(const struct yaml_node *n)
{
    if (!n)
        return;
    struct hidden *h = arena_alloc(n->file->arena, sizeof(*h));
    *h = (struct hidden){n->file->hidden, n->offset, n->offset + n->width};
    n->file->hidden = h;
}
