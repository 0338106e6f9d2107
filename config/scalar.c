/* Single values of the file: variables, words, paths, quantities. */
#include "config/internal.h"
#include <stdlib.h>

#define SCALAR_BYTES_MAX ((size_t)1 << 16)
#define SHOWN_MAX 40 /* a longer wrong word is not repeated */

bool config_is_variable(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9'))
            return false;
    }
    return s.n > 0;
}

/* ${VAR} or ${VAR:-default} at the beginning of *rest; appends its value and moves on. false after a message. */
static bool add_variable(struct loading *l, const struct yaml_node *n, struct span *rest, struct buf *out)
{
    struct span after, inside = span_cut(span_skip(*rest, 2), '}', &after);
    if (!after.p) {
        report_at(l->r, n, "'${' without its '}'");
        return false;
    }
    struct span name = inside, fallback = {NULL, 0};
    for (size_t i = 0; i + 1 < inside.n && !fallback.p; i++) {
        if (inside.p[i] == ':' && inside.p[i + 1] == '-') {
            name = (struct span){inside.p, i};
            fallback = span_skip(inside, i + 2);
        }
    }
    if (!config_is_variable(name)) {
        report_at(l->r, n, "'%.*s' is no variable's name; write ${NAME} or ${NAME:-default}", SPAN_ARG(name));
        return false;
    }
    const char *value = getenv(arena_dup(l->c->arena, name));
    if (value && *value) {
        buf_addz(out, value);
    } else if (fallback.p) {
        buf_adds(out, fallback);
    } else {
        report_at(l->r, n, "the environment variable %.*s is %s; ${%.*s:-default} gives it a default", SPAN_ARG(name),
                  value ? "empty" : "not set", SPAN_ARG(name));
        return false;
    }
    *rest = after;
    return true;
}

bool config_scalar(struct loading *l, const struct yaml_node *n, const char **ret)
{
    if (yaml_kind(n) != YAML_SCALAR) {
        report_at(l->r, n, yaml_kind(n) == YAML_NULL ? "has no value" : "must be a single value");
        return false;
    }
    struct span rest = yaml_text(n);
    struct buf out;
    buf_init(&out, SCALAR_BYTES_MAX);
    bool ok = true;
    while (ok && rest.n) {
        if (span_starts(rest, SPAN_LIT("${"))) {
            ok = add_variable(l, n, &rest, &out);
        } else {
            buf_addc(&out, rest.p[0]);
            rest = span_skip(rest, 1);
        }
    }
    if (ok && !buf_ok(&out)) {
        report_at(l->r, n, "is longer than %zu bytes", SCALAR_BYTES_MAX);
        ok = false;
    }
    if (ok)
        *ret = arena_dup(l->c->arena, buf_span(&out));
    buf_release(&out);
    return ok;
}

const char *config_shown(struct loading *l, const struct yaml_node *n, const char *text)
{
    struct span written = yaml_text(n);
    return written.n && memmem(written.p, written.n, "${", 2) ? arena_dup(l->c->arena, written) : text;
}

bool config_word(struct loading *l, const struct yaml_node *n, const char *const *words, size_t *ret)
{
    const char *text;
    if (!n || !config_scalar(l, n, &text))
        return false;
    struct buf list;
    buf_init(&list, 4096);
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], text) == 0) {
            buf_release(&list);
            *ret = i;
            return true;
        }
        buf_addf(&list, "%s%s", i ? ", " : "", words[i]);
    }
    const char *shown = config_shown(l, n, text);
    if (strlen(shown) > SHOWN_MAX) {
        yaml_hide(n);
        report_at(l->r, n, "is not one of %s", buf_z(&list));
    } else if (shown != text) {
        report_at(l->r, n, "what %s holds is not one of %s", shown, buf_z(&list));
    } else {
        report_word(l->r, n, words);
    }
    buf_release(&list);
    return false;
}

const char *config_path(struct loading *l, struct span path)
{
    if (path.n && path.p[0] == '/')
        return arena_dup(l->c->arena, path);
    struct buf out;
    buf_init(&out, SCALAR_BYTES_MAX * 2);
    while (span_starts(path, SPAN_LIT("./")))
        path = span_skip(path, 2);
    buf_addf(&out, "%s%s", l->c->dir, strcmp(l->c->dir, "/") == 0 ? "" : "/");
    buf_adds(&out, path);
    const char *z = arena_dup(l->c->arena, buf_span(&out));
    buf_release(&out);
    return z;
}

bool config_is_url(const char *text)
{
    struct span s = span_of(text);
    size_t scheme = span_starts(s, SPAN_LIT("https://")) ? 8 : span_starts(s, SPAN_LIT("http://")) ? 7 : 0;
    return scheme && s.n > scheme && text[scheme] != '/' && !strpbrk(text, " \t\r\n");
}

void config_quantity(struct buf *out, enum key_type type, uint64_t v)
{
    static const struct {
        enum key_type type;
        uint64_t scale;
        const char *unit;
    } units[] = {
        {KEY_SIZE, UINT64_C(1) << 30, "GiB"},          {KEY_SIZE, UINT64_C(1) << 20, "MiB"},
        {KEY_SIZE, UINT64_C(1) << 10, "KiB"},          {KEY_DURATION, UINT64_C(86400000000), "d"},
        {KEY_DURATION, UINT64_C(3600000000), "h"},     {KEY_DURATION, UINT64_C(60000000), "m"},
        {KEY_DURATION, UINT64_C(1000000), "s"},        {KEY_DURATION, UINT64_C(1000), "ms"},
    };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (units[i].type == type && v && v % units[i].scale == 0) {
            buf_addf(out, "%llu%s", (unsigned long long)(v / units[i].scale), units[i].unit);
            return;
        }
    }
    buf_addf(out, "%llu", (unsigned long long)v);
}
