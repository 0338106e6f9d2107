#include "core/yaml_node.h"
#include <ctype.h>
#include <stdint.h>

#define LINE_CHARS_MAX 150  /* of a source line shown */
#define LINE_BEFORE_MAX 90  /* characters kept in front of the place in a longer one */
#define WORD_MAX 64         /* longest word that is compared */

void report_init(struct report *r)
{
    buf_init(&r->text, 0);
    r->count = 0;
}

void report_release(struct report *r)
{
    buf_release(&r->text);
    r->count = 0;
}

/* Counts a message. false: the report is full, the message is left out. */
static bool report_room(struct report *r)
{
    r->count++;
    if (r->count == REPORT_MAX + 1)
        buf_addz(&r->text, "more mistakes follow; these first\n");
    return r->count <= REPORT_MAX;
}

void yaml_place(const struct yaml *file, size_t offset, uint32_t *ret_line, uint32_t *ret_col)
{
    uint32_t line = 1, col = 1;
    for (size_t i = 0; i < offset && i < file->bytes.n; i++) {
        unsigned char c = (unsigned char)file->bytes.p[i];
        if (c == '\n') {
            line++;
            col = 1;
        } else {
            col += (c & 0xc0) != 0x80;
        }
    }
    *ret_line = line;
    *ret_col = col;
}

static bool starts_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t characters(struct span s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += starts_character(s.p[i]);
    return n;
}

static struct span drop_characters(struct span s, size_t n)
{
    while (s.n && n) {
        s = span_skip(s, 1);
        while (s.n && !starts_character(s.p[0]))
            s = span_skip(s, 1);
        n--;
    }
    return s;
}

static bool is_hidden(const struct yaml *file, size_t offset)
{
    for (const struct hidden *h = file->hidden; h; h = h->next) {
        if (offset >= h->offset && offset < h->end)
            return true;
    }
    return false;
}

/* A run of the source on one line: what is hidden as stars, control characters (tabs too) as blanks. */
static void add_shown(struct buf *out, const struct yaml *file, struct span text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (!is_hidden(file, (size_t)(text.p + i - file->bytes.p)))
            buf_addc(out, (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c);
        else if (starts_character(c))
            buf_addc(out, '*');
    }
}

/* The source line with the place marked under it. Tabs count as one column, so that the marks stand right. */
static void add_source_line(struct buf *out, const struct yaml *file, size_t offset, size_t width, uint32_t line)
{
    struct span all = file->bytes;
    size_t start = offset, end = offset;
    while (start > 0 && all.p[start - 1] != '\n')
        start--;
    while (end < all.n && all.p[end] != '\n')
        end++;
    if (end > start && all.p[end - 1] == '\r')
        end--;
    struct span text = {all.p + start, end - start};
    size_t before = characters((struct span){text.p, offset - start > text.n ? text.n : offset - start});
    size_t cut = before > LINE_BEFORE_MAX ? before - LINE_BEFORE_MAX : 0;
    text = drop_characters(text, cut);
    before -= cut;
    size_t shown = characters(text);
    struct span tail = drop_characters(text, LINE_CHARS_MAX);
    text.n -= tail.n;

    buf_addf(out, "%5u | %s", line, cut ? "…" : "");
    add_shown(out, file, text);
    buf_addf(out, "%s\n      | %s", tail.n ? "…" : "", cut ? " " : "");
    for (size_t i = 0; i < before; i++)
        buf_addc(out, ' ');
    size_t limit = shown < LINE_CHARS_MAX ? shown : LINE_CHARS_MAX;
    size_t offset_end = offset + width > end ? end : offset + width;
    size_t run = offset_end > offset ? characters((struct span){all.p + offset, offset_end - offset}) : 0;
    if (before + run > limit)
        run = limit > before ? limit - before : 0;
    for (size_t i = 0; i < (run ? run : 1); i++)
        buf_addc(out, '^');
    buf_addc(out, '\n');
}

/* One message: place, path (when there is one), words, source line. */
static void add_message(struct report *r, const struct yaml *file, size_t offset, size_t width,
                        const struct yaml_node *path, const char *fmt, va_list ap)
{
    if (!report_room(r))
        return;
    uint32_t line, col;
    yaml_place(file, offset, &line, &col);
    buf_addf(&r->text, "%s:%u:%u: ", file->name, line, col);
    if (path) {
        size_t n = r->text.n;
        yaml_path(path, &r->text);
        if (r->text.n > n)
            buf_addz(&r->text, ": ");
    }
    buf_addv(&r->text, fmt, ap);
    buf_addc(&r->text, '\n');
    add_source_line(&r->text, file, offset, width, line);
}

void report_source(struct report *r, const struct yaml *file, size_t offset, size_t width, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_message(r, file, offset > file->bytes.n ? file->bytes.n : offset, width, NULL, fmt, ap);
    va_end(ap);
}

/* Where a message about a node points: a container or an empty value is best shown by its key. */
static const struct yaml_node *place_of(const struct yaml_node *n)
{
    return n->kind != YAML_SCALAR && n->key ? n->key : n;
}

__attribute__((format(printf, 4, 5))) static void report_pair(struct report *r, const struct yaml_node *place,
                                                              const struct yaml_node *path, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_message(r, place->file, place->offset, place->width, path, fmt, ap);
    va_end(ap);
}

void report_at(struct report *r, const struct yaml_node *n, const char *fmt, ...)
{
    const struct yaml_node *place = place_of(n);
    va_list ap;
    va_start(ap, fmt);
    add_message(r, place->file, place->offset, place->width, n, fmt, ap);
    va_end(ap);
}

void report_plain(struct report *r, const char *fmt, ...)
{
    if (!report_room(r))
        return;
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&r->text, fmt, ap);
    va_end(ap);
    buf_addc(&r->text, '\n');
}

void yaml_path(const struct yaml_node *n, struct buf *out)
{
    const struct yaml_node *chain[64]; /* deeper than any tree that yaml.c builds */
    size_t depth = 0;
    for (; n && n->parent && depth < sizeof(chain) / sizeof(chain[0]); n = n->parent)
        chain[depth++] = n;
    for (bool first = true; depth; first = false) {
        const struct yaml_node *at = chain[--depth];
        const struct yaml_node *key = at->is_key ? at : at->key;
        if (!key) {
            buf_addf(out, "[%zu]", at->index);
            continue;
        }
        if (!first)
            buf_addc(out, '.');
        buf_adds(out, key->text);
    }
}

void report_word(struct report *r, const struct yaml_node *n, const char *const *words)
{
    struct buf list;
    buf_init(&list, 4096);
    for (size_t i = 0; words[i]; i++)
        buf_addf(&list, "%s%s", i ? ", " : "", words[i]);
    struct span text = yaml_text(n);
    const char *near = nearest_word(text, words);
    if (yaml_kind(n) != YAML_SCALAR)
        report_at(r, n, "must be one of %s", buf_z(&list));
    else if (near)
        report_at(r, n, "'%.*s' is not one of %s (did you mean %s?)", SPAN_ARG(text), buf_z(&list), near);
    else
        report_at(r, n, "'%.*s' is not one of %s", SPAN_ARG(text), buf_z(&list));
    buf_release(&list);
}

void report_unknown_keys(struct report *r, const struct yaml_node *map, const char *const *keys)
{
    for (size_t i = 0; yaml_kind(map) == YAML_MAP && i < yaml_count(map); i++) {
        const struct yaml_node *key = yaml_key(map, i);
        struct span text = yaml_text(key);
        bool known = false;
        for (size_t k = 0; keys[k] && !known; k++)
            known = span_eqz(text, keys[k]);
        if (known)
            continue;
        const char *near = nearest_word(text, keys);
        if (near)
            report_pair(r, key, map, "no such key '%.*s' (did you mean %s?)", SPAN_ARG(text), near);
        else
            report_pair(r, key, map, "no such key '%.*s'", SPAN_ARG(text));
    }
}

/* Edits between two words: insert, delete, change, swap neighbours. Case does not count. */
static unsigned edit_distance(struct span a, struct span b)
{
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *above = rows[1], *here = rows[2];
    for (size_t j = 0; j <= b.n; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        here[0] = (unsigned)i;
        int x = tolower((unsigned char)a.p[i - 1]);
        for (size_t j = 1; j <= b.n; j++) {
            int y = tolower((unsigned char)b.p[j - 1]);
            unsigned best = above[j - 1] + (x != y);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (here[j - 1] + 1 < best)
                best = here[j - 1] + 1;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b.p[j - 2]) &&
                y == tolower((unsigned char)a.p[i - 2]) && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            here[j] = best;
        }
        unsigned *spare = before;
        before = above;
        above = here;
        here = spare;
    }
    return above[b.n];
}

const char *nearest_word(struct span word, const char *const *words)
{
    if (word.n == 0 || word.n > WORD_MAX)
        return NULL;
    unsigned limit = word.n < 4 ? 1 : word.n < 8 ? 2 : 3;
    if (word.n == 1)
        limit = 0; /* one letter is near to everything */
    const char *best = NULL;
    unsigned best_distance = limit + 1;
    for (size_t i = 0; words[i]; i++) {
        struct span other = span_of(words[i]);
        if (other.n > WORD_MAX || (other.n > word.n ? other.n - word.n : word.n - other.n) > limit)
            continue;
        unsigned distance = edit_distance(word, other);
        if (distance < best_distance) {
            best = words[i];
            best_distance = distance;
        }
    }
    return best;
}
