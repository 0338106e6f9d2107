#include "staging/cut.h"
#include "core/clock.h"
#include "core/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define LEVEL 1

struct cut *cut_new(struct store *store, const char *node, const char *lane, struct err *err)
{
    struct cut *c = mem_alloc(sizeof(*c));
    c->store = store;
    c->io = store->io;
    c->node = node;
    c->lane = lane;
    c->zstd = ZSTD_createCCtx();
    if (!c->zstd) {
        (void)err_set(err, ERR_NOMEM, "out of memory for the compressor");
        cut_free(&c);
        return NULL;
    }
    (void)ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, LEVEL);
    (void)ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_checksumFlag, 1);
    return c;
}

static void output_release(struct cut *c, struct output *o)
{
    c->store->ops->abort(&o->writer);
    buf_release(&o->block);
    free(o->key);
}

void cut_clear(struct cut *c)
{
    for (size_t i = 0; i < c->n_outputs; i++)
        output_release(c, &c->outputs[i]);
    c->n_outputs = c->last_output = 0;
    buf_clear(&c->text);
    buf_clear(&c->letters);
    buf_clear(&c->tallies);
    buf_clear(&c->ignored);
    c->ignored_last = c->first = c->last = c->entries = c->largest = c->lost = 0;
}

void cut_free(struct cut **cp)
{
    struct cut *c = *cp;
    if (!c)
        return;
    cut_clear(c);
    ZSTD_freeCCtx(c->zstd);
    free(c->outputs);
    buf_release(&c->packed);
    buf_release(&c->text);
    buf_release(&c->letters);
    buf_release(&c->tallies);
    buf_release(&c->ignored);
    free(c);
    *cp = NULL;
}

/* Two stagers (one that runs, one that retries dead letters) may write at once, so provisional names are random. */
static bool start_object(struct cut *c, struct output *o, struct err *err)
{
    char name[STORE_KEY_MAX];
    uint64_t random[2];
    if (c->io->world->random(c->io, random, sizeof(random)) < 0)
        return err_set(err, ERR_TRANSIENT, "no random bytes for the name of an object");
    (void)snprintf(name, sizeof(name), "%s.%s.%016llx%016llx", c->node, c->lane, (unsigned long long)random[0],
                   (unsigned long long)random[1]);
    return c->store->ops->create(c->store, name, &o->writer, err);
}

static bool pack_zstd(struct cut *c, struct span block, struct err *err)
{
    size_t bound = ZSTD_compressBound(block.n);
    if (!buf_reserve(&c->packed, bound))
        return err_set(err, ERR_NOMEM, "out of memory to compress %zu bytes", block.n);
    size_t n = ZSTD_compress2(c->zstd, c->packed.p, bound, block.p, block.n);
    if (ZSTD_isError(n))
        return err_set(err, ERR_BUG, "zstd: %s", ZSTD_getErrorName(n));
    c->packed.n = n;
    return true;
}

/* A gzip member: its head says neither time nor name, so that the same rows give the same bytes. */
static bool pack_gzip(struct cut *c, struct span block, struct err *err)
{
    z_stream z = {0};
    if (deflateInit2(&z, LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return err_set(err, ERR_NOMEM, "out of memory for the compressor");
    size_t bound = deflateBound(&z, (uLong)block.n);
    bool ok = block.n <= UINT32_MAX && bound <= UINT32_MAX && buf_reserve(&c->packed, bound);
    if (ok) {
        z.next_in = (Bytef *)(uintptr_t)block.p;
        z.avail_in = (uInt)block.n;
        z.next_out = (Bytef *)c->packed.p;
        z.avail_out = (uInt)bound;
        ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
        c->packed.n = z.total_out;
    }
    (void)deflateEnd(&z);
    return ok || err_set(err, ERR_NOMEM, "out of memory to compress %zu bytes", block.n);
}

static bool flush_block(struct cut *c, struct output *o, struct err *err)
{
    if (!o->block.n)
        return true;
    if (!o->writer && !start_object(c, o, err))
        return false;
    buf_clear(&c->packed);
    if (!(c->gzip ? pack_gzip : pack_zstd)(c, buf_span(&o->block), err) || !c->store->ops->write(o->writer, buf_span(&c->packed),
                                                                                                 err))
        return false;
    o->bytes += c->packed.n;
    o->text += o->block.n;
    if (o->text > c->largest)
        c->largest = o->text;
    if (o->block.cap > 4 * BLOCK_BYTES) /* one row was huge; the share of an output stays small */
        buf_release(&o->block);
    buf_clear(&o->block);
    return true;
}

static struct output *find_output(struct cut *c, const struct staged_source *source, const char *table, const char *date)
{
    for (size_t k = 0, i = c->last_output; k < c->n_outputs; k++, i = i + 1 < c->n_outputs ? i + 1 : 0) {
        struct output *o = &c->outputs[i];
        if (o->source == source && (o->table == table || strcmp(o->table, table) == 0) && strcmp(o->date, date) == 0) {
            c->last_output = i;
            return o;
        }
    }
    if (c->n_outputs == c->outputs_cap) {
        c->outputs_cap = c->outputs_cap ? 2 * c->outputs_cap : 16;
        c->outputs = mem_grow(c->outputs, c->outputs_cap * sizeof(*c->outputs));
    }
    struct output *o = &c->outputs[c->n_outputs];
    *o = (struct output){.source = source, .table = table};
    memcpy(o->date, date, strlen(date) + 1);
    c->last_output = c->n_outputs++;
    return o;
}

struct sinking { /* of one entry */
    struct cut *cut;
    const struct staged_source *source;
    uint64_t now_us;
    char date[CLOCK_TEXT_MAX];
};

static bool take_row(void *ctx, const struct row *row, struct err *err)
{
    struct sinking *k = ctx;
    struct row r = *row;
    /* A row's table name is the manifest's own NUL-ended text, which outlives the cut. */
    struct output *o = find_output(k->cut, k->source, row->table.p, k->date);
    if (k->cut->replay)
        r.origin = ORIGIN_REPLAY;
    row_write(&o->block, &r);
    if (!buf_ok(&o->block))
        return err_set(err, ERR_NOMEM, "out of memory for a row of %zu bytes", row->row.n);
    o->rows++;
    return o->block.n < BLOCK_BYTES || flush_block(k->cut, o, err);
}

bool cut_lines(struct cut *c, const struct staged_source *source, const char *table, const char *date, struct span lines,
               uint64_t rows, struct err *err)
{
    struct output *o = find_output(c, source, table, date);
    buf_adds(&o->block, lines);
    if (!buf_ok(&o->block))
        return err_set(err, ERR_NOMEM, "out of memory for %zu bytes of rows", lines.n);
    o->rows += rows;
    return o->block.n < BLOCK_BYTES || flush_block(c, o, err);
}

static size_t keep_text(struct cut *c, struct span s)
{
    size_t at = c->text.n;
    buf_adds(&c->text, s);
    buf_addc(&c->text, '\0');
    return at;
}

static bool take_dead(void *ctx, const struct entry *e, struct span table, uint64_t item, const char *reason, struct err *err)
{
    struct sinking *k = ctx;
    struct cut *c = k->cut;
    char id[ENTRY_ID_MAX];
    entry_id(e, id);
    struct letter l = {
        .source = keep_text(c, e->source),
        .table = keep_text(c, table),
        .entry = keep_text(c, span_of(id)),
        .reason = keep_text(c, span_of(reason)),
        .item = item,
        .at_us = k->now_us,
    };
    buf_add(&c->letters, &l, sizeof(l));
    if (!buf_ok(&c->text) || !buf_ok(&c->letters))
        return err_set(err, ERR_NOMEM, "out of memory for dead letters");
    return true;
}

static struct tally *find_tally(struct cut *c, struct span source)
{
    for (size_t i = 0; i < cut_tallies(c); i++) {
        struct tally *t = (struct tally *)(void *)c->tallies.p + i;
        if (span_eqz(source, c->text.p + t->source))
            return t;
    }
    struct tally t = {.source = keep_text(c, source)};
    buf_add(&c->tallies, &t, sizeof(t));
    return (struct tally *)(void *)c->tallies.p + (cut_tallies(c) - 1);
}

static void note_ignored(struct cut *c, uint64_t seq)
{
    uint64_t v = c->ignored.n ? seq - c->ignored_last : seq - c->first;
    for (; v >= 128; v >>= 7)
        buf_add_u8(&c->ignored, (uint8_t)(v | 128));
    buf_add_u8(&c->ignored, (uint8_t)v);
    c->ignored_last = seq;
}

bool ignored_holds(struct span list, uint64_t first, uint64_t seq)
{
    uint64_t at = first, v = 0;
    unsigned shift = 0;
    for (size_t i = 0; i < list.n && shift < 64; i++) {
        unsigned char c = (unsigned char)list.p[i];
        v |= (uint64_t)(c & 127) << shift;
        shift += 7;
        if (c & 128)
            continue;
        at += v;
        if (at >= seq)
            return at == seq;
        v = 0;
        shift = 0;
    }
    return false;
}

static bool count_entry(struct cut *c, const struct entry *e, const struct transform_result *r, struct err *err)
{
    struct tally *t = find_tally(c, e->source);
    if (!buf_ok(&c->tallies) || !buf_ok(&c->text))
        return err_set(err, ERR_NOMEM, "out of memory for the books");
    if (r->rows)
        t->counts.staged++;
    else if (r->dead)
        t->counts.dead++;
    else
        t->counts.ignored++;
    t->counts.rows_staged += r->rows;
    t->counts.rows_dead += r->dead;
    if (!c->entries) {
        c->first = e->seq;
    } else {
        c->lost += e->seq - c->last - 1;
    }
    if (!r->rows)
        note_ignored(c, e->seq);
    c->last = e->seq;
    c->entries++;
    if (!buf_ok(&c->ignored))
        return err_set(err, ERR_NOMEM, "out of memory for the list of ignored entries");
    return true;
}

bool cut_entry(struct cut *c, const struct staged_source *source, const struct entry *e, uint64_t now_us,
               struct transform_result *ret, struct err *err)
{
    struct sinking k = {.cut = c, .source = source, .now_us = now_us};
    struct transform_sink sink = {&k, take_row, take_dead};
    struct transform_result r = {0};
    size_t letters = cut_letters(c);
    clock_date(e->received_us, k.date);
    if (source) {
        if (!transform_run(source->transform, e, &sink, &r, err))
            return false;
    } else {
        char reason[160];
        (void)snprintf(reason, sizeof(reason), "source '%.*s' is not in the configuration", SPAN_ARG(e->source));
        if (!take_dead(&k, e, (struct span){"", 0}, 0, reason, err))
            return false;
        r.dead = 1;
    }
    for (size_t i = letters; i < cut_letters(c); i++)
        ((struct letter *)(void *)c->letters.p)[i].alone = r.rows == 0;
    if (!count_entry(c, e, &r, err))
        return false;
    *ret = r;
    return true;
}

bool cut_seal(struct cut *c, uint64_t first, uint64_t last, struct err *err)
{
    for (size_t i = 0; i < c->n_outputs; i++) {
        struct output *o = &c->outputs[i];
        struct buf key = {0};
        if (!flush_block(c, o, err))
            return false;
        buf_release(&o->block);
        struct object_name n = {
            .source = span_of(o->source->config->name),
            .table = span_of(o->table),
            .date = span_of(o->date),
            .node = span_of(c->node),
            .lane = span_of(c->lane),
            .transform = span_of(o->source->name),
            .first = first,
            .last = last,
            .gzip = c->gzip,
        };
        object_name_write(&key, &n);
        free(o->key);
        o->key = buf_take(&key, NULL);
        if (!o->key)
            return err_set(err, ERR_NOMEM, "out of memory for an object's name");
    }
    return true;
}

bool cut_commit(struct cut *c, struct err *err)
{
    for (size_t i = 0; i < c->n_outputs; i++) {
        struct output *o = &c->outputs[i];
        if (!c->store->ops->commit(&o->writer, o->key, err))
            return err_prefix(err, "object %s", o->key);
    }
    return true;
}
