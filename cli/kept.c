#include "cli/kept.h"
#include "cli/registry.h"
#include "cli/remote.h"
#include "core/clock.h"
#include "core/mem.h"
#include "server/rejected.h"
#include <stdlib.h>

/* ---- requests ---- */

static int ask_server(int fd, const char *source, uint64_t n, const struct command_io *io, struct buf *out)
{
    char last[] = "--last-rejected", dash_n[] = "-n", count[24], *name = mem_dup(source), *text = NULL;
    size_t size = 0;
    snprintf(count, sizeof count, "%llu", (unsigned long long)n);
    char *argv[] = {name, last, dash_n, count};
    struct command_args a = {.argc = 4, .argv = argv, .input = SPAN_LIT("")};
    struct command_io to_memory = *io;
    to_memory.out = open_memstream(&text, &size);
    int code = EXIT_FAILED;
    if (to_memory.out) {
        code = remote_run(fd, command_find("verify", NULL), &a, &to_memory);
        if (fclose(to_memory.out) == 0)
            buf_add(out, text, size);
    } else {
        fprintf(io->err, "sluice: no memory for what the server answers\n");
    }
    free(text);
    free(name);
    return code;
}

int kept_fetch(const struct config *c, const struct io *world, const char *source, uint64_t n, const struct command_io *io,
               struct buf *out)
{
    int fd = remote_connect(c->data_dir);
    if (fd >= 0)
        return ask_server(fd, source, n, io, out);
    struct err err = {0};
    size_t found;
    if (!rejected_read_file(world, c->data_dir, source, n, out, &found, &err))
        return command_fail(io, &err);
    return EXIT_DONE;
}

int kept_answer(const struct instance *in, const char *source, uint64_t n, const struct command_io *io)
{
    struct buf list;
    buf_init(&list, REJECTED_FILE_MAX);
    if (!server_rejected(in->live->server, span_of(source), n, &list)) {
        if (!buf_ok(&list))
            fprintf(io->err, "sluice: no memory for the rejected requests\n");
        bool failed = !buf_ok(&list);
        buf_release(&list);
        if (failed)
            return EXIT_FAILED;
        buf_addz(&list, "[]\n"); /* a source that the server does not know yet has rejected nothing */
    }
    fwrite(list.p, 1, list.n, io->out);
    buf_release(&list);
    return EXIT_DONE;
}

/* ---- secrets ---- */

static bool take_row(void *ctx, const struct secret_seen *seen)
{
    struct usage *u = ctx;
    u->rows = mem_grow(u->rows, (u->n + 1) * sizeof *u->rows);
    struct usage_row *row = &u->rows[u->n++];
    snprintf(row->id, sizeof row->id, "%.*s", SPAN_ARG(seen->id));
    row->last_used_us = seen->last_used_us;
    return true;
}

void usage_read(struct usage *u, const char *data_dir, const char *source, uint64_t now_us)
{
    struct state state;
    struct err ignored;
    *u = (struct usage){.now_us = now_us};
    if (!state_open(&state, data_dir, true, &ignored))
        return;
    u->known = state_secret_each(&state, span_of(source), take_row, u, &ignored) && u->n;
    state_close(&state);
}

void usage_release(struct usage *u)
{
    free(u->rows);
    *u = (struct usage){0};
}

static const struct usage_row *row_of(const struct usage *u, struct span id)
{
    for (size_t i = 0; i < u->n; i++)
        if (span_eqz(id, u->rows[i].id))
            return &u->rows[i];
    return NULL;
}

bool usage_has(const struct usage *u, const char *id)
{
    return !u->known || row_of(u, span_of(id));
}

static void print_note(const struct usage *u, struct span id, FILE *to)
{
    const struct usage_row *row = row_of(u, id);
    char ago[CLOCK_TEXT_MAX];
    uint64_t day_us = UINT64_C(86400) * 1000000;
    if (!row) {
        fprintf(to, " (no server has loaded it yet)");
    } else if (!row->last_used_us) {
        fprintf(to, " (never used)");
    } else if (u->now_us / day_us == row->last_used_us / day_us + 1 && u->now_us - row->last_used_us > day_us / 2) {
        fprintf(to, " (last used yesterday)");
    } else {
        clock_ago(row->last_used_us, u->now_us, ago);
        fprintf(to, " (last used %s)", ago);
    }
}

void usage_print(const struct usage *u, const struct verify_step *step, FILE *to)
{
    if (!u->known || !step->ids_at) {
        fputs(step->text, to);
        return;
    }
    fprintf(to, "%.*s", (int)step->ids_at, step->text);
    struct span rest = span_of(step->text + step->ids_at);
    for (bool first = true; rest.n; first = false) {
        struct span id = span_trim(span_cut(rest, ',', &rest));
        fprintf(to, "%s%.*s", first ? "" : ", ", SPAN_ARG(id));
        print_note(u, id, to);
    }
}
