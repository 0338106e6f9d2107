#include "cli/progress.h"
#include "core/clock.h"
#include "core/mem.h"
#include <stdlib.h>

#define PLAIN_EVERY_US (UINT64_C(10) * 1000000)
#define DRAW_EVERY_US UINT64_C(100000)

struct progress {
    const struct command_io *io;
    const struct io *world;
    char table[64];        /* that the current line is about */
    uint64_t told_us;
    uint64_t began_us; /* of the table: for rates */
    bool line_open, told_wait;
};

struct progress *progress_new(const struct command_io *io, const struct io *world)
{
    struct progress *p = mem_alloc(sizeof *p);
    p->io = io;
    p->world = world;
    return p;
}

void progress_free(struct progress **at)
{
    if (!*at)
        return;
    if ((*at)->line_open)
        fputc('\n', (*at)->io->err);
    free(*at);
    *at = NULL;
}

static void state_words(const struct progress *p, const struct pull_progress *t, char out[96])
{
    uint64_t now = p->world->world->now_us(p->world);
    char day[CLOCK_TEXT_MAX];
    if (t->waiting)
        snprintf(out, 96, "%s, %llu s", t->waiting,
                 (unsigned long long)(t->wait_until_us > now ? (t->wait_until_us - now + 999999) / 1000000 : 0));
    else if (t->done)
        snprintf(out, 96, "done%s", t->resumed ? " (resumed)" : "");
    else if (t->oldest_us) {
        clock_date(t->oldest_us, day);
        snprintf(out, 96, "back to %s", day);
    } else {
        snprintf(out, 96, "%s", t->resumed ? "resumed" : "reading");
    }
}

static void write_line(struct progress *p, const struct pull_progress *t, const char *end)
{
    char words[96], b[2][32];
    uint64_t now = p->world->world->now_us(p->world), us = now > p->began_us ? now - p->began_us : 1;
    state_words(p, t, words);
    fprintf(p->io->err, "%-20.*s %-32s %12s rows %8s pages  %6llu rows/s%s", SPAN_ARG(t->table), words, thousands(t->rows, b[0]),
            thousands(t->pages, b[1]), (unsigned long long)(t->rows * 1000000 / us), end);
    fflush(p->io->err);
}

static void draw(struct progress *p, const struct pull_progress *t, bool fresh)
{
    if (p->line_open && fresh)
        fputc('\n', p->io->err);
    fputs("\r\033[K", p->io->err);
    write_line(p, t, "");
    p->line_open = true;
    if (t->done) {
        fputc('\n', p->io->err);
        p->line_open = false;
    }
}

void progress_tell(void *ctx, const struct pull_progress *t)
{
    struct progress *p = ctx;
    uint64_t now = p->world->world->now_us(p->world);
    bool fresh = !span_eqz(t->table, p->table);
    if (fresh) {
        snprintf(p->table, sizeof p->table, "%.*s", SPAN_ARG(t->table));
        p->began_us = now;
        p->told_us = 0;
        p->told_wait = false;
    }
    bool wait_began = t->waiting && !p->told_wait;
    p->told_wait = t->waiting != NULL;
    uint64_t every = p->io->err_tty ? DRAW_EVERY_US : PLAIN_EVERY_US;
    if (!fresh && !t->done && !wait_began && now - p->told_us < every)
        return;
    p->told_us = now;
    if (p->io->err_tty)
        draw(p, t, fresh);
    else
        write_line(p, t, "\n");
}
