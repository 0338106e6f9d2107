/* prove: on this machine's own disk, that nothing acknowledged is lost when the server is killed. */
#include "cli/entries.h"
#include "cli/prove.h"
#include "cli/registry.h"
#include "core/mem.h"
#include <fcntl.h>
#include <ftw.h>
#include <mntent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYNCS 31
#define LOAD_US_MIN UINT64_C(150000) /* between two kills, and at most so much more */
#define LOAD_US_MORE UINT64_C(850000)

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The median time of writing 4 KiB and fdatasync, in microseconds; 0: it failed. */
static uint64_t sync_us(const struct prove *p)
{
    static const char block[4096];
    uint64_t times[SYNCS];
    char path[2100];
    const struct io *io = p->io;
    snprintf(path, sizeof path, "%s/sync", p->dir);
    int fd = io->file->open(io, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; fd >= 0 && i < SYNCS; i++) {
        uint64_t began = io->world->monotonic_us(io);
        if (io->file->write(io, fd, block, sizeof block) != (ssize_t)sizeof block || io->file->sync(io, fd) < 0) {
            io->file->close(io, fd);
            return 0;
        }
        times[i] = io->world->monotonic_us(io) - began;
    }
    if (fd < 0)
        return 0;
    io->file->close(io, fd);
    io->dir->unlink(io, path);
    qsort(times, SYNCS, sizeof *times, by_value);
    return times[SYNCS / 2];
}

/* The type of the file system that a folder is on: the mount with the longest path above it. */
static void type_of_disk(const char *dir, char out[32])
{
    char path[4096];
    size_t longest = 0;
    snprintf(out, 32, "?");
    FILE *mounts = realpath(dir, path) ? setmntent("/proc/self/mounts", "r") : NULL;
    for (struct mntent *m; mounts && (m = getmntent(mounts));) {
        size_t n = strlen(m->mnt_dir);
        bool above = strncmp(path, m->mnt_dir, n) == 0 && (n == 1 || path[n] == '/' || path[n] == 0);
        if (above && n >= longest) {
            longest = n;
            snprintf(out, 32, "%.31s", m->mnt_type);
        }
    }
    if (mounts)
        endmntent(mounts);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static bool prepare(struct prove *p, const char *dir, struct err *err)
{
    if (snprintf(p->dir, sizeof p->dir, "%s/sluice-prove-XXXXXX", dir) >= (int)sizeof p->dir)
        return err_set(err, ERR_CONFIG, "--dir is too long");
    if (!mkdtemp(p->dir)) {
        err_sys(err, ERR_CONFIG, "cannot make a folder in %s", dir);
        p->dir[0] = 0;
        return false;
    }
    return prove_write_config(p, err);
}

static void tell_progress(const struct prove *p, unsigned done, unsigned kills)
{
    char b[32];
    if (!p->out->err_tty)
        return;
    fprintf(p->out->err, "\r\033[Kkill %u of %u, %s acknowledged", done, kills, thousands(prove_acknowledged(p), b));
    fflush(p->out->err);
}

/* Load for a random while, then -9, again and again; at the end in order. */
static bool kill_and_start(struct prove *p, unsigned kills, struct err *err)
{
    bool ok = prove_start_server(p, err) && prove_start_senders(p, err);
    for (unsigned i = 0; ok && i <= kills && !*p->out->stop; i++) {
        uint64_t random = 0;
        p->io->world->random(p->io, &random, sizeof random);
        tell_progress(p, i, kills);
        p->io->world->sleep_us(p->io, LOAD_US_MIN + random % LOAD_US_MORE);
        if (i == kills)
            break;
        prove_kill_server(p);
        ok = prove_start_server(p, err);
    }
    prove_stop_senders(p);
    if (p->out->err_tty)
        fputs("\r\033[K", p->out->err);
    if (ok && *p->out->stop)
        return err_set(err, ERR_STOPPED, "stopped; nothing was proven");
    return ok && prove_stop_server(p, err);
}

static bool print_count(const struct prove *p, const struct prove_count *c, bool as_json)
{
    uint64_t forged = 0, accepted = 0;
    char b[4][32];
    for (unsigned i = 0; i < p->n_senders; i++) {
        forged += p->senders[i].forged;
        accepted += p->senders[i].forged_accepted;
    }
    uint64_t acknowledged = prove_acknowledged(p);
    bool good = c->lost == 0 && c->doubled == 0 && c->altered == 0 && accepted == 0 && acknowledged > 0;
    if (as_json) {
        fprintf(p->out->out,
                "{\"acknowledged\":%llu,\"found\":%llu,\"lost\":%llu,\"doubled\":%llu,\"altered\":%llu,\"forged\":%llu,"
                "\"forged_accepted\":%llu}\n",
                (unsigned long long)acknowledged, (unsigned long long)c->found, (unsigned long long)c->lost,
                (unsigned long long)c->doubled, (unsigned long long)c->altered, (unsigned long long)forged,
                (unsigned long long)accepted);
        return good;
    }
    fprintf(p->out->out, "acknowledged %s   found %s   lost %s   doubled %s   altered %llu   forged accepted %llu of %llu\n",
            thousands(acknowledged, b[0]), thousands(c->found, b[1]), thousands(c->lost, b[2]), thousands(c->doubled, b[3]),
            (unsigned long long)c->altered, (unsigned long long)accepted, (unsigned long long)forged);
    if (good)
        fprintf(p->out->out, "%s nothing acknowledged was lost      A kill, not a power cut: for that see docs/durability.md\n",
                glyph_ok(p->out));
    else
        fprintf(p->out->out, "%s the promise does not hold on this machine; the evidence is kept in %s\n", glyph_bad(p->out),
                p->dir);
    return good;
}

static int prove(struct prove *p, const char *dir, unsigned kills, bool as_json)
{
    struct err err = {0};
    struct prove_count count;
    char type[32];
    bool good = false, ok = prepare(p, dir, &err);
    if (ok) {
        type_of_disk(p->dir, type);
        uint64_t us = sync_us(p);
        if (!as_json)
            fprintf(p->out->out, "%u connections, %u kills of the server with -9, on %s %s (fdatasync %llu µs)\n", p->n_senders,
                    kills, type, dir, (unsigned long long)us);
        fflush(p->out->out);
    }
    ok = ok && kill_and_start(p, kills, &err) && prove_count(p, &count, &err);
    prove_kill_server(p);
    if (ok)
        good = print_count(p, &count, as_json);
    if (p->dir[0] && (good || err.cls == ERR_STOPPED))
        nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    if (!ok)
        return command_fail(p->out, &err);
    return good ? EXIT_DONE : EXIT_FAILED;
}

int cmd_prove(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *dir = ".", *kills_text = NULL, *connections_text = NULL;
    const struct opt spec[] = {{"--dir", OPT_VALUE, &dir},
                               {"--kills", OPT_VALUE, &kills_text},
                               {"--connections", OPT_VALUE, &connections_text},
                               {NULL, 0, NULL}};
    int n;
    const char *none[1];
    uint64_t kills = 10, connections = 64;
    if (!command_options(a, io, "prove", spec, none, 0, 0, &n) || !entries_number(io, "--kills", kills_text, &kills) ||
        !entries_number(io, "--connections", connections_text, &connections))
        return EXIT_USAGE;
    if (kills > 10000 || connections < 1 || connections > 1000) {
        fprintf(io->err, "sluice prove: --kills is at most 10000, --connections 1 to 1000\n");
        return EXIT_USAGE;
    }
    struct prove p = {.out = io, .io = in->io, .n_senders = (unsigned)connections};
    p.senders = mem_alloc(p.n_senders * sizeof *p.senders);
    int code = prove(&p, dir, (unsigned)kills, a->json);
    verifier_free(&p.verifier);
    config_free(&p.config);
    free(p.senders);
    return code;
}
