/* Who this journal is: <name>-<lineage>. The file says which file it was written as: in a copied or restored folder it is
 * another one, and that draws a new lineage before it writes, so that it can never write under names or below positions of
 * the older one. */
#include "journal/lane.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define IDENTITY_BYTES_MAX 4096

static struct span line_value(struct span text, const char *key)
{
    for (struct span rest = text; rest.p;) {
        struct span value, line = span_cut(rest, '\n', &rest), name = span_cut(line, '=', &value);
        if (value.p && span_eqz(name, key))
            return value;
    }
    return (struct span){NULL, 0};
}

static bool is_lineage(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n == 8;
}

static bool hex64(struct span s, uint64_t *ret)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        v = v << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret = v;
    return s.n == 16;
}

static bool write_identity(struct journal *j, const char *path, struct span lineage, struct err *err)
{
    char text[256], partial[PATH_BYTES + 16];
    const struct io *io = j->opts.io;
    snprintf(partial, sizeof partial, "%s.partial", path);
    io->dir->unlink(io, partial);
    int fd = io->file->open(io, partial, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int64_t id = fd < 0 ? fd : io->file->id(io, fd);
    bool ok = id >= 0;
    errno = ok ? 0 : (int)-id;
    if (!ok)
        err_sys(err, ERR_DURABLE, "cannot create %s", partial);
    int n = snprintf(text, sizeof text, "sluice=1\nname=%s\nlineage=%.*s\nsalt=%016llx\nfile=%llu\n", j->name, SPAN_ARG(lineage),
                     (unsigned long long)j->salt, (unsigned long long)id);
    ok = ok && io_write_all(io, fd, text, (size_t)n, err);
    int rc = ok ? io->file->sync(io, fd) : 0;
    if (fd >= 0)
        io->file->close(io, fd);
    if (ok && rc == 0)
        rc = io->dir->rename(io, partial, path);
    if (ok && rc == 0)
        rc = io->dir->sync(io, j->dir);
    errno = -rc;
    return ok && (rc == 0 || err_sys(err, ERR_DURABLE, "cannot write %s", path));
}

static bool draw(struct journal *j, const char *path, struct err *err)
{
    const struct io *io = j->opts.io;
    unsigned char random[4];
    char lineage[9];
    int rc = io->world->random(io, random, sizeof random);
    if (rc >= 0 && !j->salt)
        rc = io->world->random(io, &j->salt, sizeof j->salt);
    if (rc < 0)
        return err_set(err, ERR_TRANSIENT, "no random bytes for the journal's lineage");
    snprintf(lineage, sizeof lineage, "%02x%02x%02x%02x", random[0], random[1], random[2], random[3]);
    if (!write_identity(j, path, span_of(lineage), err))
        return false;
    snprintf(j->node, sizeof j->node, "%s-%s", j->name, lineage);
    return true;
}

/* *ret_id: of the file, or 0 when there is none. */
static bool look(struct journal *j, const char *path, uint64_t *ret_id, struct err *err)
{
    const struct io *io = j->opts.io;
    int fd = io->file->open(io, path, O_RDONLY, 0);
    int64_t id = fd < 0 ? fd : io->file->id(io, fd);
    if (fd >= 0)
        io->file->close(io, fd);
    *ret_id = id > 0 ? (uint64_t)id : 0;
    errno = id < 0 ? (int)-id : 0;
    return id >= 0 || id == -ENOENT || err_sys(err, ERR_INPUT, "cannot open %s", path);
}

bool journal_identity(struct journal *j, struct err *err)
{
    char path[PATH_BYTES], now[32];
    char *bytes = NULL;
    size_t n = 0;
    uint64_t id_now;
    snprintf(path, sizeof path, "%.4300s/node", j->dir);
    if (!look(j, path, &id_now, err))
        return false;
    if (!id_now) {
        snprintf(j->node, sizeof j->node, "%s-00000000", j->name);
        return j->opts.readonly || draw(j, path, err);
    }
    if (!io_read_file(j->opts.io, path, IDENTITY_BYTES_MAX, &bytes, &n, err))
        return false;
    struct span text = {bytes, n}, lineage = line_value(text, "lineage"), id = line_value(text, "file");
    snprintf(now, sizeof now, "%llu", (unsigned long long)id_now);
    bool ok = true, whole = hex64(line_value(text, "salt"), &j->salt) && is_lineage(lineage);
    if (whole && (j->opts.readonly || span_eqz(id, now)))
        snprintf(j->node, sizeof j->node, "%s-%.*s", j->name, SPAN_ARG(lineage));
    else if (j->opts.readonly)
        ok = err_set(err, ERR_INPUT, "%s is damaged; `sluice serve` draws a new lineage", path);
    else
        ok = draw(j, path, err);
    free(bytes);
    return ok;
}
