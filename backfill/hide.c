#include "backfill/hide.h"
#include "core/codec.h"
#include <stdio.h>

struct pair { /* a secret's text and what stands for it */
    struct buf secret, name;
};

/* The i-th secret, as it is or percent-encoded; false: there is no such form. */
static bool make_pair(const struct hide *h, size_t i, bool encoded, struct pair *p)
{
    struct span value = h->config[i].value;
    buf_clear(&p->secret);
    buf_clear(&p->name);
    if (i >= h->source->n_values || !h->source->values[i].secret || !value.n)
        return false;
    if (encoded)
        percent_encode(&p->secret, value);
    else
        buf_adds(&p->secret, value);
    buf_addf(&p->name, "{config.%s%s}", h->source->values[i].name, encoded ? "|percent" : "");
    return !encoded || !span_eq(buf_span(&p->secret), value);
}

static void replace(struct span in, struct span what, struct span with, struct buf *out)
{
    while (in.n) {
        const char *at = memmem(in.p, in.n, what.p, what.n);
        size_t n = at ? (size_t)(at - in.p) : in.n;
        buf_add(out, in.p, n);
        if (at)
            buf_adds(out, with);
        in = span_skip(in, at ? n + what.n : n);
    }
}

static void exchange(const struct hide *h, struct span in, bool reveal, struct buf *out)
{
    struct pair p;
    struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    buf_init(&p.secret, 0);
    buf_init(&p.name, 0);
    buf_adds(&a, in);
    for (size_t k = 0; k < 2 * h->n_config; k++) {
        if (!make_pair(h, k / 2, k % 2 == 1, &p))
            continue;
        buf_clear(&b);
        replace(buf_span(&a), buf_span(reveal ? &p.name : &p.secret), buf_span(reveal ? &p.secret : &p.name), &b);
        struct buf spare = a;
        a = b;
        b = spare;
    }
    buf_adds(out, buf_span(&a));
    struct buf *const used[] = {&a, &b, &p.secret, &p.name};
    for (size_t i = 0; i < sizeof used / sizeof *used; i++) {
        out->failed = out->failed || !buf_ok(used[i]);
        if (used[i]->p)
            explicit_bzero(used[i]->p, used[i]->cap);
        buf_release(used[i]);
    }
}

void hide_secrets(const struct hide *h, struct span in, struct buf *out)
{
    exchange(h, in, false, out);
}

void hide_reveal(const struct hide *h, struct span in, struct buf *out)
{
    exchange(h, in, true, out);
}

void hide_in_message(const struct hide *h, struct err *err)
{
    struct buf out;
    buf_init(&out, 0);
    hide_secrets(h, span_of(err->msg), &out);
    if (buf_ok(&out))
        (void)snprintf(err->msg, sizeof err->msg, "%s", buf_z(&out));
    buf_release(&out);
}
