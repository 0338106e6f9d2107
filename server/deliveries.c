#include "server/deliveries.h"
#include "core/clock.h"
#include "core/json.h"
#include "core/mem.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES 4200
#define SECOND_US UINT64_C(1000000)

/* A place says which turn it holds, 0 while it is written: who reads takes it only when that is the same before and after.
 * Whoever reads a word of a later turn sees that turn's 0, or what followed it. */
struct place {
    _Atomic uint64_t turn;
    _Atomic uint64_t words[4];
};

struct ring { /* of one source */
    char *name;
    _Atomic uint64_t next; /* turn; from 0 */
    struct place *places;
    uint64_t written, due_us; /* the writer's */
};

struct deliveries {
    const struct io *io;
    char dir[PATH_BYTES];
    uint32_t keep_max;
    atomic_size_t n;
    struct ring *rings;
    bool has_dir; /* the writer's */
};

/* ---- the ring ---- */

void deliveries_note(struct deliveries *d, size_t slot, const struct delivery_mark *m)
{
    if (!d->keep_max)
        return;
    struct ring *r = &d->rings[slot];
    uint64_t turn = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
    struct place *p = &r->places[turn % d->keep_max];
    const uint64_t words[4] = {m->received_us, m->seq, (uint64_t)m->bytes << 32 | m->latency_us,
                               (uint64_t)m->status << 8 | (uint64_t)m->outcome};
    atomic_store_explicit(&p->turn, 0, memory_order_relaxed);
    for (size_t i = 0; i < 4; i++)
        atomic_store_explicit(&p->words[i], words[i], memory_order_release);
    atomic_store_explicit(&p->turn, turn + 1, memory_order_release);
}

static bool look(struct place *p, uint64_t turn, struct delivery_mark *ret)
{
    uint64_t words[4];
    if (atomic_load_explicit(&p->turn, memory_order_acquire) != turn + 1)
        return false;
    for (size_t i = 0; i < 4; i++)
        words[i] = atomic_load_explicit(&p->words[i], memory_order_acquire);
    if (atomic_load_explicit(&p->turn, memory_order_relaxed) != turn + 1)
        return false;
    *ret = (struct delivery_mark){.received_us = words[0],
                                  .seq = words[1],
                                  .bytes = (uint32_t)(words[2] >> 32),
                                  .latency_us = (uint32_t)words[2],
                                  .status = (uint16_t)(words[3] >> 8),
                                  .outcome = (enum outcome)(words[3] & 0xff)};
    return true;
}

static int newer_first(const void *a, const void *b)
{
    const struct delivery_mark *x = a, *y = b;
    return x->received_us < y->received_us ? 1 : x->received_us > y->received_us ? -1 : 0;
}

/* They are noted as they end, and one that waits for a commit ends behind others that came later. */
size_t deliveries_newest(const struct deliveries *d, size_t slot, struct delivery_mark *ret, size_t max)
{
    const struct ring *r = &d->rings[slot];
    uint64_t next = d->keep_max ? atomic_load(&((struct ring *)(uintptr_t)r)->next) : 0;
    uint64_t kept = next < d->keep_max ? next : d->keep_max;
    size_t n = 0;
    for (uint64_t i = 0; i < kept && n < max; i++)
        n += look(&r->places[(next - 1 - i) % d->keep_max], next - 1 - i, &ret[n]);
    qsort(ret, n, sizeof *ret, newer_first);
    return n;
}

/* ---- files ---- */

static bool path_of(const char *dir, const char *source, char out[PATH_BYTES], struct err *err)
{
    return snprintf(out, PATH_BYTES, "%s/%s.json", dir, source) < PATH_BYTES ||
           err_set(err, ERR_INPUT, "the path is too long: %s", dir);
}

static void write_mark(struct buf *out, const struct delivery_mark *m)
{
    buf_addf(out, "{\"received_us\":%llu,\"outcome\":\"%s\",\"status\":%u,\"bytes\":%u,\"latency_us\":%u,\"seq\":%llu}",
             (unsigned long long)m->received_us, outcome_name(m->outcome), m->status, m->bytes, m->latency_us,
             (unsigned long long)m->seq);
}

static uint64_t number(struct json o, const char *name)
{
    int64_t v = 0;
    return json_int64(json_get(o, span_of(name)), &v) && v > 0 ? (uint64_t)v : 0;
}

static bool read_mark(struct json o, struct delivery_mark *ret)
{
    struct buf text;
    buf_init(&text, 64);
    bool known = false;
    (void)json_text(json_get(o, SPAN_LIT("outcome")), &text);
    *ret = (struct delivery_mark){.received_us = number(o, "received_us"),
                                  .seq = number(o, "seq"),
                                  .bytes = (uint32_t)number(o, "bytes"),
                                  .latency_us = (uint32_t)number(o, "latency_us"),
                                  .status = (uint16_t)number(o, "status")};
    for (int i = 0; i < OUT_COUNT && !known; i++) {
        known = span_eqz(buf_span(&text), outcome_name((enum outcome)i));
        ret->outcome = (enum outcome)i;
    }
    buf_release(&text);
    return known;
}

static bool write_one(struct deliveries *d, struct ring *r, uint64_t next, struct err *err)
{
    char path[PATH_BYTES];
    struct buf text;
    struct delivery_mark *marks = mem_alloc(d->keep_max * sizeof *marks);
    size_t n = deliveries_newest(d, (size_t)(r - d->rings), marks, d->keep_max);
    buf_init(&text, DELIVERIES_FILE_MAX);
    buf_addc(&text, '[');
    for (size_t i = n; i-- > 0;) {
        buf_addz(&text, i + 1 == n ? "\n" : ",\n");
        write_mark(&text, &marks[i]);
    }
    buf_addz(&text, "\n]\n");
    d->has_dir = d->has_dir || io_mkdirs(d->io, d->dir, 0700, err);
    bool ok = d->has_dir && (buf_ok(&text) || err_set(err, ERR_NOMEM, "no memory for the deliveries of %s", r->name)) &&
              path_of(d->dir, r->name, path, err) && io_write_file_atomic(d->io, path, 0600, buf_span(&text), err);
    if (ok)
        r->written = next;
    uint64_t pause_us = text.n * SECOND_US / DELIVERIES_BYTES_PER_S;
    r->due_us = d->io->world->monotonic_us(d->io) + (pause_us > SECOND_US ? pause_us : SECOND_US);
    buf_release(&text);
    free(marks);
    return ok;
}

bool deliveries_write(struct deliveries *d, bool all, struct err *err)
{
    bool ok = true;
    uint64_t now_us = d->io->world->monotonic_us(d->io);
    for (size_t i = 0, n = d->n; d->keep_max && i < n; i++) {
        struct ring *r = &d->rings[i];
        uint64_t next = atomic_load(&r->next);
        if (next != r->written && (all || now_us >= r->due_us))
            ok = write_one(d, r, next, err) && ok;
    }
    return ok;
}

/* The file as a list of JSON; *ret_text NULL: there is none. Owns: *ret_text. */
static bool load(const struct io *io, const char *path, char **ret_text, struct json *ret, struct err *err)
{
    size_t n = 0;
    *ret_text = NULL;
    if (!io_read_file(io, path, DELIVERIES_FILE_MAX, ret_text, &n, err))
        return err->sys == ENOENT;
    if (json_parse((struct span){*ret_text, n}, ret, err) && ret->type == JSON_ARRAY)
        return true;
    free(*ret_text);
    *ret_text = NULL;
    return err_set(err, ERR_INPUT, "%s is not a list of deliveries", path);
}

bool deliveries_read_file(const struct io *io, const char *data_dir, const char *source, struct delivery_mark *ret, size_t max,
                          size_t *ret_n, struct err *err)
{
    char dir[PATH_BYTES], path[PATH_BYTES], *text;
    struct json list, item;
    size_t n = 0;
    *ret_n = 0;
    if (snprintf(dir, sizeof dir, "%s/deliveries", data_dir) >= (int)sizeof dir)
        return err_set(err, ERR_INPUT, "the path is too long: %s", data_dir);
    if (!path_of(dir, source, path, err) || !load(io, path, &text, &list, err))
        return false;
    if (!text)
        return true;
    size_t total = json_count(list), skip = total > max ? total - max : 0;
    struct json_iter it = json_iter(list);
    for (size_t i = 0; json_next(&it, NULL, &item); i++)
        n += i >= skip && read_mark(item, &ret[n]);
    for (size_t i = 0; i < n / 2; i++) {
        struct delivery_mark m = ret[i];
        ret[i] = ret[n - 1 - i];
        ret[n - 1 - i] = m;
    }
    free(text);
    *ret_n = n;
    return true;
}

/* ---- life ---- */

struct deliveries *deliveries_open(const struct io *io, const char *data_dir, size_t room, uint32_t keep_max)
{
    struct deliveries *d = mem_alloc(sizeof *d);
    d->io = io;
    d->keep_max = keep_max;
    d->rings = mem_alloc((room + 1) * sizeof *d->rings);
    if (snprintf(d->dir, sizeof d->dir, "%s/deliveries", data_dir) >= (int)sizeof d->dir)
        d->keep_max = 0;
    return d;
}

void deliveries_add(struct deliveries *d, size_t slot, const char *name, struct buf *warnings)
{
    struct ring *r = &d->rings[slot];
    struct err err = {0};
    size_t n = 0;
    if (slot < d->n)
        return;
    r->name = mem_dup(name);
    r->places = mem_alloc(((size_t)d->keep_max + 1) * sizeof *r->places);
    struct delivery_mark *marks = mem_alloc(((size_t)d->keep_max + 1) * sizeof *marks);
    char data_dir[PATH_BYTES];
    snprintf(data_dir, sizeof data_dir, "%.*s", (int)(strlen(d->dir) - strlen("/deliveries")), d->dir);
    if (d->keep_max && !deliveries_read_file(d->io, data_dir, name, marks, d->keep_max, &n, &err))
        buf_addf(warnings, "%s: the list of deliveries of before is lost: %s\n", name, err.msg);
    for (size_t i = n; i-- > 0;)
        deliveries_note(d, slot, &marks[i]);
    r->written = n;
    free(marks);
    atomic_store(&d->n, slot + 1);
}

void deliveries_close(struct deliveries **at)
{
    struct deliveries *d = *at;
    if (!d)
        return;
    *at = NULL;
    for (size_t i = 0; i < d->n; i++) {
        free(d->rings[i].name);
        free(d->rings[i].places);
    }
    free(d->rings);
    free(d);
}
