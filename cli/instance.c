#include "cli/instance.h"
#include "cli/command.h"
#include "cli/reload.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

/* One process at a time writes into a data directory; the lock's file says which. */
static bool take_lock(struct instance *in, struct err *err)
{
    const char *dir = in->config->data_dir;
    char path[4096];
    if (!io_mkdirs(in->io, dir, 0700, err))
        return false;
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, ERR_CONFIG, "cannot open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        char pid[32] = "";
        ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = 0;
        close(fd);
        return err_set(err, ERR_CONFIG, "the data directory %s is in use by process %s, which does not answer on its socket",
                       dir, pid[0] ? pid : "(unknown)");
    }
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        close(fd);
        return err_sys(err, ERR_DURABLE, "cannot write %s", path);
    }
    in->lock_fd = fd;
    return true;
}

bool instance_open(struct instance *in, const struct config *c, const struct io *io, const struct live *live, bool write,
                   struct err *err)
{
    *in = (struct instance){.config = c, .io = io, .live = live, .writable = write, .lock_fd = -1};
    if (live && live->reload)
        in->config = in->held = reload_hold(live->reload);
    if (live || !write)
        return true;
    return take_lock(in, err);
}

void instance_close(struct instance *in)
{
    if (in->store)
        store_close(&in->store);
    if (in->state_open)
        state_close(&in->state);
    if (in->journal && !in->live)
        journal_close(&in->journal);
    if (in->lock_fd >= 0)
        close(in->lock_fd);
    in->lock_fd = -1;
    if (in->held)
        config_drop(&in->held);
}

/* A command that only reads must not make a data directory where there is none. */
static bool has_data(const struct instance *in, struct err *err)
{
    if (in->live || in->writable || access(in->config->data_dir, F_OK) == 0)
        return true;
    return err_set(err, ERR_CONFIG, "there is no data directory %s yet; `sluice serve` or `sluice backfill` makes it",
                   in->config->data_dir);
}

bool instance_journal(struct instance *in, struct journal **ret, struct err *err)
{
    if (!in->journal && in->live)
        in->journal = in->live->journal;
    if (!in->journal) {
        char dir[4096];
        snprintf(dir, sizeof dir, "%s/journal", in->config->data_dir);
        struct journal_opts o = {.io = in->io,
                                 .dir = dir,
                                 .name = "sluice",
                                 .segment_bytes = in->config->segment_bytes,
                                 .bytes_max = in->config->journal_max_bytes,
                                 .reserve_bytes = in->config->journal_reserve_bytes,
                                 .entry_bytes_max = JOURNAL_ENTRY_MAX(in->config),
                                 .readonly = !in->writable};
        if (!has_data(in, err) || !journal_open(&o, &in->journal, err))
            return false;
    }
    *ret = in->journal;
    return true;
}

bool instance_state(struct instance *in, struct state **ret, struct err *err)
{
    if (!in->state_open) {
        bool readonly = !in->live && !in->writable;
        if (!has_data(in, err) || !state_open(&in->state, in->config->data_dir, readonly, err))
            return false;
        in->state_open = true;
    }
    *ret = &in->state;
    return true;
}

bool instance_store(struct instance *in, struct store **ret, struct err *err)
{
    if (!in->store && !store_open(in->io, in->config, &in->store, err))
        return false;
    *ret = in->store;
    return true;
}

const struct source_config *instance_source(const struct instance *in, const char *name, const struct command_io *io)
{
    const struct source_config *s = config_source(in->config, span_of(name));
    if (s)
        return s;
    const char *words[257];
    size_t n = 0;
    for (; n < in->config->n_sources && n < 256; n++)
        words[n] = in->config->sources[n].name;
    words[n] = NULL;
    const char *near = nearest_word(span_of(name), words);
    fprintf(io->err, "sluice: no source '%s' in %s", name, in->config->file);
    if (near)
        fprintf(io->err, " (did you mean %s?)", near);
    fputc('\n', io->err);
    return NULL;
}

const struct table_rule *instance_table(const struct source_config *s, const char *name, const struct command_io *io)
{
    struct span text = span_of(name);
    const struct table_rule *t =
        strcmp(name, "events") == 0 ? &manifest_events_table : manifest_table(s->manifest, text);
    if (t && source_has_table(s, text))
        return t;
    if (t) {
        fprintf(io->err, "sluice: table '%s' is not among the `tables` of source %s\n", name, s->name);
        return NULL;
    }
    const char *words[257];
    size_t n = 0;
    for (; n < s->manifest->n_tables && n < 255; n++)
        words[n] = s->manifest->tables[n].name;
    words[n++] = "events";
    words[n] = NULL;
    const char *near = nearest_word(text, words);
    fprintf(io->err, "sluice: source %s has no table '%s'", s->name, name);
    fprintf(io->err, near ? " (did you mean %s?)\n" : "; `sluice table list %s` shows them\n", near ? near : s->name);
    return NULL;
}
