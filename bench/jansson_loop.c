/* jansson_loop: the comparison for transforms: jansson reads each body and writes it again, on one core. Prints JSON. */
#include "bench/measure.h"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

static int count_bytes(const char *p, size_t n, void *ctx)
{
    (void)p;
    *(uint64_t *)ctx += n;
    return 0;
}

int main(int argc, char **argv)
{
    const char *file = NULL;
    uint64_t ms = 1000;
    const struct bench_option options[] = {
        {"requests", &file, NULL, NULL, "file of requests"},
        {"ms", NULL, &ms, NULL, "how long (1000)"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    bench_options(argc, argv, "jansson: parse and dump the bodies", options);
    if (!file || !ms) {
        fprintf(stderr, "jansson_loop: --requests FILE is needed, --ms must not be 0 (--help)\n");
        return 2;
    }
    struct requests r;
    requests_load(file, &r);
    uint64_t begin = now_ns(), over = begin, n = 0, bytes = 0, written = 0;
    while (over - begin < ms * 1000000) {
        for (size_t i = 0; i < r.n; i++) {
            const struct bench_request *q = &r.list[i];
            json_error_t why;
            json_t *v = json_loadb(q->p + q->body, q->n - q->body, 0, &why);
            errno = 0;
            if (!v || json_dump_callback(v, count_bytes, &written, JSON_COMPACT) != 0)
                die("request %zu: jansson refuses the body: %s", i, v ? "cannot be written" : why.text);
            json_decref(v);
            bytes += q->n - q->body;
        }
        n += r.n;
        over = now_ns();
    }
    double seconds = (double)(over - begin) / 1e9;
    printf("{\"events\": %llu, \"seconds\": %.4f, \"per_second\": %.1f, \"us_each\": %.3f, \"bytes_per_second\": %.0f, "
           "\"written\": %llu}\n",
           (unsigned long long)n, seconds, (double)n / seconds, seconds * 1e6 / (double)n, (double)bytes / seconds,
           (unsigned long long)written);
    requests_free(&r);
    return 0;
}
