#include "staging/s3/credentials.h"
#include "core/clock.h"
#include "core/codec.h"
#include "core/json.h"
#include "core/mem.h"
#include "staging/s3/answer.h"
#include "staging/s3/http.h"
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define MARGIN_US (UINT64_C(300) * 1000000)
#define AGAIN_US (UINT64_C(10) * 1000000)
#define FILE_MAX ((size_t)1 << 20)
#define TOKEN_MAX ((size_t)64 << 10)

enum kind { KIND_CONFIG, KIND_ENVIRONMENT, KIND_IDENTITY, KIND_FILE, KIND_CONTAINER };
struct s3_credentials {
    const struct io *io;
    const struct objects_config *o;
    char *region;
    pthread_mutex_t lock; /* the rest; held while new keys are fetched: who needs them waits for them */
    struct s3_keys keys;
    bool have;
    uint64_t until_us, renew_us; /* wall clock; 0: they last */
};

static void wipe(char **z)
{
    if (*z)
        OPENSSL_cleanse(*z, strlen(*z));
    free(*z);
    *z = NULL;
}

void s3_keys_wipe(struct s3_keys *k)
{
    wipe(&k->access);
    wipe(&k->secret);
    wipe(&k->token);
}

static const char *variable(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

struct s3_credentials *s3_credentials_new(const struct io *io, const struct objects_config *o, const char *region)
{
    struct s3_credentials *c = mem_alloc(sizeof(*c));
    *c = (struct s3_credentials){.io = io, .o = o, .region = mem_dup(region)};
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void s3_credentials_free(struct s3_credentials **cp)
{
    struct s3_credentials *c = *cp;
    if (!c)
        return;
    s3_keys_wipe(&c->keys);
    pthread_mutex_destroy(&c->lock);
    free(c->region);
    free(c);
    *cp = NULL;
}

/* What goes into headers: no byte that could end one. */
static bool usable(const char *z)
{
    for (; *z; z++) {
        if (*z <= ' ' || *z > '~')
            return false;
    }
    return true;
}

static bool check(struct s3_keys *k, const char *whence, struct err *err)
{
    if (k->access && *k->access && k->secret && *k->secret && usable(k->access) && usable(k->secret) && (!k->token ||
                                                                                                         usable(k->token)))
        return true;
    s3_keys_wipe(k);
    return err_set(err, ERR_CONFIG, "%s give no usable access key and secret key", whence);
}

static bool from_config(const struct s3_credentials *c, struct s3_keys *ret, struct err *err)
{
    size_t n;
    struct s3_keys k = {0};
    if (!secret_read(&c->o->access_key, &k.access, &n, err))
        return err_prefix(err, "staging.objects.access_key");
    bool ok = secret_read(&c->o->secret_key, &k.secret, &n, err) || err_prefix(err, "staging.objects.secret_key");
    if (ok && c->o->session_token.at)
        ok = secret_read(&c->o->session_token, &k.token, &n, err) || err_prefix(err, "staging.objects.session_token");
    if (!ok)
        s3_keys_wipe(&k);
    else
        ok = check(&k, "staging.objects.access_key and secret_key", err);
    if (ok)
        *ret = k;
    return ok;
}

static bool from_environment(struct s3_keys *ret, struct err *err)
{
    struct s3_keys k = {mem_dup(variable("AWS_ACCESS_KEY_ID")), mem_dup(variable("AWS_SECRET_ACCESS_KEY")),
                        mem_dup(variable("AWS_SESSION_TOKEN"))};
    if (!check(&k, "the environment's AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", err))
        return false;
    *ret = k;
    return true;
}

static bool take_line(struct span line, struct s3_keys *k)
{
    struct span value, name = span_trim(span_cut(line, '=', &value));
    char **to = span_eqz(name, "aws_access_key_id")       ? &k->access
                : span_eqz(name, "aws_secret_access_key") ? &k->secret
                : span_eqz(name, "aws_session_token")     ? &k->token
                                                          : NULL;
    if (to && value.p) {
        wipe(to);
        *to = mem_dup_span(span_trim(value));
    }
    return to != NULL;
}

bool s3_profile_read(struct span file, struct span profile, struct s3_keys *ret, struct err *err)
{
    struct s3_keys k = {0};
    bool inside = false, found = false;
    if (memchr(file.p, 0, file.n))
        return err_set(err, ERR_CONFIG, "it holds a NUL byte, so it is no file of credentials");
    for (struct span rest = file; rest.p;) {
        struct span line = span_cut(rest, '\n', &rest);
        while (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        line = span_trim(line);
        if (line.n > 1 && line.p[0] == '[') {
            struct span name = {line.p + 1, line.n - 1};
            if (name.p[name.n - 1] == ']')
                name.n--;
            inside = span_eq(span_trim(name), profile);
            found = found || inside;
        } else if (inside && line.n && line.p[0] != '#' && line.p[0] != ';') {
            (void)take_line(line, &k);
        }
    }
    if (!found) {
        s3_keys_wipe(&k);
        return err_set(err, ERR_CONFIG, "there is no profile [%.*s]", (int)(profile.n < 80 ? profile.n : 80), profile.p);
    }
    if (!check(&k, "its aws_access_key_id and aws_secret_access_key", err))
        return false;
    *ret = k;
    return true;
}

static bool profile_path(struct buf *path)
{
    const char *named = variable("AWS_SHARED_CREDENTIALS_FILE"), *home = variable("HOME");
    if (named)
        buf_addz(path, named);
    else if (home)
        buf_addf(path, "%s/.aws/credentials", home);
    return path->n > 0;
}

static bool from_file(const struct s3_credentials *c, struct s3_keys *ret, struct err *err)
{
    struct buf path = {0};
    char *bytes;
    size_t n;
    const char *profile = variable("AWS_PROFILE");
    bool ok = profile_path(&path) && io_read_file(c->io, buf_z(&path), FILE_MAX, &bytes, &n, err);
    if (ok) {
        ok = s3_profile_read((struct span){bytes, n}, span_of(profile ? profile : "default"), ret, err) ||
             err_prefix(err, "%s", buf_z(&path));
        OPENSSL_cleanse(bytes, n);
        free(bytes);
    }
    buf_release(&path);
    return ok;
}

/* Moves the text of an element or member into a key, so that no copy of it stays. */
static bool take_text(struct span body, const char *name, char **to)
{
    struct buf text = {0};
    bool ok = s3_element(body, name, &text) && text.n && !memchr(text.p, 0, text.n);
    if (ok) {
        free(*to);
        *to = mem_dup_span(buf_span(&text));
    }
    buf_wipe(&text);
    return ok;
}

static bool take_until(struct span text, uint64_t *ret)
{
    return text.n && clock_parse_iso(text, ret);
}

bool s3_identity_read(struct span body, struct s3_keys *ret, uint64_t *ret_until_us, struct err *err)
{
    struct s3_keys k = {0};
    struct buf until = {0};
    bool ok = take_text(body, "AccessKeyId", &k.access) && take_text(body, "SecretAccessKey", &k.secret) &&
              take_text(body, "SessionToken", &k.token) && s3_element(body, "Expiration", &until) &&
              take_until(buf_span(&until), ret_until_us);
    buf_release(&until);
    if (!ok || !check(&k, "STS' answers", err)) {
        s3_keys_wipe(&k);
        return err_set(err, ERR_CONFIG, "the answer holds no whole credentials");
    }
    *ret = k;
    return true;
}

static bool member(struct json root, const char *name, char **to)
{
    struct buf text = {0};
    bool ok = json_text(json_get(root, span_of(name)), &text) && text.n && !memchr(text.p, 0, text.n);
    if (ok)
        *to = mem_dup_span(buf_span(&text));
    buf_wipe(&text);
    return ok;
}

bool s3_container_read(struct span body, struct s3_keys *ret, uint64_t *ret_until_us, struct err *err)
{
    struct s3_keys k = {0};
    struct json root;
    struct err ignored;
    struct buf until = {0};
    uint64_t until_us = 0;
    bool ok = json_parse(body, &root, &ignored) && member(root, "AccessKeyId", &k.access) && member(root, "SecretAccessKey",
                                                                                                    &k.secret);
    if (ok)
        (void)member(root, "Token", &k.token);
    if (ok && json_get(root, SPAN_LIT("Expiration")).type != JSON_NONE)
        ok = json_text(json_get(root, SPAN_LIT("Expiration")), &until) && take_until(buf_span(&until), &until_us);
    buf_release(&until);
    if (!ok || !check(&k, "the endpoint's answers", err)) {
        s3_keys_wipe(&k);
        return err_set(err, ERR_CONFIG, "the answer holds no whole credentials");
    }
    *ret = k;
    *ret_until_us = until_us;
    return true;
}

static bool read_token(const struct s3_credentials *c, const char *path, struct buf *out, struct err *err)
{
    char *bytes;
    size_t n;
    if (!io_read_file(c->io, path, TOKEN_MAX, &bytes, &n, err)) {
        if (err)
            err->cls = ERR_CONFIG;
        return false;
    }
    struct span s = {bytes, n};
    while (s.n && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r' || s.p[s.n - 1] == ' '))
        s.n--;
    buf_adds(out, s);
    OPENSSL_cleanse(bytes, n);
    free(bytes);
    return out->n || err_set(err, ERR_CONFIG, "%s is empty", path);
}

static void add_field(struct buf *out, const char *name, struct span value)
{
    buf_addf(out, "%s%s=", out->n ? "&" : "", name);
    percent_encode(out, value);
}

static bool from_identity(const struct s3_credentials *c, struct s3_keys *ret, uint64_t *ret_until_us, struct err *err)
{
    const char *role = variable("AWS_ROLE_ARN"), *session = variable("AWS_ROLE_SESSION_NAME");
    const char *sts = variable("AWS_ENDPOINT_URL_STS");
    struct buf token = {0}, form = {0}, url = {0};
    struct s3_reply reply = {0};
    bool ok = role || err_set(err, ERR_CONFIG, "AWS_WEB_IDENTITY_TOKEN_FILE is set, but AWS_ROLE_ARN is not");
    ok = ok && read_token(c, variable("AWS_WEB_IDENTITY_TOKEN_FILE"), &token, err);
    if (ok) {
        if (sts)
            buf_addz(&url, sts);
        else
            buf_addf(&url, "https://sts.%s.amazonaws.com/", c->region);
        add_field(&form, "Action", SPAN_LIT("AssumeRoleWithWebIdentity"));
        add_field(&form, "Version", SPAN_LIT("2011-06-15"));
        add_field(&form, "RoleArn", span_of(role));
        add_field(&form, "RoleSessionName", span_of(session ? session : "sluice"));
        add_field(&form, "WebIdentityToken", buf_span(&token));
        ok = s3_fetch(buf_z(&url), NULL, buf_span(&form), c->o->ca_file, &reply, err);
    }
    if (ok && reply.status != 200) {
        struct s3_error e;
        (void)s3_error_read(buf_span(&reply.body), &e);
        ok = err_set(err, reply.status >= 500 ? ERR_TRANSIENT : ERR_CONFIG,
                     "STS does not give the role %s to this web identity (%ld%s%s%s%s)", role, reply.status, *e.code ? " " : "",
                         e.code,
                     *e.message ? ": " : "", e.message);
    }
    ok = ok && (s3_identity_read(buf_span(&reply.body), ret, ret_until_us, err) || err_prefix(err, "STS"));
    buf_wipe(&token);
    buf_wipe(&form);
    buf_release(&url);
    buf_wipe(&reply.body);
    return ok;
}

bool s3_container_url_safe(const char *url)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};
    struct span s = span_of(url);
    if (span_starts(s, SPAN_LIT("https://")))
        return true;
    if (!span_starts(s, SPAN_LIT("http://")))
        return false;
    s = span_skip(s, 7);
    s.n = strcspn(s.p, "/?#");
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        size_t n = strlen(hosts[i]);
        if (span_starts(s, span_of(hosts[i])) && (s.n == n || s.p[n] == ':') && !memchr(s.p, '@', s.n))
            return true;
    }
    return false;
}

static bool from_container(const struct s3_credentials *c, struct s3_keys *ret, uint64_t *ret_until_us, struct err *err)
{
    const char *full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        *literal = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    struct buf url = {0}, header = {0};
    struct s3_reply reply = {0};
    if (relative)
        buf_addf(&url, "http://169.254.170.2%s", relative);
    else
        buf_addz(&url, full);
    bool ok = s3_container_url_safe(buf_z(&url)) ||
              err_set(err, ERR_CONFIG, "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this machine");
    if (file || literal)
        buf_addz(&header, "Authorization: ");
    if (ok && file)
        ok = read_token(c, file, &header, err);
    else if (literal)
        buf_addz(&header, literal);
    ok = ok && s3_fetch(buf_z(&url), header.n ? buf_z(&header) : NULL, (struct span){0}, c->o->ca_file, &reply, err);
    if (ok && reply.status != 200)
        ok = err_set(err, reply.status >= 500 || reply.status == 429 ? ERR_TRANSIENT : ERR_CONFIG,
                     "the container's endpoint of credentials answers %ld", reply.status);
    ok = ok && (s3_container_read(buf_span(&reply.body), ret, ret_until_us, err) ||
                err_prefix(err, "the container's endpoint of credentials"));
    buf_release(&url);
    buf_wipe(&header);
    buf_wipe(&reply.body);
    return ok;
}

static bool file_is_there(const struct s3_credentials *c)
{
    struct buf path = {0};
    bool there = false;
    if (profile_path(&path)) {
        int fd = c->io->file->open(c->io, buf_z(&path), 0 /* O_RDONLY */, 0);
        there = fd >= 0;
        if (there)
            (void)c->io->file->close(c->io, fd);
    }
    buf_release(&path);
    return there || variable("AWS_SHARED_CREDENTIALS_FILE");
}

static bool fetch_keys(const struct s3_credentials *c, struct s3_keys *ret, uint64_t *ret_until_us, struct err *err)
{
    *ret_until_us = 0;
    if (c->o->access_key.at)
        return from_config(c, ret, err);
    if (variable("AWS_ACCESS_KEY_ID") || variable("AWS_SECRET_ACCESS_KEY"))
        return from_environment(ret, err);
    if (variable("AWS_WEB_IDENTITY_TOKEN_FILE"))
        return from_identity(c, ret, ret_until_us, err);
    if (file_is_there(c))
        return from_file(c, ret, err);
    if (variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"))
        return from_container(c, ret, ret_until_us, err);
    return err_set(err, ERR_CONFIG,
                   "no credentials for the object store: write staging.objects.access_key and secret_key, or set "
                                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a web identity, ~/.aws/credentials or a "
                                    "container's endpoint");
}

static bool renew_keys(struct s3_credentials *c, uint64_t now, struct err *err)
{
    struct s3_keys fresh = {0};
    uint64_t until;
    if (!fetch_keys(c, &fresh, &until, err)) {
        c->renew_us = now + AGAIN_US;
        return false;
    }
    uint64_t left = until > now ? until - now : 0, margin = left / 4 < MARGIN_US ? left / 4 : MARGIN_US;
    s3_keys_wipe(&c->keys);
    c->keys = fresh;
    c->have = true;
    c->until_us = until;
    c->renew_us = until ? until - margin : 0;
    return true;
}

bool s3_credentials_get(struct s3_credentials *c, bool renew, struct s3_keys *ret, struct err *err)
{
    uint64_t now = c->io->world->now_us(c->io);
    pthread_mutex_lock(&c->lock);
    bool over = c->have && c->until_us && now >= c->until_us;
    bool ok = true;
    if (!c->have || renew || over || (c->renew_us && now >= c->renew_us))
        ok = renew_keys(c, now, err) || (c->have && !renew && !over);
    if (ok)
        *ret = (struct s3_keys){mem_dup(c->keys.access), mem_dup(c->keys.secret), mem_dup(c->keys.token)};
    pthread_mutex_unlock(&c->lock);
    return ok;
}
