#include "cli/managed.h"
#include "core/mem.h"
#include "server/server.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

/* ---- the running server ---- */

static struct server *server_of(const struct managed_command *c)
{
    return c->in->live->server;
}

static struct span name_of(const struct managed_command *c)
{
    return span_of(c->m.source->name);
}

static void hook_look(void *ctx)
{
    server_secrets_look(server_of(ctx), name_of(ctx));
}

static bool hook_take(void *ctx, struct span secret, struct err *err)
{
    return server_secret_take(server_of(ctx), name_of(ctx), secret, err);
}

static bool hook_drop(void *ctx, const char *id, struct err *err)
{
    return server_secret_drop(server_of(ctx), name_of(ctx), id, err);
}

static void hook_expect(void *ctx, uint64_t until_us)
{
    server_secret_expect(server_of(ctx), name_of(ctx), until_us);
}

static bool hook_settle(void *ctx, const struct settlement *by, struct err *err)
{
    return server_secret_settle(server_of(ctx), name_of(ctx), by, err);
}

static bool hook_used(void *ctx, const char *id, uint64_t *ret_last_used_us)
{
    struct held_id held;
    bool found = false;
    for (size_t i = 0; server_secret(server_of(ctx), name_of(ctx), i, &held); i++) {
        if (strcmp(held.id, id) != 0)
            continue;
        *ret_last_used_us = !found || held.last_used_us > *ret_last_used_us ? held.last_used_us : *ret_last_used_us;
        found = true;
    }
    return found;
}

struct use {
    const char *id; /* NULL: any */
    uint64_t us;
};

static bool take_use(void *ctx, const struct secret_seen *seen)
{
    struct use *u = ctx;
    if ((!u->id || span_eqz(seen->id, u->id)) && seen->last_used_us > u->us)
        u->us = seen->last_used_us;
    return true;
}

/* Without a server: as it was written down. */
static bool recorded_use(void *ctx, const char *id, uint64_t *ret_last_used_us)
{
    struct managed_command *c = ctx;
    struct use u = {.id = id};
    (void)state_secret_each(c->m.state, name_of(c), take_use, &u, NULL);
    *ret_last_used_us = u.us;
    return true;
}

uint64_t managed_last_delivery(struct managed_command *c)
{
    struct use u = {0};
    struct source_counts counts;
    (void)state_secret_each(c->m.state, name_of(c), take_use, &u, NULL);
    if (c->in->live && server_counts(server_of(c), name_of(c), &counts) && counts.last_accepted_us > u.us)
        u.us = counts.last_accepted_us;
    return u.us;
}

/* ---- the address ---- */

static void take_url(void *ctx, const struct endpoint_record *e)
{
    char **url = ctx;
    free(*url);
    *url = mem_dup_span(e->url);
}

static bool is_local(struct span host)
{
    return span_starts(host, SPAN_LIT("127.0.0.1")) || span_starts(host, SPAN_LIT("localhost")) ||
           span_starts(host, SPAN_LIT("[::1]"));
}

/* https://host or https://host/ is completed; what has a path is taken as it is. */
static bool take_given(struct managed_command *c, const char *given, struct err *err)
{
    struct span text = span_of(given), path;
    bool secure = span_starts(text, SPAN_LIT("https://")), plain = span_starts(text, SPAN_LIT("http://"));
    struct span rest = span_skip(text, secure ? 8 : plain ? 7 : 0), host = span_cut(rest, '/', &path);
    if ((!secure && !(plain && is_local(host))) || !host.n)
        return err_set(err, ERR_CONFIG, "--url %s: the provider needs an address that begins with https://", given);
    for (const char *p = given; *p; p++)
        if (*p <= ' ' || *p > '~' || *p == '"' || *p == '#')
            return err_set(err, ERR_CONFIG, "--url %s: is no address", given);
    struct buf url;
    buf_init(&url, 1 << 16);
    buf_addz(&url, given);
    if (!path.n)
        buf_addf(&url, "%sin/%s", path.p ? "" : "/", c->m.source->name);
    free(c->url);
    c->url = buf_take(&url, NULL);
    return true;
}

static bool find_url(struct managed_command *c, const char *given, struct err *err)
{
    if (given)
        return take_given(c, given, err);
    c->url = mem_dup("");
    if (!state_endpoint_each(c->m.state, name_of(c), take_url, &c->url, err))
        return false;
    if (!c->url[0]) {
        free(c->url);
        c->url = server_public_url(c->in->config, c->m.source);
    }
    return true;
}

/* ---- begin and end ---- */

/* One command at a time changes what is registered. */
static bool take_lock(struct managed_command *c, struct err *err)
{
    char path[4096];
    if (!io_mkdirs(c->in->io, c->in->config->data_dir, 0700, err))
        return false;
    snprintf(path, sizeof path, "%s/webhooks.lock", c->in->config->data_dir);
    c->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (c->lock_fd < 0)
        return err_sys(err, ERR_CONFIG, "cannot open %s", path);
    if (flock(c->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(err, ERR_TRANSIENT, "another command is working on webhooks or secrets; try again when it is done");
    return true;
}

static void print_line(void *ctx, const char *line)
{
    const struct managed_command *c = ctx;
    fprintf(c->io->out, "%s %s\n", glyph_ok(c->io), line);
    fflush(c->io->out);
}

int managed_begin(struct managed_command *c, struct instance *in, const struct command_io *io, const char *source,
                  const char *url,
                  bool changes)
{
    struct err err = {0};
    *c = (struct managed_command){.in = in, .io = io, .lock_fd = -1};
    const struct source_config *s = instance_source(in, source, io);
    if (!s)
        return EXIT_USAGE;
    c->m = (struct managed){.config = in->config, .source = s, .io = in->io, .stop = io->stop, .say = print_line, .say_ctx = c};
    c->m.door = (struct door_hooks){.ctx = c, .used = recorded_use};
    if (in->live && in->live->server && !s->webhook_off)
        c->m.door = (struct door_hooks){c, hook_look, hook_take, hook_drop, hook_expect, hook_settle, hook_used};
    if ((changes && !take_lock(c, &err)) || !instance_state(in, &c->m.state, &err) || !find_url(c, url, &err) ||
        !managed_open(&c->m, &err)) {
        managed_end(c);
        return command_fail(io, &err);
    }
    c->m.url = c->url[0] ? c->url : NULL;
    return EXIT_DONE;
}

void managed_end(struct managed_command *c)
{
    managed_close(&c->m);
    free(c->url);
    c->url = NULL;
    if (c->lock_fd >= 0)
        close(c->lock_fd);
    c->lock_fd = -1;
}

void managed_print_clicks(struct managed_command *c, FILE *to)
{
    struct buf clicks;
    struct names wanted;
    buf_init(&clicks, 1 << 20);
    webhooks_wanted(c->m.source, &wanted);
    webhooks_clicks(c->m.source, c->m.url ? c->m.url : "https://YOUR-HOST/in/SOURCE", &wanted, &clicks);
    fprintf(to, "At %s:\n%s", c->m.source->manifest->title, buf_z(&clicks));
    names_release(&wanted);
    buf_release(&clicks);
}
