#include "server/rejected.h"
#include "core/mem.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES 4200
#define SECOND_US UINT64_C(1000000)

struct kept { /* one request; all its bytes stand in the same block */
    struct kept *newer;
    atomic_uint users; /* the queue, and who reads it */
    size_t bytes;      /* of the block */
    struct record record;
};

struct queue { /* of one source */
    pthread_mutex_t lock;
    struct kept *oldest, *newest; /* guarded by lock, as the next four */
    size_t n, bytes;
    uint64_t changes;
    uint64_t written; /* how many of the changes are in the file: the writer's */
    uint64_t due_us;  /* monotonic: not written before: the writer's */
};

struct rejected {
    const struct io *io;
    char dir[PATH_BYTES];
    char **names;
    atomic_size_t n_sources;
    uint32_t keep_max;
    bool has_dir; /* the writer's */
    struct queue *queues; /* with room for those that come later */
};

/* ---- one request ---- */

static void drop(struct kept *k)
{
    if (k && atomic_fetch_sub(&k->users, 1) == 1)
        free(k);
}

static struct span put(char **at, struct span s)
{
    char *p = *at;
    if (s.n)
        memcpy(p, s.p, s.n);
    *at += s.n;
    return (struct span){p, s.n};
}

static struct kept *copy_of(const struct record *r)
{
    const struct http_message *m = &r->message;
    size_t body = m->body.n > REJECTED_BODY_MAX ? REJECTED_BODY_MAX : m->body.n;
    size_t bytes = sizeof(struct kept) + m->n_headers * sizeof(struct http_header) + m->method.n + m->url.n + r->scheme.n + body;
    for (size_t i = 0; i < m->n_headers; i++)
        bytes += m->headers[i].name.n + m->headers[i].value.n;
    struct kept *k = bytes > REJECTED_BYTES_MAX ? NULL : malloc(bytes);
    if (!k)
        return NULL;
    *k = (struct kept){.bytes = bytes, .record = *r};
    atomic_init(&k->users, 1);
    struct record *to = &k->record;
    struct http_header *headers = (struct http_header *)(void *)(k + 1);
    char *at = (char *)(headers + m->n_headers);
    for (size_t i = 0; i < m->n_headers; i++) {
        headers[i].name = put(&at, m->headers[i].name);
        headers[i].value = put(&at, m->headers[i].value);
    }
    to->message.headers = headers;
    to->headers = NULL;
    to->text = (struct buf){0};
    to->message.method = put(&at, m->method);
    to->message.url = put(&at, m->url);
    to->scheme = put(&at, r->scheme);
    to->message.body = put(&at, (struct span){m->body.p, body});
    if (body < m->body.n && !r->body_cut) {
        to->body_cut = true;
        to->body_bytes = m->body.n;
    }
    return k;
}

/* ---- the queue ---- */

/* What is too much, from the oldest on, as a list. */
static struct kept *shorten_locked(struct queue *q, uint32_t keep_max)
{
    struct kept *gone = q->oldest, *last = NULL;
    while (q->oldest && (q->n > keep_max || q->bytes > REJECTED_BYTES_MAX)) {
        last = q->oldest;
        q->oldest = last->newer;
        q->n--;
        q->bytes -= last->bytes;
    }
    if (!q->oldest)
        q->newest = NULL;
    if (!last)
        return NULL;
    last->newer = NULL;
    return gone;
}

static void append(struct queue *q, struct kept *k, uint32_t keep_max)
{
    pthread_mutex_lock(&q->lock);
    if (q->newest)
        q->newest->newer = k;
    else
        q->oldest = k;
    q->newest = k;
    q->n++;
    q->bytes += k->bytes;
    q->changes++;
    struct kept *gone = shorten_locked(q, keep_max);
    pthread_mutex_unlock(&q->lock);
    while (gone) {
        struct kept *next = gone->newer;
        drop(gone);
        gone = next;
    }
}

void rejected_keep(struct rejected *r, size_t source, const struct record *record)
{
    if (!r->keep_max)
        return;
    struct kept *k = copy_of(record);
    if (k)
        append(&r->queues[source], k, r->keep_max);
}

bool rejected_keeps(const struct rejected *r)
{
    return r->keep_max > 0;
}

/* The newest `max`, oldest first, each with one more user. Owns: the caller drops and frees. */
static struct kept **take_newest(struct queue *q, size_t max, size_t *ret_n, uint64_t *ret_changes)
{
    pthread_mutex_lock(&q->lock);
    size_t n = q->n < max ? q->n : max, skip = q->n - n, i = 0;
    struct kept **list = calloc(n + 1, sizeof(struct kept *));
    for (struct kept *k = q->oldest; list && k; k = k->newer) {
        if (skip) {
            skip--;
            continue;
        }
        atomic_fetch_add(&k->users, 1);
        list[i++] = k;
    }
    *ret_changes = q->changes;
    pthread_mutex_unlock(&q->lock);
    *ret_n = i;
    return list;
}

static size_t write_list(struct queue *q, size_t max, struct buf *out, uint64_t *ret_changes)
{
    size_t n;
    struct kept **list = take_newest(q, max, &n, ret_changes);
    if (!list) {
        out->failed = true;
        return 0;
    }
    buf_addc(out, '[');
    for (size_t i = n; i-- > 0;) {
        buf_addz(out, i + 1 == n ? "\n" : ",\n");
        record_write(out, &list[i]->record);
        drop(list[i]);
    }
    buf_addz(out, "\n]\n");
    free(list);
    return n;
}

size_t rejected_newest(struct rejected *r, size_t source, size_t max, struct buf *out)
{
    uint64_t changes;
    return write_list(&r->queues[source], max, out, &changes);
}

/* ---- files ---- */

static bool path_of(const char *dir, const char *source, char out[PATH_BYTES], struct err *err)
{
    return snprintf(out, PATH_BYTES, "%s/%s.json", dir, source) < PATH_BYTES ||
           err_set(err, ERR_INPUT, "the path is too long: %s", dir);
}

static bool make_dir(struct rejected *r, struct err *err)
{
    r->has_dir = r->has_dir || io_mkdirs(r->io, r->dir, 0700, err);
    return r->has_dir;
}

static bool write_one(struct rejected *r, size_t i, struct err *err)
{
    struct queue *q = &r->queues[i];
    char path[PATH_BYTES];
    uint64_t changes;
    struct buf text;
    buf_init(&text, REJECTED_FILE_MAX);
    write_list(q, SIZE_MAX, &text, &changes);
    bool ok = (buf_ok(&text) || err_set(err, ERR_NOMEM, "no memory for the rejected requests of %s", r->names[i])) &&
              make_dir(r, err) && path_of(r->dir, r->names[i], path, err) &&
              io_write_file_atomic(r->io, path, 0600, buf_span(&text), err);
    if (ok)
        q->written = changes;
    uint64_t pause_us = text.n * SECOND_US / REJECTED_BYTES_PER_S;
    q->due_us = r->io->world->monotonic_us(r->io) + (pause_us > SECOND_US ? pause_us : SECOND_US);
    buf_release(&text);
    return ok;
}

bool rejected_write(struct rejected *r, bool all, struct err *err)
{
    bool ok = true;
    uint64_t now_us = r->io->world->monotonic_us(r->io);
    for (size_t i = 0; i < r->n_sources; i++) {
        struct queue *q = &r->queues[i];
        pthread_mutex_lock(&q->lock);
        bool changed = q->changes != q->written;
        pthread_mutex_unlock(&q->lock);
        if (changed && (all || now_us >= q->due_us))
            ok = write_one(r, i, err) && ok;
    }
    return ok;
}

/* The file as a checked list of JSON; *ret_text NULL: there is none. Owns: *ret_text. */
static bool load(const struct io *io, const char *path, char **ret_text, struct json *ret, struct err *err)
{
    size_t n = 0;
    char *text = NULL;
    *ret_text = NULL;
    if (!io_read_file(io, path, REJECTED_FILE_MAX, &text, &n, err))
        return err->sys == ENOENT;
    if (!json_parse((struct span){text, n}, ret, err) || ret->type != JSON_ARRAY) {
        free(text);
        return err_set(err, ERR_INPUT, "%s is not a list of requests", path);
    }
    *ret_text = text;
    return true;
}

/* The file has the newest first, the queue wants the oldest first. */
static void read_back(struct rejected *r, size_t i, struct buf *warnings)
{
    char path[PATH_BYTES], *text = NULL;
    struct err err = {0};
    struct json list;
    if (!path_of(r->dir, r->names[i], path, &err))
        return;
    if (!load(r->io, path, &text, &list, &err))
        buf_addf(warnings, "%s: the rejected requests of before are lost: %s\n", r->names[i], err.msg);
    if (!text)
        return;
    size_t n = json_count(list), at = 0;
    struct json *items = calloc(n + 1, sizeof *items), item;
    struct json_iter it = json_iter(list);
    while (items && json_next(&it, NULL, &item))
        items[at++] = item;
    while (at-- > 0) {
        struct record record;
        struct kept *k = record_read(items[at], &record) ? copy_of(&record) : NULL;
        record_release(&record);
        if (k)
            append(&r->queues[i], k, r->keep_max);
    }
    if (r->queues[i].n == n)
        r->queues[i].written = r->queues[i].changes; /* the file says the same */
    free(items);
    free(text);
}

static void forget(struct rejected *r, size_t i, struct buf *warnings)
{
    char path[PATH_BYTES];
    struct err err = {0};
    if (!path_of(r->dir, r->names[i], path, &err))
        return;
    int rc = r->io->dir->unlink(r->io, path);
    if (rc < 0 && rc != -ENOENT && rc != -ENOTDIR)
        buf_addf(warnings, "%s: cannot remove %s: %s\n", r->names[i], path, strerror(-rc));
}

bool rejected_read_file(const struct io *io, const char *data_dir, const char *source, size_t max, struct buf *out, size_t *ret_n,
                        struct err *err)
{
    char dir[PATH_BYTES], path[PATH_BYTES], *text;
    struct json list, item;
    size_t n = 0;
    if (snprintf(dir, sizeof dir, "%s/rejected", data_dir) >= (int)sizeof dir)
        return err_set(err, ERR_INPUT, "the path is too long: %s", data_dir);
    if (!path_of(dir, source, path, err) || !load(io, path, &text, &list, err))
        return false;
    buf_addc(out, '[');
    struct json_iter it = text ? json_iter(list) : (struct json_iter){0};
    while (text && n < max && json_next(&it, NULL, &item)) {
        buf_addz(out, n++ ? ",\n" : "\n");
        buf_adds(out, item.raw);
    }
    buf_addz(out, "\n]\n");
    free(text);
    *ret_n = n;
    return buf_ok(out) || err_set(err, ERR_NOMEM, "no memory for the rejected requests of %s", source);
}

/* ---- life ---- */

void rejected_add(struct rejected *r, size_t source, const char *name, struct buf *warnings)
{
    if (source < r->n_sources)
        return;
    r->names[source] = mem_dup(name);
    pthread_mutex_init(&r->queues[source].lock, NULL);
    if (r->keep_max)
        read_back(r, source, warnings);
    else
        forget(r, source, warnings);
    atomic_store(&r->n_sources, source + 1);
}

struct rejected *rejected_open(const struct rejected_opts *o, struct buf *warnings)
{
    struct rejected *r = mem_alloc(sizeof *r);
    size_t room = o->room > o->n_names ? o->room : o->n_names;
    r->io = o->io;
    r->names = mem_alloc((room + 1) * sizeof *r->names);
    r->keep_max = o->keep_max;
    r->queues = mem_alloc((room + 1) * sizeof *r->queues);
    if (snprintf(r->dir, sizeof r->dir, "%s/rejected", o->data_dir) >= (int)sizeof r->dir)
        r->keep_max = 0;
    for (size_t i = 0; i < o->n_names; i++)
        rejected_add(r, i, o->names[i], warnings);
    return r;
}

void rejected_close(struct rejected **at)
{
    struct rejected *r = *at;
    if (!r)
        return;
    for (size_t i = 0; i < r->n_sources; i++) {
        struct queue *q = &r->queues[i];
        for (struct kept *k = q->oldest, *next; k; k = next) {
            next = k->newer;
            drop(k);
        }
        pthread_mutex_destroy(&q->lock);
        free(r->names[i]);
    }
    free(r->names);
    free(r->queues);
    free(r);
    *at = NULL;
}
