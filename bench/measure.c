#include "bench/measure.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char magic[8] = {'S', 'L', 'B', 'E', 'N', 'C', 'H', '1'};

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

void die(const char *fmt, ...)
{
    int why = errno;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, why ? ": %s\n" : "\n", strerror(why));
    exit(1);
}

/* ---- options ---- */

static _Noreturn void usage(const char *program, const char *what, const struct bench_option *options, int code)
{
    FILE *to = code ? stderr : stdout;
    fprintf(to, "%s: %s\n", program, what);
    for (const struct bench_option *o = options; o->name; o++)
        fprintf(to, "  --%-12s %-8s %s\n", o->name, o->flag ? "" : o->number ? "NUMBER" : "TEXT", o->help);
    exit(code);
}

static bool number_of(const char *text, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-')
        return false;
    *ret = v;
    return true;
}

void bench_options(int argc, char **argv, const char *what, const struct bench_option *options)
{
    for (int i = 1; i < argc; i++) {
        const struct bench_option *o = options;
        if (strcmp(argv[i], "--help") == 0)
            usage(argv[0], what, options, 0);
        while (o->name && (strncmp(argv[i], "--", 2) != 0 || strcmp(argv[i] + 2, o->name) != 0))
            o++;
        bool known = o->name != NULL;
        if (known && o->flag) {
            *o->flag = true;
            continue;
        }
        if (!known || i + 1 == argc || (o->number && !number_of(argv[i + 1], o->number))) {
            fprintf(stderr, "%s: %s is %s\n", argv[0], argv[i], known ? "without the value that it takes" : "no option");
            usage(argv[0], what, options, 2);
        }
        i++;
        if (o->text)
            *o->text = argv[i];
    }
}

/* ---- histogram ---- */

static size_t slot_of(uint64_t v)
{
    int top = v ? 63 - __builtin_clzll(v) : 0;
    int shift = top > 6 ? top - 6 : 0;
    size_t slot = (size_t)shift * 64 + (size_t)(v >> shift);
    return slot < HISTOGRAM_SLOTS ? slot : HISTOGRAM_SLOTS - 1;
}

static uint64_t middle_of(size_t slot)
{
    if (slot < 128)
        return slot;
    size_t shift = slot / 64 - 1;
    return ((uint64_t)(slot - shift * 64) << shift) + ((UINT64_C(1) << shift) >> 1);
}

void latencies_add(struct latencies *h, uint64_t ns)
{
    h->count[slot_of(ns)]++;
    h->total++;
    if (ns > h->max)
        h->max = ns;
}

void latencies_merge(struct latencies *into, const struct latencies *from)
{
    for (size_t i = 0; i < HISTOGRAM_SLOTS; i++)
        into->count[i] += from->count[i];
    into->total += from->total;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t latencies_at(const struct latencies *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->total + 0.5), below = 0;
    if (wanted == 0)
        wanted = 1;
    for (size_t i = 0; h->total && i < HISTOGRAM_SLOTS; i++) {
        below += h->count[i];
        if (below >= wanted)
            return middle_of(i) < h->max ? middle_of(i) : h->max;
    }
    return h->max;
}

void latencies_print(const struct latencies *h)
{
    printf("\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f",
           (double)latencies_at(h, 0.5) / 1e3, (double)latencies_at(h, 0.9) / 1e3, (double)latencies_at(h, 0.99) / 1e3,
           (double)latencies_at(h, 0.999) / 1e3, (double)h->max / 1e3);
}

/* ---- requests ---- */

static char *read_all(const char *path, size_t *ret_n)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0)
        die("cannot read %s", path);
    long n = ftell(f);
    char *p = n < 0 ? NULL : malloc((size_t)n + 1);
    rewind(f);
    if (!p || fread(p, 1, (size_t)n, f) != (size_t)n)
        die("cannot read %s", path);
    fclose(f);
    p[n] = 0;
    *ret_n = (size_t)n;
    return p;
}

static uint32_t u32_at(const char *p)
{
    unsigned char b[4];
    memcpy(b, p, 4);
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

void requests_load(const char *path, struct requests *ret)
{
    size_t n, at = sizeof magic + 4;
    *ret = (struct requests){.bytes = read_all(path, &n)};
    errno = 0;
    if (n < at || memcmp(ret->bytes, magic, sizeof magic) != 0)
        die("%s is no file of requests (bench/payloads.py makes one)", path);
    ret->n = u32_at(ret->bytes + sizeof magic);
    if (!ret->n || ret->n > n / 8)
        die("%s: %zu requests cannot be in it", path, ret->n);
    ret->list = calloc(ret->n, sizeof *ret->list);
    if (!ret->list)
        die("no memory for %zu requests", ret->n);
    for (size_t i = 0; i < ret->n; i++) {
        struct bench_request *q = &ret->list[i];
        if (n - at < 8 || n - at - 8 < u32_at(ret->bytes + at))
            die("%s ends within request %zu", path, i);
        *q = (struct bench_request){ret->bytes + at + 8, u32_at(ret->bytes + at), u32_at(ret->bytes + at + 4), 0};
        const char *end = memmem(q->p, q->n, "\r\n\r\n", 4);
        if (!end || (q->id_offset && q->id_offset + ID_BYTES > q->n))
            die("%s: request %zu has no end of its head, or its id lies outside", path, i);
        q->body = (uint32_t)(end + 4 - q->p);
        ret->body_bytes += q->n - q->body;
        at += 8 + q->n;
    }
}

void requests_free(struct requests *r)
{
    free(r->list);
    free(r->bytes);
    *r = (struct requests){0};
}

void request_id(uint32_t run, uint64_t n, char out[ID_BYTES])
{
    static const char digits[16] = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
    memcpy(out + 8, "-0000-4000-8000-", 16);
    for (int i = 7; i >= 0; i--, run >>= 4)
        out[i] = digits[run & 15];
    for (int i = 35; i >= 24; i--, n >>= 4)
        out[i] = digits[n & 15];
}
