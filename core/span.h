/* span: a borrowed run of bytes. Never owns, need not end with NUL. Plain value. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *p;
    size_t n;
};

#define SPAN_LIT(s) ((struct span){(s), sizeof(s) - 1})
/* For printf("%.*s", SPAN_ARG(x)). */
#define SPAN_ARG(s) (int)(s).n, (s).p

static inline struct span span_of(const char *z)
{
    return (struct span){z, z ? strlen(z) : 0};
}

static inline struct span span_make(const void *p, size_t n)
{
    return (struct span){p, n};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool span_eqz(struct span a, const char *z)
{
    return span_eq(a, span_of(z));
}

static inline bool span_ieq(struct span a, struct span b) /* ASCII case folded: header names */
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

static inline bool span_starts(struct span a, struct span prefix)
{
    return a.n >= prefix.n && memcmp(a.p, prefix.p, prefix.n) == 0;
}

static inline struct span span_skip(struct span a, size_t n)
{
    return n > a.n ? (struct span){a.p + a.n, 0} : (struct span){a.p + n, a.n - n};
}

/* The part before the first `c`; *rest is what follows it, or {NULL, 0} when there is no `c`. */
static inline struct span span_cut(struct span a, char c, struct span *rest)
{
    const char *at = a.n ? memchr(a.p, c, a.n) : NULL;
    if (!at) {
        *rest = (struct span){NULL, 0};
        return a;
    }
    *rest = (struct span){at + 1, (size_t)(a.p + a.n - at - 1)};
    return (struct span){a.p, (size_t)(at - a.p)};
}

static inline struct span span_trim_lines(struct span a) /* and ends of lines */
{
    while (a.n && (a.p[0] == ' ' || a.p[0] == '\t' || a.p[0] == '\r' || a.p[0] == '\n'))
        a = span_skip(a, 1);
    while (a.n && (a.p[a.n - 1] == ' ' || a.p[a.n - 1] == '\t' || a.p[a.n - 1] == '\r' || a.p[a.n - 1] == '\n'))
        a.n--;
    return a;
}

static inline struct span span_trim(struct span a) /* spaces and tabs at both ends */
{
    while (a.n && (a.p[0] == ' ' || a.p[0] == '\t'))
        a = span_skip(a, 1);
    while (a.n && (a.p[a.n - 1] == ' ' || a.p[a.n - 1] == '\t'))
        a.n--;
    return a;
}
