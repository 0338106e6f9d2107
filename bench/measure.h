/* measure: what the benchmark programs share: the clock, histograms of latencies, options, files of requests.
 *
 * A file of requests (bench/payloads.py writes it; integers little-endian):
 *   "SLBENCH1"  u32 count  then count times: u32 length, u32 id_offset, length bytes of raw HTTP request
 * At id_offset stand 36 bytes that whoever sends the request may overwrite (a delivery id that is not signed); 0: none.
 * Every program ends with a message and exit code 2 on wrong usage, 1 when it cannot go on: nobody reads on after an error.
 * Threads: plain values, one thread each. Life: requests_load -> use -> requests_free. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ID_BYTES 36 /* xxxxxxxx-0000-4000-8000-xxxxxxxxxxxx */

uint64_t now_ns(void);                                                     /* monotonic */
uint64_t cpu_ns(void);                                                     /* of this process */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* errno's text where there is one; exit 1 */

/* ---- options: --name value ---- */
struct bench_option {
    const char *name; /* without the dashes */
    const char **text; /* one of the three */
    uint64_t *number;
    bool *flag; /* takes no value */
    const char *help;
};
/* `options` ends with a name of NULL. Prints the options and exits 0 for --help, 2 for what it does not know. */
void bench_options(int argc, char **argv, const char *what, const struct bench_option *options);

/* ---- a log-linear histogram: 64 steps for each power of two, so a value is known to 1.6 % ---- */
#define HISTOGRAM_SLOTS 2560 /* up to 2^45 ns, ten hours */
struct latencies {
    uint64_t count[HISTOGRAM_SLOTS];
    uint64_t total, max;
};
void latencies_add(struct latencies *h, uint64_t ns);
void latencies_merge(struct latencies *into, const struct latencies *from);
uint64_t latencies_at(const struct latencies *h, double share); /* ns; the middle of its step, at most the largest seen */
/* "p50_us": …, "p90_us": …, "p99_us": …, "p999_us": …, "max_us": … on stdout. */
void latencies_print(const struct latencies *h);

/* ---- requests ---- */
struct bench_request {
    const char *p;
    uint32_t n, id_offset;
    uint32_t body; /* offset of the body */
};
struct requests {
    char *bytes; /* owns */
    struct bench_request *list;
    size_t n;
    uint64_t body_bytes; /* of all */
};
void requests_load(const char *path, struct requests *ret);
void requests_free(struct requests *r);
/* Writes the id number `n` of the run `run`: fixed width, distinct for each n below 16^12. */
void request_id(uint32_t run, uint64_t n, char out[ID_BYTES]);
