#include "sources/reader.h"
#include "core/clock.h"
#include "sources/path_internal.h"
#include <ctype.h>
#include <stdlib.h>

#define TYPES_MAX 512 /* names that one `types` may expand to */

bool read_map(struct reader *rd, const struct yaml_node *n, const char *const *keys)
{
    if (!n)
        return false;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(rd->report, n, "must be a map (key: value)");
        return false;
    }
    report_unknown_keys(rd->report, n, keys);
    return true;
}

static bool is_scalar(struct reader *rd, const struct yaml_node *n, const char *what)
{
    if (!n)
        return false;
    if (yaml_kind(n) == YAML_SCALAR && yaml_text(n).n)
        return true;
    report_at(rd->report, n, "must be %s", what);
    return false;
}

void read_text(struct reader *rd, const struct yaml_node *n, const char **ret)
{
    if (is_scalar(rd, n, "a text"))
        *ret = arena_dup(rd->arena, yaml_text(n));
}

void read_bool(struct reader *rd, const struct yaml_node *n, bool *ret)
{
    if (!is_scalar(rd, n, "true or false"))
        return;
    struct span text = yaml_text(n);
    bool yes = span_eqz(text, "true");
    if (yaml_quoted(n) || (!yes && !span_eqz(text, "false")))
        report_at(rd->report, n, "'%.*s' must be true or false", SPAN_ARG(text));
    else
        *ret = yes;
}

void read_u32(struct reader *rd, const struct yaml_node *n, uint32_t low, uint32_t high, uint32_t *ret)
{
    if (!is_scalar(rd, n, "a number"))
        return;
    struct span text = yaml_text(n);
    uint64_t v = 0;
    bool ok = text.n <= 10;
    for (size_t i = 0; ok && i < text.n; i++) {
        ok = isdigit((unsigned char)text.p[i]);
        v = v * 10 + (uint64_t)(text.p[i] - '0');
    }
    if (!ok || v < low || v > high)
        report_at(rd->report, n, "'%.*s' must be a number from %u to %u", SPAN_ARG(text), low, high);
    else
        *ret = (uint32_t)v;
}

void read_duration(struct reader *rd, const struct yaml_node *n, uint64_t *ret_us)
{
    if (is_scalar(rd, n, "a duration like 300s, 5m, 24h or 30d") && !clock_parse_duration(yaml_text(n), ret_us))
        report_at(rd->report, n, "'%.*s' is no duration; write it like 300s, 5m, 24h or 30d", SPAN_ARG(yaml_text(n)));
}

bool read_word(struct reader *rd, const struct yaml_node *n, const char *const *words, unsigned *ret)
{
    if (!n)
        return false;
    for (unsigned i = 0; yaml_kind(n) == YAML_SCALAR && words[i]; i++) {
        if (span_eqz(yaml_text(n), words[i])) {
            *ret = i;
            return true;
        }
    }
    report_word(rd->report, n, words);
    return false;
}

void read_unit(struct reader *rd, const struct yaml_node *n, enum time_unit *ret)
{
    static const char *const units[] = {"s", "ms", "iso8601", NULL};
    unsigned i;
    if (read_word(rd, n, units, &i))
        *ret = (enum time_unit)(UNIT_S + i);
}

size_t strings_count(const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

bool strings_have(const char *const *list, struct span word)
{
    for (size_t i = 0; list && list[i]; i++) {
        if (span_eqz(word, list[i]))
            return true;
    }
    return false;
}

/* How many texts a node stands for, and the i-th of them: a lone text is a list of one. */
static size_t many(const struct yaml_node *n)
{
    return yaml_kind(n) == YAML_LIST ? yaml_count(n) : n ? 1 : 0;
}

static const struct yaml_node *nth(const struct yaml_node *n, size_t i)
{
    return yaml_kind(n) == YAML_LIST ? yaml_item(n, i) : n;
}

static bool some(struct reader *rd, const struct yaml_node *n)
{
    if (n && many(n) == 0)
        report_at(rd->report, n, "an empty list");
    return many(n) > 0;
}

void read_strings(struct reader *rd, const struct yaml_node *n, const char ***ret)
{
    if (!some(rd, n))
        return;
    const char **list = arena_alloc(rd->arena, (many(n) + 1) * sizeof(*list));
    for (size_t i = 0; i < many(n); i++) {
        const struct yaml_node *item = nth(n, i);
        if (!is_scalar(rd, item, "a text or a list of texts"))
            return;
        if (strings_have(list, yaml_text(item))) {
            report_at(rd->report, item, "'%.*s' is in the list twice", SPAN_ARG(yaml_text(item)));
            return;
        }
        list[i] = arena_dup(rd->arena, yaml_text(item));
    }
    *ret = list;
}

struct expansion {
    const char *names[TYPES_MAX + 1];
    size_t n;
};

/* Replaces the first {a,b} of the text by each of its words. false: unbalanced, or no group is left (*ret_done). */
static bool expand_once(struct reader *rd, const struct yaml_node *at, struct span text, struct expansion *e, bool *ret_done)
{
    const char *open = memchr(text.p, '{', text.n), *shut = memchr(text.p, '}', text.n);
    *ret_done = !open && !shut;
    if (*ret_done)
        return false;
    if (!open || !shut || shut < open || memchr(open + 1, '{', (size_t)(shut - open) - 1)) {
        report_at(rd->report, at, "'%.*s': braces don't match; a choice is written {a,b}", SPAN_ARG(text));
        return false;
    }
    struct span rest = span_make(open + 1, (size_t)(shut - open) - 1);
    struct buf name;
    buf_init(&name, 0);
    while (rest.p && e->n <= TYPES_MAX) {
        struct span word = span_trim(span_cut(rest, ',', &rest));
        buf_clear(&name);
        buf_add(&name, text.p, (size_t)(open - text.p));
        buf_adds(&name, word);
        buf_add(&name, shut + 1, (size_t)(text.p + text.n - shut) - 1);
        if (e->n < TYPES_MAX)
            e->names[e->n] = arena_dup(rd->arena, buf_span(&name));
        e->n++;
    }
    buf_release(&name);
    return true;
}

/* Works through the names from `from` on until none has a group; a group's place is taken by what it expands to. */
static bool expand(struct reader *rd, const struct yaml_node *at, struct expansion *e, size_t from)
{
    for (size_t i = from; i < e->n && e->n <= TYPES_MAX;) {
        bool done;
        struct span text = span_of(e->names[i]);
        if (!expand_once(rd, at, text, e, &done)) {
            if (!done)
                return false;
            i++;
            continue;
        }
        if (e->n > TYPES_MAX)
            break;
        e->names[i] = e->names[--e->n];
    }
    if (e->n <= TYPES_MAX)
        return true;
    report_at(rd->report, at, "stands for more than %d names", TYPES_MAX);
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void read_types(struct reader *rd, const struct yaml_node *n, const char ***ret)
{
    if (!some(rd, n))
        return;
    struct expansion *e = mem_alloc(sizeof(*e));
    bool ok = true;
    for (size_t i = 0; ok && i < many(n); i++) {
        const struct yaml_node *item = nth(n, i);
        size_t from = e->n;
        ok = is_scalar(rd, item, "an event type or a list of them");
        if (ok && from < TYPES_MAX)
            e->names[e->n++] = arena_dup(rd->arena, yaml_text(item));
        ok = ok && expand(rd, item, e, from);
        if (ok)
            qsort(&e->names[from], e->n - from, sizeof(e->names[0]), compare_names);
    }
    if (ok) {
        *ret = arena_alloc(rd->arena, (e->n + 1) * sizeof(**ret));
        memcpy(*ret, e->names, e->n * sizeof(**ret));
    }
    free(e);
}

void read_header(struct reader *rd, const struct yaml_node *n, const char **ret)
{
    struct path p = {0};
    struct reader own = *rd;
    own.roots = ROOT(HEADER);
    if (n && !span_starts(yaml_text(n), SPAN_LIT("header")))
        report_at(rd->report, n, "'%.*s' must be a header, like header.X-Name", SPAN_ARG(yaml_text(n)));
    else if (n && read_path(&own, n, false, &p) && p.other)
        report_at(rd->report, n, "'%s' must be one header", p.text);
    else if (n && p.name.n)
        *ret = arena_dup(rd->arena, p.name);
}

void read_headers(struct reader *rd, const struct yaml_node *n, const char ***ret)
{
    if (!some(rd, n))
        return;
    const char **list = arena_alloc(rd->arena, (many(n) + 1) * sizeof(*list));
    for (size_t i = 0; i < many(n); i++) {
        read_header(rd, nth(n, i), &list[i]);
        if (!list[i])
            return;
    }
    *ret = list;
}

/* ---- paths and templates ---- */

static void report_plain_secret(struct reader *rd, const struct yaml_node *n, const struct path *p)
{
    if (rd->shaking)
        report_at(rd->report, n, "'%s' is a secret: an answer may hold it only in a digest, like {query.x|hmac-sha256 %s|hex}",
                  p->text, p->text);
    else
        report_at(rd->report, n, "'%s' is a secret: only calls may use it", p->text);
}

/* A root that means nothing here, a config field that there is not, a secret where it would become data. */
static bool check_one(struct reader *rd, const struct yaml_node *n, const struct path *p)
{
    if (rd->shaking && p->root == ROOT_SECRET && !rd->secrets) {
        report_plain_secret(rd, n, p);
        return false;
    }
    if (!(rd->roots & (1u << p->root))) {
        struct buf list;
        buf_init(&list, 0);
        for (unsigned i = 0; path_root_names[i]; i++) {
            if (rd->roots & (1u << i))
                buf_addf(&list, "%s%s", list.n ? ", " : "", path_root_names[i]);
        }
        if ((rd->roots & ROOT(PARENT)) && rd->parents && rd->parents[0])
            buf_addf(&list, "%s%s", list.n ? ", " : "", rd->parents[0]);
        report_at(rd->report, n, "'%s' means nothing here; a path can begin with %s", p->text, buf_z(&list));
        buf_release(&list);
        return false;
    }
    if (p->root != ROOT_CONFIG)
        return true;
    const struct field_rule *field = manifest_field(rd->m, p->name);
    if (!field) {
        const char **names = arena_alloc(rd->arena, (rd->m->n_fields + 1) * sizeof(*names));
        for (size_t i = 0; i < rd->m->n_fields; i++)
            names[i] = rd->m->fields[i].name;
        const char *near = nearest_word(p->name, names);
        report_at(rd->report, n, "'%s': `config` has no field '%.*s'%s%s%s", p->text, SPAN_ARG(p->name),
                  near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
        return false;
    }
    if (field->secret && !rd->secrets) {
        report_plain_secret(rd, n, p);
        return false;
    }
    return true;
}

static bool check_path(struct reader *rd, const struct yaml_node *n, const struct path *p)
{
    for (; p; p = p->other) {
        if (!check_one(rd, n, p))
            return false;
    }
    return true;
}

static bool path_has_each(const struct path *p)
{
    bool each = p->root_each;
    for (size_t i = 0; i < p->n_steps; i++)
        each = each || p->steps[i].each;
    return each;
}

bool read_path(struct reader *rd, const struct yaml_node *n, bool each, struct path *ret)
{
    struct path p;
    if (!is_scalar(rd, n, "a path, like body.data.id") ||
        !path_compile(rd->arena, n, yaml_text(n), rd->parents, &p, rd->report) || !check_path(rd, n, &p))
        return false;
    if (p.other && each) {
        report_at(rd->report, n, "'%s': a list has no alternative", p.text);
        return false;
    }
    for (const struct path *o = p.other; o; o = o->other) {
        if (path_has_each(o)) {
            report_at(rd->report, n, "'%s' must be one value: without []", p.text);
            return false;
        }
    }
    if (path_has_each(&p) != each) {
        report_at(rd->report, n, each ? "'%s' must stand for each element of a list: body.items[]" : "'%s' must be one "
                  "value: without []", p.text);
        return false;
    }
    *ret = p;
    return true;
}

static bool is_digest(uint8_t filter)
{
    return filter == FILTER_SHA256 || filter == FILTER_SHA1 || filter >= FILTER_HMAC_SHA256;
}

/* Braces of an answer to a handshake, where a secret may be used but must not be told. */
static bool check_answer_part(struct reader *rd, const struct yaml_node *n, const struct template_part *part)
{
    bool digested = false, bytes = false;
    for (size_t i = 0; i < sizeof(part->filters) && part->filters[i]; i++) {
        bytes = is_digest(part->filters[i]) || (bytes && part->filters[i] == FILTER_SORTED);
        digested = digested || bytes;
    }
    struct reader own = *rd;
    own.secrets = digested;
    if (digested)
        own.roots |= ROOT(SECRET);
    bool ok = check_path(&own, n, &part->path);
    for (size_t i = 0; ok && i < part->n_joined; i++)
        ok = check_path(&own, n, &part->joined[i]);
    own.roots = ROOT(CONFIG) | ROOT(SECRET);
    own.secrets = true;
    ok = ok && (!part->key || check_path(&own, n, &part->key->path));
    if (ok && bytes) {
        report_at(rd->report, n, "a digest is bytes: write it with |hex or |base64");
        ok = false;
    }
    return ok;
}

static bool check_part(struct reader *rd, const struct yaml_node *n, const struct template_part *part)
{
    if (rd->shaking)
        return check_answer_part(rd, n, part);
    if (part->key || part->n_joined) {
        report_at(rd->report, n, "'%s': %s only in the answer to a handshake", part->path.text,
                  part->key ? "an HMAC is made" : "paths are joined by +");
        return false;
    }
    return check_path(rd, n, &part->path);
}

bool read_template(struct reader *rd, const struct yaml_node *n, struct template *ret)
{
    struct template t;
    if (!is_scalar(rd, n, "a text; {path} puts a value in") ||
        !template_compile(rd->arena, n, yaml_text(n), rd->parents, &t, rd->report))
        return false;
    for (size_t i = 0; i < t.n_parts; i++) {
        const struct template_part *part = &t.parts[i];
        if (part->literal)
            continue;
        if (!check_part(rd, n, part))
            return false;
        bool each = path_has_each(&part->path);
        for (size_t k = 0; k < part->n_joined; k++)
            each = each || path_has_each(&part->joined[k]);
        if (each) {
            report_at(rd->report, n, "'%s' must be one value: without []", part->path.text);
            return false;
        }
    }
    *ret = t;
    return true;
}

bool read_path_or_template(struct reader *rd, const struct yaml_node *n, struct template *ret)
{
    struct path p;
    if (n && yaml_kind(n) == YAML_SCALAR && yaml_text(n).n && memchr(yaml_text(n).p, '{', yaml_text(n).n))
        return read_template(rd, n, ret);
    if (!n || !read_path(rd, n, false, &p))
        return false;
    struct template_part *part = arena_alloc(rd->arena, sizeof(*part));
    *part = (struct template_part){.path = p};
    *ret = (struct template){.parts = part, .n_parts = 1, .text = p.text};
    return true;
}

void read_conditions(struct reader *rd, const struct yaml_node *n, struct condition **ret, size_t *ret_n)
{
    struct condition *c = NULL;
    size_t count = 0;
    if (!n || !conditions_compile(rd->arena, n, rd->parents, &c, &count, rd->report))
        return;
    for (size_t i = 0; i < count; i++) {
        struct reader left = *rd, right = *rd;
        left.shaking = false;
        right.secrets = rd->secrets || rd->shaking; /* a comparison tells of a secret only whether it is equal */
        bool ok = check_path(&left, yaml_key(n, i), &c[i].path);
        if (c[i].kind == COND_PATH)
            ok = check_path(&right, yaml_value(n, i), &c[i].other) && ok;
        if (!ok)
            return;
    }
    *ret = c;
    *ret_n = count;
}

void read_params(struct reader *rd, const struct yaml_node *n, struct query_param **ret, size_t *ret_n)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(rd->report, n, "must be a map (name: value)");
        return;
    }
    struct query_param *list = arena_alloc(rd->arena, (yaml_count(n) + 1) * sizeof(*list));
    for (size_t i = 0; i < yaml_count(n); i++) {
        list[i].name = arena_dup(rd->arena, yaml_text(yaml_key(n, i)));
        if (!read_template(rd, yaml_value(n, i), &list[i].value))
            return;
    }
    *ret = list;
    *ret_n = yaml_count(n);
}

void read_key_map(struct reader *rd, const struct yaml_node *n, struct key_map **ret, size_t *ret_n)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP || yaml_count(n) == 0) {
        report_at(rd->report, n, "must be a map (column: path)");
        return;
    }
    struct key_map *list = arena_alloc(rd->arena, yaml_count(n) * sizeof(*list));
    for (size_t i = 0; i < yaml_count(n); i++) {
        list[i].column = arena_dup(rd->arena, yaml_text(yaml_key(n, i)));
        if (!read_path(rd, yaml_value(n, i), false, &list[i].path))
            return;
    }
    *ret = list;
    *ret_n = yaml_count(n);
}

void read_order(struct reader *rd, const struct yaml_node *n, const char **ret_field, bool *ret_desc)
{
    if (!is_scalar(rd, n, "a field and its direction, like `created desc`"))
        return;
    struct span direction, field = span_cut(yaml_text(n), ' ', &direction);
    bool desc = span_eqz(direction, "desc");
    if (!field.n || (!desc && !span_eqz(direction, "asc"))) {
        report_at(rd->report, n, "'%.*s' must be a field and asc or desc, like `created desc`", SPAN_ARG(yaml_text(n)));
        return;
    }
    *ret_field = arena_dup(rd->arena, field);
    *ret_desc = desc;
}
