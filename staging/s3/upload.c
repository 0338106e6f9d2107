#include "staging/s3/upload.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define PART_STEP (UINT64_C(1) << 20)
#define READ_BYTES ((size_t)64 << 10)

uint64_t s3_part_bytes(uint64_t size)
{
    uint64_t least = (size + S3_PARTS_MAX - 1) / S3_PARTS_MAX;
    uint64_t rounded = (least + PART_STEP - 1) / PART_STEP * PART_STEP;
    return rounded > S3_PART_MIN ? rounded : S3_PART_MIN;
}

static bool read_exactly(struct s3_upload *u, char *p, size_t n, uint64_t at, struct err *err)
{
    while (n) {
        ssize_t k = u->io->file->pread(u->io, u->fd, p, n, at);
        if (k == -4 /* EINTR */)
            continue;
        if (k <= 0)
            return err_set(err, ERR_DURABLE, "the spooled object cannot be read back");
        p += k;
        n -= (size_t)k;
        at += (uint64_t)k;
    }
    return true;
}

/* ---- is what is there the same ---- */
struct comparison {
    struct s3_upload *u;
    uint64_t at;
    bool differs;
    char block[READ_BYTES];
};

static bool compare_piece(void *ctx, struct span bytes)
{
    struct comparison *c = ctx;
    struct err ignored;
    while (bytes.n && !c->differs) {
        size_t n = bytes.n < READ_BYTES ? bytes.n : READ_BYTES;
        c->differs = c->at + n > c->u->size || !read_exactly(c->u, c->block, n, c->at, &ignored) || memcmp(c->block, bytes.p,
                                                                                                           n) != 0;
        c->at += n;
        bytes = span_skip(bytes, n);
    }
    return !c->differs;
}

static bool digest_piece(void *ctx, struct span bytes, struct err *err)
{
    return EVP_DigestUpdate(ctx, bytes.p, bytes.n) == 1 || err_set(err, ERR_NOMEM, "out of memory to compare an object");
}

/* Of what the object holds, decompressed. */
static bool digest(struct store *s, const char *key, unsigned char ret[EVP_MAX_MD_SIZE], struct err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;
    if (!ok)
        (void)err_set(err, ERR_NOMEM, "out of memory to compare an object");
    ok = ok && object_bytes(s, key, digest_piece, ctx, err) && EVP_DigestFinal_ex(ctx, ret, NULL) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

struct file_store { /* the spooled object as something that can be read */
    struct store base;
    struct s3_upload *u;
};

static bool read_spooled(struct store *s, const char *key, bool (*piece)(void *ctx, struct span bytes), void *ctx,
                         struct err *err)
{
    struct s3_upload *u = ((struct file_store *)(void *)s)->u;
    char block[READ_BYTES];
    (void)key;
    for (uint64_t at = 0; at < u->size;) {
        size_t n = u->size - at < sizeof(block) ? (size_t)(u->size - at) : sizeof(block);
        if (!read_exactly(u, block, n, at, err))
            return false;
        if (!piece(ctx, (struct span){block, n}))
            break;
        at += n;
    }
    return true;
}

static bool same_content(struct s3_upload *u, bool *ret, struct err *err)
{
    static const struct store_ops spooled = {.read = read_spooled};
    struct file_store f = {.base = {.ops = &spooled, .io = u->io}, .u = u};
    unsigned char there[EVP_MAX_MD_SIZE] = {0}, here[EVP_MAX_MD_SIZE] = {0};
    *ret = false;
    if (!digest(u->store, u->key, there, err))
        return err && err->cls == ERR_INPUT; /* damaged: not the same */
    if (!digest(&f.base, u->key, here, err))
        return false;
    *ret = memcmp(here, there, sizeof(here)) == 0;
    return true;
}

static bool is_ours(struct s3_upload *u, struct err *err)
{
    struct comparison *c = calloc(1, sizeof(*c));
    bool same = false;
    if (!c)
        return err_set(err, ERR_NOMEM, "out of memory to compare an object");
    c->u = u;
    bool ok = u->store->ops->read(u->store, u->key, compare_piece, c, err);
    same = !c->differs && c->at == u->size;
    free(c);
    if (ok && !same)
        ok = same_content(u, &same, err);
    if (!ok || same)
        return ok;
    return err_set(err, ERR_INPUT,
                   "the store has an object of this name that holds other rows: something else writes as this node, or another "
                   "version of this program wrote the same range. Nothing was replaced; look at it and remove it, the range is "
                   "then written again");
}

/* ---- requests ---- */
static struct s3_request request_of(struct s3_upload *u, const char *method)
{
    return (struct s3_request){.method = method, .key = u->key};
}

static void add_header(struct s3_request *r, const char *header)
{
    size_t n = 0;
    while (n + 1 < S3_HEADERS_MAX && r->headers[n])
        n++;
    r->headers[n] = header;
}

static void add_encryption(struct s3_upload *u, struct s3_request *r)
{
    if (!*u->o->encryption)
        return;
    (void)snprintf(u->encryption[0], sizeof(u->encryption[0]), "x-amz-server-side-encryption: %s", u->o->encryption);
    add_header(r, u->encryption[0]);
    if (!*u->o->encryption_key)
        return;
    (void)snprintf(u->encryption[1], sizeof(u->encryption[1]), "x-amz-server-side-encryption-aws-kms-key-id: %.200s",
                   u->o->encryption_key);
    add_header(r, u->encryption[1]);
}

static void add_condition(struct s3_upload *u, struct s3_request *r)
{
    if (atomic_load(u->unconditional))
        return;
    r->conditional = true;
    add_header(r, "If-None-Match: *");
}

/* Where the store cannot refuse by itself: whether the key is taken. */
static bool is_taken(struct s3_upload *u, bool *ret, struct err *err)
{
    struct s3_request r = request_of(u, "HEAD");
    struct s3_reply reply;
    enum s3_verdict v;
    if (!s3_call(u->client, &r, &reply, &v, NULL, err))
        return false;
    *ret = v == S3_DONE;
    s3_reply_release(&reply);
    return true;
}

static bool put_whole(struct s3_upload *u, struct span bytes, struct err *err)
{
    for (;;) {
        struct s3_request r = request_of(u, "PUT");
        struct s3_reply reply;
        enum s3_verdict v;
        bool taken = false;
        if (atomic_load(u->unconditional) && !is_taken(u, &taken, err))
            return false;
        if (taken)
            return is_ours(u, err);
        r.body = bytes;
        add_encryption(u, &r);
        add_condition(u, &r);
        if (!s3_call(u->client, &r, &reply, &v, NULL, err))
            return false;
        s3_reply_release(&reply);
        if (v == S3_DONE)
            return true;
        if (v == S3_EXISTS)
            return is_ours(u, err);
        if (v != S3_UNCONDITIONAL)
            return err_set(err, ERR_TRANSIENT, "the store does not find what is being written");
        atomic_store(u->unconditional, true);
    }
}

static bool begin_parts(struct s3_upload *u, struct buf *id, struct err *err)
{
    struct s3_request r = request_of(u, "POST");
    struct s3_reply reply;
    enum s3_verdict v;
    r.params[r.n_params++] = (struct s3_param){"uploads", ""};
    add_header(&r, "Content-Type: application/octet-stream");
    add_encryption(u, &r);
    if (!s3_call(u->client, &r, &reply, &v, NULL, err))
        return false;
    bool ok = v == S3_DONE && s3_element(buf_span(&reply.body), "UploadId", id) && id->n && id->n < 1024 && !memchr(id->p, 0,
                                                                                                                    id->n);
    s3_reply_release(&reply);
    return ok || err_set(err, ERR_TRANSIENT, "the store begins a multipart upload without naming it");
}

static bool put_part(struct s3_upload *u, const char *id, uint64_t number, struct span bytes, struct buf *parts, struct err *err)
{
    struct s3_request r = request_of(u, "PUT");
    struct s3_reply reply;
    enum s3_verdict v;
    char text[24];
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    r.params[r.n_params++] = (struct s3_param){"partNumber", text};
    r.params[r.n_params++] = (struct s3_param){"uploadId", id};
    r.body = bytes;
    if (!s3_call(u->client, &r, &reply, &v, NULL, err))
        return false;
    bool ok = v == S3_DONE && *reply.etag && !strpbrk(reply.etag, "<>&");
    if (ok)
        buf_addf(parts, "<Part><PartNumber>%s</PartNumber><ETag>%s</ETag></Part>", text, reply.etag);
    s3_reply_release(&reply);
    return ok || err_set(err, ERR_TRANSIENT, "the store does not take part %s of the upload", text);
}

static void abort_parts(struct s3_upload *u, const char *id)
{
    struct s3_request r = request_of(u, "DELETE");
    struct s3_reply reply;
    enum s3_verdict v;
    struct err ignored;
    r.params[r.n_params++] = (struct s3_param){"uploadId", id};
    if (s3_call(u->client, &r, &reply, &v, NULL, &ignored))
        s3_reply_release(&reply);
}

/* *ret_done false: nothing was made, and the upload is still there. */
static bool complete(struct s3_upload *u, const char *id, struct span parts, bool *ret_done, struct err *err)
{
    struct buf body = {0};
    struct s3_reply reply;
    enum s3_verdict v;
    bool taken = false, ok;
    *ret_done = false;
    buf_addf(&body, "<CompleteMultipartUpload>%.*s</CompleteMultipartUpload>", SPAN_ARG(parts));
    do {
        struct s3_request r = request_of(u, "POST");
        r.params[r.n_params++] = (struct s3_param){"uploadId", id};
        r.body = buf_span(&body);
        add_header(&r, "Content-Type: application/xml");
        if (atomic_load(u->unconditional) && (!is_taken(u, &taken, err) || taken)) {
            buf_release(&body);
            return taken && is_ours(u, err);
        }
        add_condition(u, &r);
        ok = s3_call(u->client, &r, &reply, &v, NULL, err);
        if (ok)
            s3_reply_release(&reply);
        if (ok && v == S3_UNCONDITIONAL)
            atomic_store(u->unconditional, true);
    } while (ok && v == S3_UNCONDITIONAL);
    buf_release(&body);
    if (!ok)
        return false;
    *ret_done = v == S3_DONE;
    if (v == S3_EXISTS)
        return is_ours(u, err);
    if (v == S3_DONE)
        return true;
    /* The upload is gone: an earlier try has completed it, and its answer was lost; or someone has ended it. */
    if (!is_taken(u, &taken, err))
        return false;
    *ret_done = true;
    return taken ? is_ours(u, err) : err_set(err, ERR_TRANSIENT, "the store has lost the multipart upload");
}

static bool put_parts(struct s3_upload *u, char *block, uint64_t part, struct err *err)
{
    struct buf id = {0}, parts = {0};
    bool done = false;
    bool ok = begin_parts(u, &id, err);
    bool begun = ok;
    for (uint64_t at = 0, number = 1; ok && at < u->size; at += part, number++) {
        size_t n = u->size - at < part ? (size_t)(u->size - at) : (size_t)part;
        ok = read_exactly(u, block, n, at, err) && put_part(u, buf_z(&id), number, (struct span){block, n}, &parts, err);
    }
    if (ok && !buf_ok(&parts))
        ok = err_set(err, ERR_NOMEM, "out of memory for a list of parts");
    ok = ok && complete(u, buf_z(&id), buf_span(&parts), &done, err);
    if (begun && !done)
        abort_parts(u, buf_z(&id));
    buf_release(&id);
    buf_release(&parts);
    return ok;
}

bool s3_upload(struct s3_upload *u, struct err *err)
{
    uint64_t part = s3_part_bytes(u->size);
    size_t n = u->size < part ? (size_t)u->size : (size_t)part;
    char *block = malloc(n + 1);
    if (!block)
        return err_set(err, ERR_NOMEM, "out of memory for a part of %zu bytes", n);
    bool ok = u->size > part ? put_parts(u, block, part, err)
                             : read_exactly(u, block, n, 0, err) && put_whole(u, (struct span){block, n}, err);
    free(block);
    return ok;
}

/* ---- uploads of dead processes ---- */
struct sweep {
    struct s3_client *c;
    const char *node;
    struct buf found; /* key, upload: NUL-ended */
};

static bool sweep_one(void *ctx, struct span key, struct span upload)
{
    struct sweep *w = ctx;
    const char *prefix = s3_client_place(w->c)->prefix;
    const char *slash = memrchr(key.p, '/', key.n);
    struct span name = slash ? span_skip(key, (size_t)(slash + 1 - key.p)) : key;
    size_t node = strlen(w->node);
    if (!span_starts(key, span_of(prefix)) || !span_starts(name, span_of(w->node)) || name.n <= node || name.p[node] != '.' ||
        memchr(key.p, 0, key.n) || memchr(upload.p, 0, upload.n))
        return true;
    buf_adds(&w->found, span_skip(key, strlen(prefix)));
    buf_addc(&w->found, '\0');
    buf_adds(&w->found, upload);
    buf_addc(&w->found, '\0');
    return true;
}

static bool abort_found(struct sweep *w, struct err *err)
{
    bool ok = buf_ok(&w->found);
    for (size_t i = 0; ok && i < w->found.n;) {
        const char *key = w->found.p + i, *id = key + strlen(key) + 1;
        struct s3_request r = {.method = "DELETE", .key = key, .params = {{"uploadId", id}}, .n_params = 1};
        struct s3_reply reply;
        enum s3_verdict v;
        ok = s3_call(w->c, &r, &reply, &v, NULL, err);
        if (ok)
            s3_reply_release(&reply);
        i = (size_t)(id - w->found.p) + strlen(id) + 1;
    }
    return ok;
}

bool s3_upload_sweep(struct s3_client *c, const char *node, struct err *err)
{
    struct sweep w = {.c = c, .node = node};
    struct s3_list page = {0};
    bool ok = true;
    do {
        struct s3_request r = {.method = "GET", .params = {{"uploads", ""}, {"prefix", s3_client_place(c)->prefix}},
                               .n_params = 2};
        struct s3_reply reply;
        enum s3_verdict v;
        if (page.next.n)
            r.params[r.n_params++] = (struct s3_param){"key-marker", buf_z(&page.next)};
        if (page.next.n && page.next_upload.n)
            r.params[r.n_params++] = (struct s3_param){"upload-id-marker", buf_z(&page.next_upload)};
        ok = s3_call(c, &r, &reply, &v, NULL, err);
        if (!ok)
            break;
        page.truncated = false;
        ok = v == S3_DONE && s3_uploads_read(buf_span(&reply.body), sweep_one, &w, &page);
        if (!ok)
            (void)err_set(err, ERR_TRANSIENT, "the store's list of uploads is no such list");
        s3_reply_release(&reply);
    } while (ok && page.truncated && page.next.n);
    ok = ok && abort_found(&w, err);
    s3_list_release(&page);
    buf_release(&w.found);
    return ok;
}
