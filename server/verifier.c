/* The life of a verifier: secrets read and held, keys made, everything wiped at the end. */
#include "server/verify_internal.h"
#include "core/codec.h"
#include "core/mem.h"
#include <openssl/crypto.h>
#include <stdlib.h>

static const char *const verdict_names[] = {"ok", "bad_signature", "expired", "missing_header", "malformed", "cannot_judge"};

const char *verdict_name(enum verdict v)
{
    return verdict_names[v];
}

bool verdict_parse(struct span text, enum verdict *ret)
{
    for (size_t i = 0; i < sizeof verdict_names / sizeof verdict_names[0]; i++) {
        if (span_eqz(text, verdict_names[i])) {
            *ret = (enum verdict)i;
            return true;
        }
    }
    return false;
}

/* Whether a path of the scheme leads into the body, so that it has to be read as JSON. */
static bool template_needs_json(const struct template *t)
{
    for (size_t i = 0; i < t->n_parts; i++)
        if (!t->parts[i].literal && t->parts[i].path.root == ROOT_BODY && t->parts[i].path.n_steps)
            return true;
    return false;
}

static bool scheme_needs_json(const struct scheme *s)
{
    bool needs = template_needs_json(&s->signed_text) || (s->time.present && s->time.from.root == ROOT_BODY);
    for (size_t i = 0; i < s->n_when; i++)
        needs = needs || s->when[i].path.root == ROOT_BODY;
    return needs;
}

static bool switch_is_on(const struct verifier *v, const char *name)
{
    if (!name)
        return true;
    for (size_t i = 0; i < v->n_config; i++)
        if (span_eqz(v->config[i].name, name))
            return span_eqz(v->config[i].value, "true");
    const struct field_rule *field = manifest_field(v->manifest, span_of(name));
    return field && field->fallback && strcmp(field->fallback, "true") == 0;
}

static void hold_secrets(struct verifier *v, const struct verify_secret *secrets, size_t n)
{
    v->secrets = mem_alloc((n + 1) * sizeof *v->secrets);
    for (size_t i = 0; i < n; i++) {
        struct held_secret *held = &v->secrets[v->n_secrets++];
        held->text = mem_dup_span(secrets[i].text);
        held->n = secrets[i].text.n;
        held->retire_at_us = secrets[i].retire_at_us;
        secret_id(secrets[i].text, held->id);
    }
}

static void copy_config(struct verifier *v, const struct scope_pair *config, size_t n)
{
    v->config = mem_alloc((n + 1) * sizeof *v->config);
    for (size_t i = 0; i < n; i++) {
        struct span value = config[i].value;
        v->config[v->n_config++] = (struct scope_pair){
            .name = {mem_dup_span(config[i].name), config[i].name.n},
            .value = value.p ? (struct span){mem_dup_span(value), value.n} : value,
        };
    }
}

static bool make_schemes(struct verifier *v, const char *only, struct buf *warnings, struct err *err)
{
    const struct manifest *m = v->manifest;
    v->schemes = mem_alloc((m->n_schemes + 1) * sizeof *v->schemes);
    for (size_t i = 0; i < m->n_schemes; i++) {
        const struct scheme *rule = &m->schemes[i];
        if (only && strcmp(only, rule->name) != 0)
            continue;
        struct verify_scheme *s = &v->schemes[v->n_schemes++];
        *s = (struct verify_scheme){.rule = rule, .on = switch_is_on(v, rule->enabled)};
        v->needs_json = v->needs_json || scheme_needs_json(rule);
        if (!keys_make(v, s, s->on ? warnings : NULL, err))
            return false;
    }
    if (only && v->n_schemes == 0)
        return err_set(err, ERR_INPUT, "%s has no scheme %s", m->name, only);
    return true;
}

static bool verifier_make(const struct manifest *m, const struct verify_secret *secrets, size_t n_secrets,
                          const struct scope_pair *config, size_t n_config, const char *only_scheme, struct buf *warnings,
                          struct verifier **ret, struct err *err)
{
    struct verifier *v = mem_alloc(sizeof *v);
    v->manifest = m;
    hold_secrets(v, secrets, n_secrets);
    copy_config(v, config, n_config);
    if (!make_schemes(v, only_scheme, warnings, err)) {
        verifier_free(&v);
        return false;
    }
    *ret = v;
    return true;
}

bool verifier_of(const struct manifest *m, const struct verify_secret *secrets, size_t n_secrets,
                 const struct scope_pair *config, size_t n_config, const char *only_scheme, struct verifier **ret,
                 struct err *err)
{
    return verifier_make(m, secrets, n_secrets, config, n_config, only_scheme, NULL, ret, err);
}

/* What verification may need of the configuration; a value that cannot be read now is left out. */
static bool config_of(const struct source_config *s, struct scope_pair **ret, size_t *ret_n, struct buf *warnings)
{
    struct err err = {0};
    if (config_pairs(s, ret, ret_n, &err))
        return true;
    if (warnings)
        buf_addf(warnings, "%s: %s\n", s->name, err.msg);
    *ret = mem_alloc((s->n_values + 1) * sizeof **ret);
    *ret_n = 0;
    for (size_t i = 0; i < s->n_values; i++)
        if (!s->values[i].secret)
            (*ret)[(*ret_n)++] = (struct scope_pair){span_of(s->values[i].name), span_of(s->values[i].text)};
    return false;
}

bool verifier_new(const struct source_config *s, const struct verify_secret *more, size_t n_more, struct verifier **ret,
                  struct buf *ret_warnings, struct err *err)
{
    struct verify_secret *secrets = mem_alloc((2 * s->n_secrets + n_more + 1) * sizeof *secrets);
    char **texts = mem_alloc((2 * s->n_secrets + 1) * sizeof *texts);
    size_t n = 0;
    struct buf next;
    buf_init(&next, 1 << 16);
    for (size_t i = 0; i < 2 * s->n_secrets; i++) {
        struct secret_ref ref = s->secrets[i / 2];
        size_t size = 0;
        struct err why = {0};
        if (i % 2 && !secret_next(&ref, &next))
            continue; /* no rotation is on its way */
        if (i % 2)
            ref = (struct secret_ref){.kind = SECRET_FILE, .at = buf_z(&next)};
        if (secret_read(&ref, &texts[n], &size, &why)) {
            secrets[n] = (struct verify_secret){{texts[n], size}, ref.retire_at_us};
            n++;
        } else if (ret_warnings) {
            buf_addf(ret_warnings, "%s: %s\n", s->name, why.msg);
        }
    }
    buf_release(&next);
    for (size_t i = 0; i < n_more; i++)
        secrets[n + i] = more[i];
    struct scope_pair *config = NULL;
    size_t n_config = 0;
    bool whole = config_of(s, &config, &n_config, ret_warnings);
    bool ok = verifier_make(s->manifest, secrets, n + n_more, config, n_config, NULL, ret_warnings, ret, err);
    if (whole)
        config_pairs_free(&config, n_config);
    else
        free(config);
    for (size_t i = 0; i < n; i++)
        secret_free(&texts[i], secrets[i].text.n);
    free(texts);
    free(secrets);
    return ok;
}

void verifier_free(struct verifier **v)
{
    struct verifier *old = *v;
    if (!old)
        return;
    for (size_t i = 0; i < old->n_schemes; i++)
        keys_free(&old->schemes[i]);
    free(old->schemes);
    for (size_t i = 0; i < old->n_secrets; i++)
        secret_free(&old->secrets[i].text, old->secrets[i].n);
    free(old->secrets);
    for (size_t i = 0; i < old->n_config; i++)
        free((char *)(uintptr_t)old->config[i].name.p); /* names and values are copies of its own */
    config_pairs_free(&old->config, old->n_config);
    free(old);
    *v = NULL;
}

size_t verifier_secrets(const struct verifier *v)
{
    return v->n_secrets;
}

const char *verifier_secret(const struct verifier *v, size_t i, uint64_t *ret_retire_at_us)
{
    *ret_retire_at_us = v->secrets[i].retire_at_us;
    return v->secrets[i].id;
}

struct span verifier_secret_text(const struct verifier *v, size_t i)
{
    return i < v->n_secrets ? (struct span){v->secrets[i].text, v->secrets[i].n} : (struct span){0};
}

bool verifier_holds(const struct verifier *v, struct span secret)
{
    unsigned equal = 0;
    for (size_t i = 0; i < v->n_secrets; i++)
        equal |= ct_equal((struct span){v->secrets[i].text, v->secrets[i].n}, secret);
    return equal != 0;
}

bool verifier_can_judge(const struct verifier *v, uint64_t now_us)
{
    for (size_t i = 0; i < v->n_schemes; i++)
        for (size_t k = 0; v->schemes[i].on && k < v->schemes[i].n_keys; k++)
            if (key_is_active(v, &v->schemes[i].keys[k], now_us))
                return true;
    return false;
}

struct verify_scratch *verify_scratch_new(void)
{
    struct verify_scratch *s = mem_alloc(sizeof *s);
    buf_init(&s->text, (size_t)1 << 20);
    buf_init(&s->decoded, (size_t)1 << 16);
    buf_init(&s->whole, 0);
    return s;
}

static void wipe(struct buf *b)
{
    if (b->p)
        OPENSSL_cleanse(b->p, b->cap);
    buf_release(b);
}

void verify_scratch_free(struct verify_scratch **s)
{
    if (!*s)
        return;
    wipe(&(*s)->text);
    wipe(&(*s)->decoded);
    wipe(&(*s)->whole);
    free(*s);
    *s = NULL;
}
