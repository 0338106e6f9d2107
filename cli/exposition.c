#include "cli/exposition.h"

/* `quoted`: in a label's value the quote is escaped as well. */
static void add_escaped(struct buf *out, struct span s, bool quoted)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n')
            buf_addz(out, "\\n");
        else if (s.p[i] == '\\' || (quoted && s.p[i] == '"'))
            buf_addf(out, "\\%c", s.p[i]);
        else
            buf_addc(out, s.p[i]);
    }
}

static void add_seconds(struct buf *out, uint64_t us)
{
    buf_addf(out, "%llu", (unsigned long long)(us / 1000000));
    uint64_t rest = us % 1000000;
    if (!rest)
        return;
    int digits = 6;
    for (; rest % 10 == 0; digits--)
        rest /= 10;
    buf_addf(out, ".%0*llu", digits, (unsigned long long)rest);
}

static void add_name(struct buf *out, const char *name, const struct label *labels)
{
    buf_addz(out, name);
    for (const struct label *l = labels; l && l->name; l++) {
        buf_addf(out, "%c%s=\"", l == labels ? '{' : ',', l->name);
        add_escaped(out, l->value, true);
        buf_addc(out, '"');
    }
    buf_addz(out, labels && labels->name ? "} " : " ");
}

void exposition_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_addf(out, "# HELP %s ", name);
    add_escaped(out, span_of(help), false);
    buf_addf(out, "\n# TYPE %s %s\n", name, type);
}

void exposition_count(struct buf *out, const char *name, const struct label *labels, uint64_t value)
{
    add_name(out, name, labels);
    buf_addf(out, "%llu\n", (unsigned long long)value);
}

void exposition_seconds(struct buf *out, const char *name, const struct label *labels, uint64_t us)
{
    add_name(out, name, labels);
    add_seconds(out, us);
    buf_addc(out, '\n');
}

void exposition_histogram(struct buf *out, const char *name, const struct histogram_snapshot *h)
{
    for (int i = 0; i < HISTOGRAM_BOUNDS; i++) {
        buf_addf(out, "%s_bucket{le=\"", name);
        add_seconds(out, histogram_bounds_us[i]);
        buf_addf(out, "\"} %llu\n", (unsigned long long)h->up_to[i]);
    }
    buf_addf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum ", name, (unsigned long long)h->count, name);
    add_seconds(out, h->sum_us);
    buf_addf(out, "\n%s_count %llu\n", name, (unsigned long long)h->count);
}
