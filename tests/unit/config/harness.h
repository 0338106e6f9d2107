/* harness: a folder with files, and the configuration that is read from it. For the tests of config/. */
#pragma once
#include "config/config.h"
#include "core/io.h"
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct world {
    char dir[512];
    struct report report;
    struct err err;
    struct config *config;
};

static inline void world_open(struct world *w)
{
    const char *tmp = getenv("TMPDIR");
    *w = (struct world){0};
    snprintf(w->dir, sizeof w->dir, "%s/sluice-config-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    char *real = realpath(w->dir, NULL);
    ck_assert_ptr_nonnull(real);
    snprintf(w->dir, sizeof w->dir, "%s", real);
    free(real);
    report_init(&w->report);
}

static inline const char *world_path(struct world *w, const char *name, char out[1024])
{
    snprintf(out, 1024, "%s/%s", w->dir, name);
    return out;
}

static inline void world_write(struct world *w, const char *name, const char *text)
{
    char path[1024], folder[1024];
    struct err err = {0};
    snprintf(folder, sizeof folder, "%s", world_path(w, name, path));
    *strrchr(folder, '/') = 0;
    ck_assert_msg(io_mkdirs(io_posix(), folder, 0700, &err), "%s", err.msg);
    ck_assert_msg(io_write_file_atomic(io_posix(), path, 0600, span_of(text), &err), "%s", err.msg);
}

static inline void world_forget(struct world *w)
{
    config_free(&w->config);
    report_release(&w->report);
    report_init(&w->report);
    w->err = (struct err){0};
}

/* Reads `text` as <dir>/sluice.yaml. */
static inline struct config *world_load(struct world *w, const char *text)
{
    char path[1024];
    world_forget(w);
    world_write(w, "sluice.yaml", text);
    w->config = config_load(world_path(w, "sluice.yaml", path), &w->report, &w->err);
    return w->config;
}

static inline struct config *world_good(struct world *w, const char *text)
{
    ck_assert_msg(world_load(w, text) != NULL, "%s\nreport: %s\nerr: %s", text, buf_z(&w->report.text), w->err.msg);
    ck_assert_uint_eq(w->report.count, 0);
    return w->config;
}

/* The report without the folder in front of file names. */
static inline const char *world_said(struct world *w)
{
    struct buf short_text;
    char folder[1024];
    buf_init(&short_text, 0);
    snprintf(folder, sizeof folder, "%s/", w->dir);
    for (const char *p = buf_z(&w->report.text), *at; *p; p = at + strlen(folder)) {
        at = strstr(p, folder);
        buf_add(&short_text, p, at ? (size_t)(at - p) : strlen(p));
        if (!at)
            break;
    }
    buf_release(&w->report.text);
    w->report.text = short_text;
    return buf_z(&w->report.text);
}

static inline void world_close(struct world *w)
{
    char command[1200];
    world_forget(w);
    report_release(&w->report);
    snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    ck_assert_int_eq(system(command), 0);
}

static inline int run(Suite *s)
{
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
