/* The keys outside of sources, as rows; reading them by their rows. */
#include "config/internal.h"
#include "core/clock.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AT(field) offsetof(struct config, field)
#define KIB UINT64_C(1024)
#define SECOND UINT64_C(1000000)

const struct key_row config_keys[] = {
    {"listen", KEY_ADDRESS, AT(listen), "127.0.0.1:8080", 0, 0, NULL, "where providers post to: host:port; port 0 takes a free one"},
    {"public_url", KEY_URL, AT(public_url), "", 0, 0, NULL,
     "the address under which providers reach this listener; for schemes that sign the URL, and for registration"},
    {"data_dir", KEY_PATH, AT(data_dir), "./data", 0, 0, NULL, "journal, state, staging and tables; one process at a time writes it"},
    {"ack", KEY_WORD, SIZE_MAX, "journal", 0, 0, "journal", "2xx is sent after the journal's fdatasync"},
    {"staging.objects.url", KEY_URL, AT(objects_dir), "file://./data/staging", 0, 0, NULL, "where staged objects go: file://folder"},
    {"staging.objects.cut_bytes", KEY_SIZE, AT(cut_bytes), "64MiB", KIB, 0, NULL, "an object is cut when this much text is in it"},
    {"staging.objects.cut_age", KEY_DURATION, AT(cut_age_us), "60s", 1000, 0, NULL, "or when its oldest entry is this old"},
    {"merge.target", KEY_URL, AT(merge_db), "sqlite:./data/tables.db", 0, 0, NULL, "the tables: sqlite:file"},
    {"merge.every", KEY_DURATION, AT(merge_every_us), "1s", 1000, 0, NULL, "how often staged objects are looked for"},
    {"retention.raw", KEY_DURATION, AT(retain_raw_us), "7d", 0, 0, NULL, "how long raw entries stay in the journal once they are staged"},
    {"journal.max", KEY_SIZE, AT(journal_max_bytes), "20GiB", 1024 * KIB, 0, NULL, "the journal's size at which deliveries are answered 503"},
    {"journal.reserve", KEY_SIZE, AT(journal_reserve_bytes), "256MiB", 0, 0, NULL, "free disk below which deliveries are answered 503"},
    {"journal.segment", KEY_SIZE, AT(segment_bytes), "64MiB", 64 * KIB, 4096 * 1024 * KIB, NULL, "a new segment file begins at this size"},
    {"limits.body", KEY_SIZE, AT(body_bytes_max), "26MiB", KIB, 256 * 1024 * KIB, NULL, "largest body of a delivery (413 above)"},
    {"limits.headers", KEY_SIZE, AT(header_bytes_max), "32KiB", 4 * KIB, 1024 * KIB, NULL, "memory for the headers of one request"},
    {"limits.connections", KEY_NUMBER, AT(connections_max), "4096", 1, 100000, NULL, "open connections in all"},
    {"limits.idle", KEY_DURATION, AT(idle_us), "30s", SECOND, 3600 * SECOND, NULL, "a connection that sends nothing is closed after this"},
    {"limits.request", KEY_DURATION, AT(request_us), "60s", SECOND, 3600 * SECOND, NULL, "longest time of one whole request"},
    {"limits.threads", KEY_NUMBER, AT(threads), "0", 0, 64, NULL, "epoll workers; 0: as many as cores, at most 4"},
    {"drain_delay", KEY_DURATION, AT(drain_us), "0s", 0, 600 * SECOND, NULL, "how long requests are still taken after SIGTERM"},
    {"log.format", KEY_WORD, AT(log_json), "logfmt", 0, 0, "logfmt json", "the form of log lines on stderr"},
    {NULL, 0, 0, NULL, 0, 0, NULL, NULL},
};

/* ${VAR} or ${VAR:-default} at p; appends its value. Returns what follows the brace, or NULL after a message. */
static const char *add_variable(struct loading *l, const struct yaml_node *n, const char *p, const char *end, struct buf *out)
{
    const char *close = memchr(p, '}', (size_t)(end - p));
    if (!close) {
        report_at(l->r, n, "'${' without its '}'");
        return NULL;
    }
    struct span inside = {p + 2, (size_t)(close - p - 2)}, fallback = {NULL, 0}, name = inside;
    for (size_t i = 0; i + 1 < inside.n; i++)
        if (inside.p[i] == ':' && inside.p[i + 1] == '-') {
            name = (struct span){inside.p, i};
            fallback = span_skip(inside, i + 2);
            break;
        }
    char *z = arena_dup(l->c->arena, name);
    const char *value = getenv(z);
    if (value && *value)
        buf_addz(out, value);
    else if (fallback.p)
        buf_adds(out, fallback);
    else {
        report_at(l->r, n, "the variable %s is not set; ${%s:-default} gives it a default", z, z);
        return NULL;
    }
    return close + 1;
}

bool config_scalar(struct loading *l, const struct yaml_node *n, const char **ret)
{
    if (yaml_kind(n) != YAML_SCALAR) {
        report_at(l->r, n, "must be a single value");
        return false;
    }
    struct span text = yaml_text(n);
    struct buf out;
    buf_init(&out, 1 << 16);
    const char *p = text.p, *end = text.p + text.n;
    while (p && p < end) {
        if (p + 1 < end && p[0] == '$' && p[1] == '{')
            p = add_variable(l, n, p, end, &out);
        else
            buf_addc(&out, *p++);
    }
    bool ok = p || !text.n;
    if (ok)
        *ret = arena_dup(l->c->arena, buf_span(&out));
    buf_release(&out);
    return ok;
}

const char *config_path(struct loading *l, struct span path)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    if (path.n && path.p[0] == '/')
        buf_adds(&out, path);
    else
        buf_addf(&out, "%s/%.*s", l->c->dir, SPAN_ARG(span_starts(path, SPAN_LIT("./")) ? span_skip(path, 2) : path));
    const char *z = arena_dup(l->c->arena, buf_span(&out));
    buf_release(&out);
    return z;
}

static void set_address(struct loading *l, const struct yaml_node *n, const char *text, struct listen_addr *at)
{
    const char *colon = strrchr(text, ':');
    char *end;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
    if (!colon || colon == text || !colon[1] || *end || port > 65535) {
        report_at(l->r, n, "'%s' is no address; write host:port, such as 127.0.0.1:8080", text);
        return;
    }
    struct span host = {text, (size_t)(colon - text)};
    if (host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct span){host.p + 1, host.n - 2};
    at->host = arena_dup(l->c->arena, host);
    at->port = (uint16_t)port;
}

static void set_url(struct loading *l, const struct yaml_node *n, const struct key_row *k, const char *text, const char **at)
{
    struct span s = span_of(text);
    if (k->offset == AT(objects_dir)) {
        if (span_starts(s, SPAN_LIT("file://")) && s.n > 7)
            *at = config_path(l, span_skip(s, 7));
        else
            report_at(l->r, n, "'%s': this version stages to folders only: file://./data/staging", text);
    } else if (k->offset == AT(merge_db)) {
        if (span_starts(s, SPAN_LIT("sqlite:")) && s.n > 7)
            *at = config_path(l, span_skip(s, 7));
        else
            report_at(l->r, n, "'%s': this version merges into SQLite only: sqlite:./data/tables.db", text);
    } else if (!s.n) {
        *at = NULL;
    } else if (span_starts(s, SPAN_LIT("https://")) || span_starts(s, SPAN_LIT("http://"))) {
        *at = text;
    } else {
        report_at(l->r, n, "'%s' is no URL; write https://host", text);
    }
}

static bool in_range(struct loading *l, const struct yaml_node *n, const struct key_row *k, const char *text, uint64_t v)
{
    if (v >= k->least && (!k->most || v <= k->most))
        return true;
    report_at(l->r, n, "%s is out of range (default %s)", text, k->fallback);
    return false;
}

static void set_number(struct loading *l, const struct yaml_node *n, const struct key_row *k, const char *text, char *base)
{
    uint64_t v = 0;
    struct span s = span_of(text);
    bool ok = k->type == KEY_SIZE ? clock_parse_size(s, &v) : k->type == KEY_DURATION ? clock_parse_duration(s, &v)
                                                                                      : clock_parse_digits(s, 'u', &v);
    if (!ok) {
        report_at(l->r, n, "'%s' is no %s; the default is %s", text,
                  k->type == KEY_SIZE ? "size" : k->type == KEY_DURATION ? "duration" : "whole number", k->fallback);
        return;
    }
    if (!in_range(l, n, k, text, v))
        return;
    if (k->type == KEY_NUMBER || k->offset == AT(header_bytes_max))
        *(uint32_t *)(void *)(base + k->offset) = (uint32_t)v;
    else
        *(uint64_t *)(void *)(base + k->offset) = v;
}

static void set_word(struct loading *l, const struct yaml_node *n, const struct key_row *k, const char *text)
{
    const char *words[8];
    size_t count = 0;
    for (struct span rest = span_of(k->words); rest.p && count < 7;)
        words[count++] = arena_dup(l->c->arena, span_cut(rest, ' ', &rest));
    words[count] = NULL;
    for (size_t i = 0; i < count; i++)
        if (strcmp(words[i], text) == 0) {
            if (k->offset == AT(log_json))
                l->c->log_json = i == 1;
            return;
        }
    if (k->offset == SIZE_MAX && strcmp(text, "kafka") == 0)
        report_at(l->r, n, "kafka: this version acknowledges from its journal only; there is journal");
    else
        report_word(l->r, n, words);
}

static void set_key(struct loading *l, const struct yaml_node *n, const struct key_row *k, const char *text)
{
    char *base = (char *)l->c;
    switch (k->type) {
    case KEY_ADDRESS:
        set_address(l, n, text, &l->c->listen);
        break;
    case KEY_PATH:
        *(const char **)(void *)(base + k->offset) = config_path(l, span_of(text));
        break;
    case KEY_TEXT:
        *(const char **)(void *)(base + k->offset) = text;
        break;
    case KEY_URL:
        set_url(l, n, k, text, (const char **)(void *)(base + k->offset));
        break;
    case KEY_WORD:
        set_word(l, n, k, text);
        break;
    default:
        set_number(l, n, k, text, base);
        break;
    }
}

/* The node at a dotted path, or NULL. */
static const struct yaml_node *node_at(const struct yaml_node *n, const char *path)
{
    struct span rest = span_of(path);
    while (n && rest.p) {
        char name[64];
        struct span part = span_cut(rest, '.', &rest);
        snprintf(name, sizeof name, "%.*s", SPAN_ARG(part));
        n = yaml_kind(n) == YAML_MAP ? yaml_get(n, name) : NULL;
    }
    return n;
}

void config_read_keys(struct loading *l, const struct yaml_node *root)
{
    for (const struct key_row *k = config_keys; k->path; k++) {
        const struct yaml_node *n = node_at(root, k->path);
        const char *text = k->fallback;
        if (n && !config_scalar(l, n, &text))
            continue;
        set_key(l, n ? n : root, k, text);
    }
    if (!l->c->threads) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        l->c->threads = cores < 1 ? 1 : cores > 4 ? 4 : (unsigned)cores;
    }
}
