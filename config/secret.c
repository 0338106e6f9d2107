/* Secrets: where they are said to be, reading them, their ids. */
#include "config/internal.h"
#include "core/clock.h"
#include "core/codec.h"
#include "core/io.h"
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SECRET_BYTES_MAX 65536

bool config_read_secret_ref(struct loading *l, const struct yaml_node *n, struct secret_ref *ret)
{
    static const char *const keys[] = {"file", "env", "retire_at", NULL};
    if (yaml_kind(n) != YAML_MAP) {
        /* Never repeat what stands there: it may be the secret itself. */
        report_plain(l->r, "%s:%u:%u: a secret is not written into the file; write {file: ./secrets/name} or {env: NAME}\n",
                     l->c->file, yaml_line(n), yaml_col(n));
        return false;
    }
    unsigned before = l->r->count;
    report_unknown_keys(l->r, n, keys);
    const struct yaml_node *file = yaml_get(n, "file"), *env = yaml_get(n, "env"), *retire = yaml_get(n, "retire_at");
    if (!file == !env)
        report_at(l->r, n, "needs either file: or env:");
    else if (yaml_kind(file ? file : env) != YAML_SCALAR || !yaml_text(file ? file : env).n)
        report_at(l->r, file ? file : env, "must be %s", file ? "a path" : "a variable's name");
    else if (file)
        *ret = (struct secret_ref){.kind = SECRET_FILE, .at = config_path(l, yaml_text(file))};
    else
        *ret = (struct secret_ref){.kind = SECRET_ENV, .at = arena_dup(l->c->arena, yaml_text(env))};
    if (retire && !clock_parse_iso(yaml_text(retire), &ret->retire_at_us))
        report_at(l->r, retire, "is no instant; write 2026-12-01T00:00:00Z");
    return l->r->count == before;
}

static bool from_env(const struct secret_ref *ref, char **ret, size_t *ret_n, struct err *err)
{
    const char *value = getenv(ref->at);
    if (!value || !*value)
        return err_set(err, ERR_CONFIG, "the environment variable %s is %s", ref->at, value ? "empty" : "not set");
    *ret = mem_dup(value);
    *ret_n = strlen(value);
    return true;
}

bool secret_read(const struct secret_ref *ref, char **ret, size_t *ret_n, struct err *err)
{
    if (ref->kind == SECRET_ENV)
        return from_env(ref, ret, ret_n, err);
    char *bytes;
    size_t n;
    if (!io_read_file(io_posix(), ref->at, SECRET_BYTES_MAX, &bytes, &n, err)) {
        if (err)
            err->cls = ERR_CONFIG;
        return err_prefix(err, "secret");
    }
    while (n && (bytes[n - 1] == '\n' || bytes[n - 1] == '\r'))
        bytes[--n] = 0;
    if (!n) {
        free(bytes);
        return err_set(err, ERR_CONFIG, "the secret file %s is empty", ref->at);
    }
    *ret = bytes;
    *ret_n = n;
    return true;
}

void secret_free(char **secret, size_t n)
{
    if (!*secret)
        return;
    OPENSSL_cleanse(*secret, n);
    free(*secret);
    *secret = NULL;
}

bool secret_is_open(const struct secret_ref *ref)
{
    struct stat st;
    return ref->kind == SECRET_FILE && stat(ref->at, &st) == 0 && (st.st_mode & 077) != 0;
}

void secret_id(struct span secret, char out[SECRET_ID_MAX])
{
    struct buf b;
    unsigned char hash[32];
    buf_init(&b, 1 << 20);
    buf_addz(&b, "sluice secret ");
    buf_adds(&b, secret);
    sha256(buf_span(&b), hash);
    if (b.p)
        OPENSSL_cleanse(b.p, b.cap);
    buf_release(&b);
    for (int i = 0; i < 6; i++)
        out[i] = "0123456789abcdef"[i % 2 ? hash[i / 2] & 15 : hash[i / 2] >> 4];
    out[6] = 0;
}

bool config_pairs(const struct source_config *s, struct scope_pair **ret, size_t *ret_n, struct err *err)
{
    struct scope_pair *pairs = mem_alloc((s->n_values + 1) * sizeof *pairs);
    for (size_t i = 0; i < s->n_values; i++) {
        const struct config_value *v = &s->values[i];
        pairs[i].name = span_of(v->name);
        char *text;
        size_t n;
        if (!v->secret) {
            text = mem_dup(v->text);
            n = strlen(text);
        } else if (!secret_read(&v->ref, &text, &n, err)) {
            config_pairs_free(&pairs, i);
            return err_prefix(err, "%s.config.%s", s->name, v->name);
        }
        pairs[i].value = span_make(text, n);
    }
    *ret = pairs;
    *ret_n = s->n_values;
    return true;
}

void config_pairs_free(struct scope_pair **pairs, size_t n)
{
    if (!*pairs)
        return;
    for (size_t i = 0; i < n; i++) {
        char *text = (char *)(uintptr_t)(*pairs)[i].value.p;
        secret_free(&text, (*pairs)[i].value.n);
    }
    free(*pairs);
    *pairs = NULL;
}
