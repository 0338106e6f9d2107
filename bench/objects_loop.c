/* objects_loop: the object sink alone: rows that are lines of a file already go through the cut into an object of a bucket.
 * The keys are read from the environment. Prints JSON. */
#include "bench/measure.h"
#include "config/config.h"
#include "core/io.h"
#include "staging/cut.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define PIECE ((size_t)64 << 10)

static bool feed(struct cut *c, const struct staged_source *source, const struct io *io, int fd, char *block, struct err *err)
{
    uint64_t at = 0;
    for (;;) {
        ssize_t n = io->file->pread(io, fd, block, PIECE, at);
        if (n <= 0)
            return n == 0 || err_set(err, ERR_INPUT, "cannot read the rows");
        at += (uint64_t)n;
        if (!cut_lines(c, source, "rows", "2026-01-01", (struct span){block, (size_t)n}, 1, err))
            return false;
    }
}

int main(int argc, char **argv)
{
    const struct io *io = io_posix();
    const char *rows = NULL, *endpoint = NULL, *spool = NULL;
    const struct bench_option options[] = {{"rows", &rows, NULL, NULL, "a file of lines"},
                                           {"endpoint", &endpoint, NULL, NULL, "of the store; its bucket is named `bucket`"},
                                           {"spool", &spool, NULL, NULL, "a folder"},
                                           {NULL, NULL, NULL, NULL, NULL}};
    bench_options(argc, argv, "rows through the object sink into a bucket", options);
    if (!rows || !endpoint || !spool)
        die("--rows, --endpoint and --spool are needed");
    struct objects_config o = {.bucket = "bucket", .prefix = "", .endpoint = endpoint, .region = "us-east-1", .style = STYLE_PATH, .encryption = "", .encryption_key = ""};
    struct source_config config = {.name = "bench"};
    struct staged_source source = {.config = &config, .name = "0"};
    struct store *store = NULL;
    struct err err = {0};
    char *block = malloc(PIECE), lane[40];
    int fd = io->file->open(io, rows, O_RDONLY, 0);
    uint64_t began = io->world->monotonic_us(io);
    (void)snprintf(lane, sizeof(lane), "%llu", (unsigned long long)io->world->now_us(io));
    bool ok = block && fd >= 0 && store_open_s3(io, &o, spool, &store, &err);
    struct cut *c = ok ? cut_new(store, "bench", lane, &err) : NULL;
    ok = c && feed(c, &source, io, fd, block, &err) && cut_seal(c, 1, 1, &err) && cut_commit(c, &err);
    uint64_t us = io->world->monotonic_us(io) - began;
    if (ok)
        printf("{\"us\": %llu, \"text\": %llu, \"bytes\": %llu}\n", (unsigned long long)us, (unsigned long long)c->outputs[0].text,
               (unsigned long long)c->outputs[0].bytes);
    else
        fprintf(stderr, "objects_loop: %s\n", err.msg);
    cut_free(&c);
    store_close(&store);
    free(block);
    return ok ? 0 : 1;
}
