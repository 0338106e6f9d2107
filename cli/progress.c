#include "cli/progress.h"
#include "core/clock.h"
#include "core/mem.h"
#include <stdlib.h>

#define PLAIN_EVERY_US (UINT64_C(10) * 1000000)
#define DRAW_EVERY_US UINT64_C(100000)
#define BAR_CELLS 10
#define LINE_MAX 400

struct progress {
    const struct command_io *io;
    const struct io *world;
    char table[64]; /* that the current line is about */
    uint64_t told_us;
    uint64_t began_us, began_rows; /* when the table was first told of: for rates */
    unsigned began_permille;
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

/* 1:52, 2:03:10 */
static void duration(uint64_t us, char out[32])
{
    unsigned long long s = us / 1000000;
    if (s >= 3600)
        snprintf(out, 32, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, 32, "%llu:%02llu", s / 60, s % 60);
}

/* ███████░░░  61 %, or ### in ASCII. */
static void add_bar(const struct progress *p, unsigned permille, struct buf *out)
{
    for (unsigned i = 0; i < BAR_CELLS; i++) {
        bool full = i * 1000 < permille * BAR_CELLS;
        buf_addz(out, p->io->utf8 ? (full ? "█" : "░") : (full ? "#" : "."));
    }
    buf_addf(out, " %3u %%  ", permille / 10);
}

static void add_state(const struct progress *p, const struct pull_progress *t, struct buf *out)
{
    uint64_t now = p->world->world->now_us(p->world);
    char day[CLOCK_TEXT_MAX];
    if (t->waiting)
        buf_addf(out, "waiting     %s, %llu s  ", t->waiting,
                 (unsigned long long)(t->wait_until_us > now ? (t->wait_until_us - now + 999999) / 1000000 : 0));
    else if (t->done)
        buf_addz(out, "done        ");
    else if (t->permille && p->io->err_tty)
        add_bar(p, t->permille, out);
    else if (t->permille)
        buf_addf(out, "%3u %%       ", t->permille / 10);
    else
        buf_addz(out, t->resumed ? "resumed     " : "reading     ");
    if (!t->waiting && !t->done && t->oldest_us) {
        clock_date(t->oldest_us, day);
        buf_addf(out, "back to %s  ", day);
    }
}

static unsigned cells_of(struct span s)
{
    unsigned cells = 0; /* all that is not ASCII here is one cell wide */
    for (size_t i = 0; i < s.n; i++)
        cells += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return cells;
}

/* Adds what fits into the terminal's width, so that a redrawn line is one line. */
static void add_piece(const struct progress *p, const char *piece, struct buf *out)
{
    unsigned most = p->io->err_tty && p->io->columns ? p->io->columns - 1 : LINE_MAX;
    if (cells_of(buf_span(out)) + cells_of(span_of(piece)) <= most)
        buf_addz(out, piece);
}

/* The time left, and rows a second; from the second second on, before that they say nothing. */
static void add_speed(const struct progress *p, const struct pull_progress *t, struct buf *out)
{
    uint64_t now = p->world->world->now_us(p->world), us = now > p->began_us ? now - p->began_us : 0;
    char b[32], piece[64];
    if (us < 1000000 || t->waiting || t->done || t->rows < p->began_rows)
        return;
    if (t->permille > p->began_permille) {
        uint64_t left = us * (1000 - t->permille) / (t->permille - p->began_permille) / 1000000;
        bool minutes = left >= 90;
        snprintf(piece, sizeof piece, "  %llu %s left", (unsigned long long)(minutes ? (left + 30) / 60 : left),
                 minutes ? "min" : "s");
        add_piece(p, piece, out);
    }
    snprintf(piece, sizeof piece, "  %s rows/s", thousands((t->rows - p->began_rows) * 1000000 / us, b));
    add_piece(p, piece, out);
}

static void write_line(struct progress *p, const struct pull_progress *t, const char *end)
{
    char b[32], piece[96];
    uint64_t now = p->world->world->now_us(p->world);
    struct buf line;
    buf_init(&line, 4096);
    buf_addf(&line, "%-14.*s ", SPAN_ARG(t->table));
    add_state(p, t, &line);
    snprintf(piece, sizeof piece, "%9s rows", thousands(t->rows, b));
    add_piece(p, piece, &line);
    add_speed(p, t, &line);
    if (t->done || !p->io->err_tty) {
        snprintf(piece, sizeof piece, "  %6s pages", thousands(t->pages, b));
        add_piece(p, piece, &line);
    }
    if (t->done) {
        duration(now > t->started_us ? now - t->started_us : 0, b);
        snprintf(piece, sizeof piece, "  %s%s", b, t->resumed ? " since it was begun" : "");
        add_piece(p, piece, &line);
    }
    fprintf(p->io->err, "%s%s", buf_z(&line), end);
    fflush(p->io->err);
    buf_release(&line);
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
        p->began_rows = t->rows;
        p->began_permille = t->permille;
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
