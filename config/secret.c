/* Secrets: where they are said to be, reading them, their ids. */
#include "config/internal.h"
#include "core/clock.h"
#include "core/codec.h"
#include "core/io.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES_MAX 65536

/* Names the nearest right key, never the wrong one: it may be the secret. */
static void check_keys(struct loading *l, const struct yaml_node *n)
{
    static const char *const keys[] = {"file", "env", "retire_at", NULL};
    for (size_t i = 0; i < yaml_count(n); i++) {
        struct span key = yaml_text(yaml_key(n, i));
        bool known = false;
        for (size_t k = 0; keys[k]; k++)
            known = known || span_eqz(key, keys[k]);
        const char *near = known ? NULL : nearest_word(key, keys);
        if (near)
            report_at(l->r, n, "one of its keys is unknown (did you mean %s?)", near);
        else if (!known)
            report_at(l->r, n, "takes file: or env:, and retire_at:; nothing else");
    }
}

bool config_read_secret_ref(struct loading *l, const struct yaml_node *n, struct secret_ref *ret)
{
    if (yaml_kind(n) != YAML_MAP) {
        report_at(l->r, n, "a secret is not written into the file; write {file: ./secrets/name} or {env: NAME}");
        return false;
    }
    unsigned before = l->r->count;
    check_keys(l, n);
    const struct yaml_node *file = yaml_get(n, "file"), *env = yaml_get(n, "env"), *retire = yaml_get(n, "retire_at");
    struct span at = yaml_text(file ? file : env);
    struct secret_ref ref = {0};
    const char *text;
    if (l->r->count == before && !file == !env)
        report_at(l->r, n, "needs %s", file ? "one of file: and env:, not both" : "file: or env:");
    else if ((file || env) && !at.n)
        report_at(l->r, file ? file : env, "must be %s", file ? "a path" : "a variable's name");
    else if (at.n && memmem(at.p, at.n, "${", 2))
        report_at(l->r, file ? file : env, "variables are not replaced where a secret is; {env: NAME} reads one");
    else if (file)
        ref = (struct secret_ref){.kind = SECRET_FILE, .at = config_path(l, at)};
    else if (env && config_is_variable(at))
        ref = (struct secret_ref){.kind = SECRET_ENV, .at = arena_dup(l->c->arena, at)};
    else if (env) {
        yaml_hide(env); /* more likely the secret than a name */
        report_at(l->r, env, "is no variable's name: letters, digits and _");
    }
    if (retire && config_scalar(l, retire, &text) && !clock_parse_iso(span_of(text), &ref.retire_at_us))
        report_at(l->r, retire, "is no instant; write 2026-12-01T00:00:00Z");
    if (l->r->count != before)
        return false;
    *ret = ref;
    return true;
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

/* Reads until the end or `max` bytes; -errno on failure. */
static ssize_t read_all(const struct io *io, int fd, char *p, size_t max)
{
    size_t n = 0;
    while (n < max) {
        ssize_t k = io->file->pread(io, fd, p + n, max - n, n);
        if (k == -EINTR)
            continue;
        if (k < 0)
            return k;
        if (k == 0)
            break;
        n += (size_t)k;
    }
    return (ssize_t)n;
}

static bool from_fd(const struct io *io, int fd, const char *path, char **ret, size_t *ret_n, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_sys(err, ERR_CONFIG, "cannot read the secret file %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_CONFIG, "the secret file %s is %s, not a file", path,
                       S_ISDIR(st.st_mode) ? "a folder" : "a device or a pipe");
    char *p = mem_alloc(SECRET_BYTES_MAX + 2);
    ssize_t n = read_all(io, fd, p, SECRET_BYTES_MAX + 1);
    bool ok = n >= 0 && n <= SECRET_BYTES_MAX;
    while (ok && n && (p[n - 1] == '\n' || p[n - 1] == '\r'))
        n--;
    if (ok && n) {
        char *kept = mem_dup_span(span_make(p, (size_t)n));
        *ret = kept;
        *ret_n = (size_t)n;
    } else if (n < 0) {
        errno = (int)-n;
        (void)err_sys(err, ERR_CONFIG, "cannot read the secret file %s", path);
    } else if (!ok) {
        (void)err_set(err, ERR_CONFIG, "the secret file %s is larger than %d KiB", path, SECRET_BYTES_MAX / 1024);
    } else {
        (void)err_set(err, ERR_CONFIG, "the secret file %s is empty", path);
    }
    OPENSSL_cleanse(p, SECRET_BYTES_MAX + 2);
    free(p);
    return ok && n;
}

bool secret_read(const struct secret_ref *ref, char **ret, size_t *ret_n, struct err *err)
{
    if (ref->kind == SECRET_ENV)
        return from_env(ref, ret, ret_n, err);
    const struct io *io = io_posix();
    /* Not blocking: a pipe without a writer must not hold us. */
    int fd = io->file->open(io, ref->at, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    if (fd < 0) {
        errno = -fd;
        return err_sys(err, ERR_CONFIG, "cannot read the secret file %s", ref->at);
    }
    bool ok = from_fd(io, fd, ref->at, ret, ret_n, err);
    io->file->close(io, fd);
    return ok;
}

bool secret_next(const struct secret_ref *ref, struct buf *path)
{
    buf_clear(path);
    if (ref->kind != SECRET_FILE || !ref->at)
        return false;
    buf_addf(path, "%s" SECRET_NEXT, ref->at);
    struct stat st;
    return buf_ok(path) && stat(buf_z(path), &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
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
    if (ref->kind != SECRET_FILE || stat(ref->at, &st) != 0)
        return false;
    /* Another's file that our group may read is how a volume gives it to us (fsGroup). */
    return (st.st_mode & 026) != 0 || ((st.st_mode & 040) && st.st_uid == geteuid());
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
