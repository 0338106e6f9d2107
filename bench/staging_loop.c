/* staging_loop: the stager alone over the journal of a data directory that no server runs on: from its position to the last durable
 * entry, into the objects that the configuration names. Prints JSON. */
#include "bench/measure.h"
#include "config/config.h"
#include "core/io.h"
#include "staging/stager.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct opened {
    struct config *config;
    struct journal *journal;
    struct store *store;
    struct stager *stager;
};

static bool open_all(const char *file, struct opened *o, struct buf *words, struct err *err)
{
    struct report report;
    struct buf dir = {0};
    report_init(&report);
    o->config = config_load(file, &report, err);
    buf_adds(words, buf_span(&report.text));
    report_release(&report);
    if (!o->config)
        return false;
    buf_addf(&dir, "%s/journal", o->config->data_dir);
    struct journal_opts jo = {.io = io_posix(), .dir = buf_z(&dir), .name = "sluice", .segment_bytes = UINT64_C(64) << 20,
                              .entry_bytes_max = UINT32_C(65) << 20, .readonly = true};
    bool ok = journal_open(&jo, &o->journal, err) && store_open(io_posix(), o->config, &o->store, err);
    buf_release(&dir);
    struct stager_opts so = {.config = o->config, .journal = o->journal, .store = o->store, .data_dir = o->config->data_dir,
                             .io = io_posix()};
    return ok && stager_new(&so, &o->stager, err);
}

int main(int argc, char **argv)
{
    const char *config = NULL;
    const struct bench_option options[] = {{"config", &config, NULL, NULL, "sluice.yaml of the data directory"},
                                           {NULL, NULL, NULL, NULL, NULL}};
    bench_options(argc, argv, "the stager alone", options);
    struct opened o = {0};
    struct buf words = {0};
    struct err err = {0};
    bool ok = config && open_all(config, &o, &words, &err);
    errno = 0;
    if (!ok)
        die("%s%s", buf_z(&words), config ? err.msg : "--config is needed");
    uint64_t began = now_ns(), cpu = cpu_ns(), entries = lane_durable(journal_lane(o.journal, LANE_EVENTS));
    ok = stager_drain(o.stager, &err);
    errno = 0;
    if (!ok)
        die("%s", err.msg);
    printf("{\"entries\": %llu, \"seconds\": %.4f, \"cpu_us_each\": %.3f}\n", (unsigned long long)entries,
           (double)(now_ns() - began) / 1e9, (double)(cpu_ns() - cpu) / 1e3 / (double)(entries ? entries : 1));
    stager_free(&o.stager);
    store_close(&o.store);
    journal_close(&o.journal);
    config_free(&o.config);
    buf_release(&words);
    return 0;
}
