/* What is not wrong but risky: the warnings of `config check`. */
#include "config/internal.h"
#include "core/clock.h"
#include "core/io.h"
#include <regex.h>
#include <unistd.h>

static bool path_is_url(const struct path *p)
{
    for (; p; p = p->other)
        if (p->root == ROOT_URL)
            return true;
    return false;
}

static bool signs_url(const struct manifest *m)
{
    for (size_t i = 0; i < m->n_schemes; i++) {
        const struct template *t = &m->schemes[i].signed_text;
        for (size_t k = 0; k < t->n_parts; k++)
            if (!t->parts[k].literal && path_is_url(&t->parts[k].path))
                return true;
    }
    return false;
}

/* Does the secret look like what the provider hands out? Tells nothing of it. */
static bool matches(const char *pattern, const char *secret)
{
    regex_t re;
    if (!pattern || regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return true;
    bool ok = regexec(&re, secret, 0, NULL, 0) == 0;
    regfree(&re);
    return ok;
}

static void warn_secret(const char *whose, const struct secret_ref *ref, const char *pattern, uint64_t now_us,
                        struct report *r)
{
    struct err err = {0};
    char *secret = NULL, day[CLOCK_TEXT_MAX];
    size_t n = 0;
    if (ref->retire_at_us && ref->retire_at_us <= now_us) {
        clock_date(ref->retire_at_us, day);
        report_plain(r, "! %s: the secret in %s retired on %s: it verifies nothing any more; leave it out", whose, ref->at, day);
        return;
    }
    if (!secret_read(ref, &secret, &n, &err))
        report_plain(r, "! %s: %s", whose, err.msg);
    else if (!matches(pattern, secret))
        report_plain(r, "! %s: what %s holds does not look like one: it does not match %s", whose, ref->at, pattern);
    if (secret && secret_is_open(ref))
        report_plain(r, "! %s: others can read or change %s: chmod 600 %s", whose, ref->at, ref->at);
    secret_free(&secret, n);
}

static bool any_verifies(const struct source_config *s, uint64_t now_us)
{
    for (size_t i = 0; i < s->n_secrets; i++)
        if (!s->secrets[i].retire_at_us || s->secrets[i].retire_at_us > now_us)
            return true;
    return false;
}

static void warn_source(const struct source_config *s, uint64_t now_us, struct report *r)
{
    struct buf whose;
    buf_init(&whose, 4096);
    if (s->unverified)
        report_plain(r, "! %s: verification: none: whoever reaches the endpoint can write rows", s->name);
    else if (!s->webhook_off && s->n_secrets == 0 && manifest_delivers_secrets(s->manifest))
        report_plain(r, "! %s: no secret yet: the first handshake brings one, whoever sends it; until then every delivery is "
                        "answered 503", s->name);
    else if (!s->webhook_off && !any_verifies(s, now_us))
        report_plain(r, "! %s: no secret %s: every delivery will be answered 503; write secrets: [{file: ./secrets/%s}]",
                     s->name, s->n_secrets ? "that is still in use" : "is named", s->name);
    if (!s->public_url && !s->webhook_off && signs_url(s->manifest))
        report_plain(r, "! %s: its signatures cover the URL, and there is no public_url: behind a proxy none will match",
                     s->name);
    for (size_t i = 0; i < s->n_secrets; i++)
        warn_secret(s->name, &s->secrets[i], NULL, now_us, r);
    for (size_t i = 0; i < s->n_values; i++) {
        const struct config_value *v = &s->values[i];
        const struct field_rule *f = manifest_field(s->manifest, span_of(v->name));
        if (!v->secret)
            continue;
        buf_clear(&whose);
        buf_addf(&whose, "%s: config.%s", s->name, v->name);
        warn_secret(buf_z(&whose), &v->ref, f ? f->pattern : NULL, now_us, r);
    }
    buf_release(&whose);
}

static void warn_tls(const struct config *c, struct report *r)
{
    const struct secret_ref key = {.kind = SECRET_FILE, .at = c->tls_key};
    if (!c->tls_cert)
        return;
    if (access(c->tls_cert, R_OK) != 0)
        report_plain(r, "! tls.cert: cannot read %s: the server will not start", c->tls_cert);
    if (access(c->tls_key, R_OK) != 0)
        report_plain(r, "! tls.key: cannot read %s: the server will not start", c->tls_key);
    else if (secret_is_open(&key))
        report_plain(r, "! tls.key: others can read or change %s: chmod 600 %s", c->tls_key, c->tls_key);
}

/* Who names everybody a proxy lets everybody say who they are. */
static void warn_proxies(const struct config *c, struct report *r)
{
    for (size_t i = 0; i < c->n_proxies; i++) {
        const struct address_block *b = &c->proxies[i];
        if (b->bits == (address_is_v4(&b->first) ? 96 : 0))
            report_plain(r, "! proxies: everybody is a proxy, so X-Forwarded-For is believed from anybody; name your own only");
    }
}

void config_warnings(const struct config *c, struct report *r)
{
    const struct io *io = io_posix();
    uint64_t now_us = io->world->now_us(io);
    bool any_url = c->public_url, any_door = false;
    for (size_t i = 0; i < c->n_sources; i++) {
        any_door = any_door || !c->sources[i].webhook_off;
        any_url = any_url || c->sources[i].public_url;
    }
    if (any_door && !any_url)
        report_plain(r, "! no public_url: where providers are to post to is not known; write public_url: https://…");
    for (size_t i = 0; i < c->n_idle_keys; i++)
        report_plain(r, "! %s: read, but nothing in this version acts on it", c->idle_keys[i]);
    if (c->admin.host && !c->admin_token.at)
        report_plain(r, "! admin: no token_file: whoever reaches %s:%u may read it", c->admin.host, c->admin.port);
    if (c->admin_token.at)
        warn_secret("admin.token_file", &c->admin_token, NULL, now_us, r);
    if (c->alarms_post.at)
        warn_secret("alarms.post", &c->alarms_post, NULL, now_us, r);
    if (c->alarms_secret.at)
        warn_secret("alarms.secret", &c->alarms_secret, NULL, now_us, r);
    else if (c->alarms_post.at && c->alarms_format == ALARMS_STANDARD)
        report_plain(r, "! alarms: no secret: the receiver of Standard Webhooks cannot tell who sent them");
    warn_tls(c, r);
    warn_proxies(c, r);
    for (size_t i = 0; i < c->n_sources; i++)
        warn_source(&c->sources[i], now_us, r);
}
