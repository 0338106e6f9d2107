/* webhook register | list | info | update | delete: a source's endpoint at its provider. */
#include "cli/managed.h"
#include "cli/registry.h"
#include "core/clock.h"
#include "core/json.h"
#include "webhooks/check.h"
#include <stdlib.h>

static const char *const nothing_known = "-";

/* What a person does, since there are no calls. */
static int by_hand(struct managed_command *c)
{
    managed_print_clicks(c, c->io->out);
    fprintf(c->io->err, "%s %s has no API for webhooks that is known here; `sluice connect %s` waits for the first delivery\n",
            glyph_warn(c->io), c->m.source->manifest->title, c->m.source->name);
    return EXIT_RESUMABLE;
}

static int no_address(struct managed_command *c)
{
    fprintf(c->io->err,
            "sluice: under which address does the provider reach this machine? --url https://…, or public_url in %s\n",
            c->in->config->file);
    return EXIT_USAGE;
}

static void tell_secret(struct managed_command *c)
{
    const struct webhook_rule *rule = &c->m.source->manifest->webhook;
    struct buf present;
    struct err ignored;
    if (!c->m.vault || rule->secret != SECRET_BY_HAND)
        return;
    buf_init(&present, 1 << 17);
    if (vault_read(c->m.vault, VAULT_PRESENT, &present, &ignored) && !present.n)
        fprintf(c->io->err, "%s the secret is not told by an API. %s%sThen: sluice secret add %s --from FILE\n",
                glyph_warn(c->io),
                rule->secret_at ? rule->secret_at : "Copy it from the provider's page", rule->secret_at ? " " : ". ",
                c->m.source->name);
    buf_wipe(&present);
}

static int bring_up(struct managed_command *c)
{
    struct err err = {0};
    bool changed = false;
    if (!c->m.api)
        return by_hand(c);
    if (!c->m.url)
        return no_address(c);
    if (!managed_register(&c->m, &changed, &err))
        return command_fail(c->io, &err);
    if (!changed)
        fprintf(c->io->out, "%s nothing to change: %s\n", glyph_ok(c->io), c->m.url);
    if (c->m.vault && !vault_is_file(c->m.vault) && changed)
        fprintf(c->io->err, "the Secret reaches its mounts within about a minute\n");
    tell_secret(c);
    return EXIT_DONE;
}

int cmd_webhook_register(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *source, *url = NULL;
    const struct opt spec[] = {{"--url", OPT_VALUE, &url}, {NULL, 0, NULL}};
    struct managed_command c;
    int n;
    if (!command_options(a, io, "webhook register", spec, &source, 1, 1, &n))
        return EXIT_USAGE;
    int code = managed_begin(&c, in, io, source, url, true);
    if (code != EXIT_DONE)
        return code;
    code = bring_up(&c);
    managed_end(&c);
    return code;
}

int cmd_webhook_update(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *source, *url = NULL;
    const struct opt spec[] = {{"--url", OPT_VALUE, &url}, {NULL, 0, NULL}};
    struct managed_command c;
    struct found f = {0};
    struct err err = {0};
    int n;
    if (!command_options(a, io, "webhook update", spec, &source, 1, 1, &n))
        return EXIT_USAGE;
    int code = managed_begin(&c, in, io, source, url, true);
    if (code != EXIT_DONE)
        return code;
    if (c.m.api && !managed_find(&c.m, &f, &err)) {
        code = command_fail(io, &err);
    } else if (c.m.api && !f.n) {
        fprintf(io->err, "sluice: %s has no endpoint of ours%s: sluice webhook register %s\n", c.m.source->manifest->title,
                f.gone ? " any more" : "", source);
        code = EXIT_FAILED;
    } else {
        code = bring_up(&c);
    }
    found_free(&f);
    managed_end(&c);
    return code;
}

/* ---- list ---- */

static void json_member(struct buf *b, const char *name, const char *text)
{
    buf_addc(b, ',');
    json_write_key(b, name);
    if (text && *text)
        json_write_string(b, span_of(text));
    else
        buf_addz(b, "null");
}

static void json_names(struct buf *b, const char *name, const struct names *n)
{
    buf_addc(b, ',');
    json_write_key(b, name);
    buf_addc(b, '[');
    for (size_t i = 0; i < n->n; i++) {
        if (i)
            buf_addc(b, ',');
        json_write_string(b, span_of(n->list[i]));
    }
    buf_addc(b, ']');
}

static bool is_ours(const struct found *f, const struct endpoint *e)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->ours[i] == e)
            return true;
    return false;
}

static void print_endpoint(const struct command_io *io, bool json, const struct endpoint *e, bool ours)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    if (json) {
        buf_addz(&b, "{\"id\":");
        json_write_string(&b, span_of(e->id));
        json_member(&b, "url", e->url);
        json_names(&b, "events", &e->types);
        json_member(&b, "version", e->version);
        buf_addf(&b, ",\"enabled\":%s,\"ours\":%s}", e->enabled ? "true" : "false", ours ? "true" : "false");
    } else {
        char count[32] = "all";
        if (e->types.n)
            snprintf(count, sizeof count, "%zu", e->types.n);
        buf_addf(&b, "%c %-28s %-9s %6s  ", ours ? '*' : ' ', e->id[0] ? e->id : nothing_known,
                 e->enabled ? "enabled" : "DISABLED", e->knows_types ? count : nothing_known);
        add_visible(&b, span_of(e->url));
    }
    fprintf(io->out, "%s\n", buf_z(&b));
    buf_release(&b);
}

int cmd_webhook_list(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *source;
    struct managed_command c;
    struct found f = {0};
    struct err err = {0};
    int n;
    if (!command_options(a, io, "webhook list", NULL, &source, 1, 1, &n))
        return EXIT_USAGE;
    int code = managed_begin(&c, in, io, source, NULL, false);
    if (code != EXIT_DONE)
        return code;
    if (!c.m.api)
        code = by_hand(&c);
    else if (!managed_find(&c.m, &f, &err))
        code = command_fail(io, &err);
    if (c.m.api && code == EXIT_DONE && !a->json)
        fprintf(io->out, "  %-28s %-9s %6s  %s\n", "ID", "STATE", "EVENTS", "URL  (* is ours)");
    for (size_t i = 0; i < f.all.n; i++)
        print_endpoint(io, a->json, &f.all.list[i], is_ours(&f, &f.all.list[i]));
    found_free(&f);
    managed_end(&c);
    return code;
}

/* ---- info ---- */

struct difference {
    struct names missing, unwanted;
};

static void add_names(struct buf *b, const char *what, const struct names *n)
{
    if (!n->n)
        return;
    buf_addf(b, "%s%s", b->n ? "; " : "", what);
    for (size_t i = 0; i < n->n; i++) {
        buf_addz(b, i ? ", " : " ");
        add_visible(b, span_of(n->list[i]));
    }
}

struct info {
    struct managed_command *c;
    const struct endpoint *e;
    struct difference d;
    struct last_delivery last;
    struct buf version;
    char seen[CLOCK_TEXT_MAX]; /* the last delivery that was genuine, "" none */
    bool good;
};

static void print_row(const struct info *i, const char *name, bool ok, const char *text)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    add_visible(&b, span_of(text));
    fprintf(i->c->io->out, "%s %-14s %s\n", ok ? glyph_ok(i->c->io) : glyph_bad(i->c->io), name, buf_z(&b));
    buf_release(&b);
}

static void print_info(struct info *i)
{
    const struct endpoint *e = i->e;
    struct buf text;
    buf_init(&text, 1 << 16);
    print_row(i, "exists", true, e->id[0] ? e->id : "yes");
    bool right = !i->c->m.url || strcmp(e->url, i->c->m.url) == 0;
    print_row(i, "url", right, e->url);
    print_row(i, "enabled", e->enabled, e->enabled ? "yes" : "no: disabled by the provider or a person; `sluice webhook update` "
                                                             "enables it again");
    add_names(&text, "missing:", &i->d.missing);
    add_names(&text, "not wanted:", &i->d.unwanted);
    if (e->knows_types)
        print_row(i, "events", !i->d.missing.n, text.n ? buf_z(&text) : "as the tables want them");
    bool pinned = !i->version.n || !e->version[0] || strcmp(buf_z(&i->version), e->version) == 0;
    if (e->version[0])
        print_row(i, "version", pinned, e->version);
    if (e->error[0])
        print_row(i, "last error", false, e->error);
    if (i->last.known) {
        buf_clear(&text);
        buf_addf(&text, "%s%s%s%s", i->last.at, i->last.ok ? "" : " failed", i->last.error[0] && !i->last.ok ? ": " : "",
                 i->last.ok ? "" : i->last.error);
        print_row(i, "last sent", i->last.ok, buf_z(&text));
    } else if (e->last[0]) {
        print_row(i, "last sent", true, e->last);
    }
    print_row(i, "last seen", i->seen[0] != 0, i->seen[0] ? i->seen : "no genuine delivery yet");
    i->good = i->good && right && e->enabled && !i->d.missing.n && pinned && !e->error[0] && (!i->last.known || i->last.ok);
    buf_release(&text);
}

static void print_info_json(struct info *i)
{
    const struct endpoint *e = i->e;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_addz(&b, "{\"exists\":true,\"id\":");
    json_write_string(&b, span_of(e->id));
    json_member(&b, "url", e->url);
    buf_addf(&b, ",\"enabled\":%s", e->enabled ? "true" : "false");
    json_names(&b, "events", &e->types);
    json_names(&b, "missing", &i->d.missing);
    json_names(&b, "unwanted", &i->d.unwanted);
    json_member(&b, "version", e->version);
    json_member(&b, "last_error", e->error[0] ? e->error : !i->last.ok ? i->last.error : NULL);
    json_member(&b, "last_sent", i->last.known ? i->last.at : e->last);
    json_member(&b, "last_seen", i->seen);
    fprintf(i->c->io->out, "%s}\n", buf_z(&b));
    buf_release(&b);
    i->good = i->good && e->enabled && !i->d.missing.n && !e->error[0] && (!i->last.known || i->last.ok);
}

/* `e` NULL: with one endpoint for each type, all of them together. */
static bool look_at(struct info *i, const struct endpoint *e, const struct names *have, bool json, struct err *err)
{
    struct names wanted;
    i->e = e;
    buf_init(&i->version, 256);
    webhooks_wanted(i->c->m.source, &wanted);
    if (e->knows_types)
        names_compare(have, &wanted, i->c->m.source->manifest->webhook.all, &i->d.missing, &i->d.unwanted);
    uint64_t seen = managed_last_delivery(i->c);
    if (seen)
        clock_iso_s(seen, i->seen);
    bool ok = webhooks_version(i->c->m.api, &i->version, err) && webhooks_last_delivery(i->c->m.api, e->id, &i->last, err);
    if (ok)
        (json ? print_info_json : print_info)(i);
    names_release(&wanted);
    names_release(&i->d.missing);
    names_release(&i->d.unwanted);
    buf_release(&i->version);
    return ok;
}

static int show(struct managed_command *c, bool json)
{
    struct found f = {0};
    struct err err = {0};
    struct names have = {0};
    if (!managed_find(&c->m, &f, &err))
        return command_fail(c->io, &err);
    int code = EXIT_DONE;
    if (!f.n && json)
        fprintf(c->io->out, "{\"exists\":false}\n");
    if (!f.n && !json)
        fprintf(c->io->out, "%s %-14s no%s: sluice webhook register %s\n", glyph_bad(c->io), "exists",
                f.gone ? ", it is gone at the provider" : "", c->m.source->name);
    for (size_t i = 0; i < f.n; i++)
        for (size_t k = 0; k < f.ours[i]->types.n; k++)
            names_put(&have, span_of(f.ours[i]->types.list[k]));
    bool good = f.n > 0;
    for (size_t i = 0; code == EXIT_DONE && i < f.n; i++) {
        struct info info = {.c = c, .good = true};
        if (!look_at(&info, f.ours[i], &have, json, &err))
            code = command_fail(c->io, &err);
        good = good && info.good;
    }
    names_release(&have);
    found_free(&f);
    return code == EXIT_DONE && !good ? EXIT_FAILED : code;
}

int cmd_webhook_info(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *source;
    struct managed_command c;
    int n;
    if (!command_options(a, io, "webhook info", NULL, &source, 1, 1, &n))
        return EXIT_USAGE;
    int code = managed_begin(&c, in, io, source, NULL, false);
    if (code != EXIT_DONE)
        return code;
    code = c.m.api ? show(&c, a->json) : by_hand(&c);
    managed_end(&c);
    return code;
}

/* ---- delete ---- */

/* The tables that events feed; false after saying which. */
static bool may_go(struct managed_command *c, bool force)
{
    const struct manifest *m = c->m.source->manifest;
    struct buf tables;
    buf_init(&tables, 4096);
    for (size_t i = 0; i < m->n_tables; i++)
        if (source_has_table(c->m.source, span_of(m->tables[i].name)) && (m->tables[i].types || m->tables[i].n_when))
            buf_addf(&tables, "%s%s", tables.n ? ", " : "", m->tables[i].name);
    if (source_has_table(c->m.source, SPAN_LIT("events")))
        buf_addf(&tables, "%sevents", tables.n ? ", " : "");
    bool ok = force || !tables.n || c->m.source->webhook_off;
    if (!ok)
        fprintf(c->io->err,
                "sluice: these tables of %s live on its deliveries: %s. Set `webhook: off` at the source, or take --force\n",
                c->m.source->name, buf_z(&tables));
    buf_release(&tables);
    return ok;
}

static int delete_all(struct managed_command *c, bool yes)
{
    struct found f = {0};
    struct err err = {0};
    size_t n = 0;
    if (!managed_find(&c->m, &f, &err))
        return command_fail(c->io, &err);
    if (!f.n) {
        found_free(&f);
        (void)managed_unregister(&c->m, &n, &err); /* forgets what is gone */
        fprintf(c->io->out, "%s there is no endpoint of ours\n", glyph_ok(c->io));
        return yes ? EXIT_DONE : EXIT_FAILED;
    }
    for (size_t i = 0; !yes && i < f.n; i++)
        fprintf(c->io->err, "This deletes the endpoint %s at %s: %s\n", f.ours[i]->id, c->m.source->manifest->title,
                f.ours[i]->url);
    found_free(&f);
    if (yes && !managed_unregister(&c->m, &n, &err))
        return command_fail(c->io, &err);
    return EXIT_DONE;
}

int cmd_webhook_delete(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *source;
    bool force = false;
    const struct opt spec[] = {{"--force", OPT_FLAG, &force}, {NULL, 0, NULL}};
    struct managed_command c;
    int n;
    if (!command_options(a, io, "webhook delete", spec, &source, 1, 1, &n))
        return EXIT_USAGE;
    int code = managed_begin(&c, in, io, source, NULL, true);
    if (code != EXIT_DONE)
        return code;
    if (!c.m.api)
        code = by_hand(&c);
    else
        code = may_go(&c, force) ? delete_all(&c, a->yes) : EXIT_FAILED;
    managed_end(&c);
    return code;
}
