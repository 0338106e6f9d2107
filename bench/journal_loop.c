/* journal_loop: the journal alone, in a folder: as many entries as it takes with so many in flight, a fixed number of them, or
 * reading what is there. Prints JSON. */
#include "bench/entries.h"
#include "core/codec.h"
#include "journal/journal.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#define THREADS_MAX 16

struct options {
    const char *dir, *file;
    uint64_t ms, threads, in_flight, count, bytes, segment;
    bool read;
};

struct producer;
struct slot {
    struct ticket ticket;
    struct slot *next;
    struct producer *producer;
    uint64_t began_ns;
};
/* Whoever appends; the committer hands the slots of what is durable back. */
struct producer {
    const struct options *o;
    const struct requests *requests;
    struct lane *lane;
    pthread_t thread;
    unsigned index;
    struct slot *slots;
    uint64_t n_slots, quota, end_ns;
    pthread_mutex_t lock;
    pthread_cond_t freed;
    struct slot *idle;
    uint64_t n_idle;
    bool waits;
    uint64_t durable, body_bytes; /* entries and their bodies */
    struct latencies latencies;
};

static void slot_done(struct ticket *t, const struct err *err)
{
    struct slot *s = (struct slot *)(void *)t; /* the ticket is its first member */
    struct producer *p = s->producer;
    errno = 0;
    if (err)
        die("an append failed: %s", err->msg);
    uint64_t took = now_ns() - s->began_ns;
    pthread_mutex_lock(&p->lock);
    latencies_add(&p->latencies, took);
    p->durable++;
    s->next = p->idle;
    p->idle = s;
    p->n_idle++;
    if (p->waits)
        pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->lock);
}

/* All that are idle now, at least one. */
static struct slot *take_idle(struct producer *p)
{
    pthread_mutex_lock(&p->lock);
    p->waits = true;
    while (!p->idle)
        pthread_cond_wait(&p->freed, &p->lock);
    p->waits = false;
    struct slot *list = p->idle;
    p->idle = NULL;
    p->n_idle = 0;
    pthread_mutex_unlock(&p->lock);
    return list;
}

static void give_back(struct producer *p, struct slot *list)
{
    pthread_mutex_lock(&p->lock);
    for (struct slot *next; list; list = next) {
        next = list->next;
        list->next = p->idle;
        p->idle = list;
        p->n_idle++;
    }
    while (p->n_idle < p->n_slots) {
        p->waits = true;
        pthread_cond_wait(&p->freed, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
}

static void append(struct producer *p, struct slot *s, const struct bench_entry *prepared, uint64_t number)
{
    struct err err = {0};
    struct entry e = prepared->entry;
    s->began_ns = now_ns();
    s->ticket.done = slot_done;
    e.received_us = e.verified_us = io_posix()->world->now_us(io_posix());
    e.dedupe = (struct hash128){.lo = hash64_seeded(span_make(&number, sizeof number), 1), .hi = number + 1};
    errno = 0;
    if (!lane_append(p->lane, &e, &s->ticket, &err))
        die("an append was refused: %s", err.msg);
    p->body_bytes += e.message.body.n;
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    const struct options *o = p->o;
    struct bench_entry *entries = calloc(p->requests->n, sizeof *entries);
    if (!entries)
        die("no memory for %zu entries", p->requests->n);
    for (size_t i = 0; i < p->requests->n; i++)
        entry_of_request(&p->requests->list[i], &entries[i]);
    struct slot *list = NULL;
    for (uint64_t n = 0; n < p->quota && p->body_bytes < o->bytes / o->threads; n++) {
        if (!list)
            list = take_idle(p);
        if (now_ns() >= p->end_ns)
            break;
        struct slot *s = list;
        list = s->next;
        uint64_t number = n * o->threads + p->index;
        append(p, s, &entries[number % p->requests->n], number);
    }
    give_back(p, list);
    free(entries);
    return NULL;
}

static void start(struct producer *p)
{
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->freed, NULL);
    p->slots = calloc(p->n_slots, sizeof *p->slots);
    if (!p->slots)
        die("no memory for %llu appends in flight", (unsigned long long)p->n_slots);
    for (uint64_t i = 0; i < p->n_slots; i++) {
        p->slots[i].producer = p;
        p->slots[i].next = p->idle;
        p->idle = &p->slots[i];
    }
    p->n_idle = p->n_slots;
    if (pthread_create(&p->thread, NULL, produce, p) != 0)
        die("cannot start a thread");
}

static void finish(struct producer *p, struct producer *all)
{
    pthread_join(p->thread, NULL);
    all->durable += p->durable;
    all->body_bytes += p->body_bytes;
    latencies_merge(&all->latencies, &p->latencies);
    free(p->slots);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->freed);
}

static void write_entries(const struct options *o, struct journal *j, const struct requests *r)
{
    struct producer *producers = calloc(o->threads + 1, sizeof *producers), *all = producers ? &producers[o->threads] : NULL;
    struct journal_stats before, after;
    if (!producers)
        die("no memory for %llu threads", (unsigned long long)o->threads);
    journal_stats(j, &before);
    uint64_t begin = now_ns(), cpu = cpu_ns();
    for (unsigned i = 0; i < o->threads; i++) {
        producers[i] = (struct producer){.o = o, .requests = r, .lane = journal_lane(j, LANE_EVENTS), .index = i};
        producers[i].n_slots = o->in_flight / o->threads + (i < o->in_flight % o->threads);
        producers[i].quota = o->count == UINT64_MAX ? UINT64_MAX : o->count / o->threads + (i < o->count % o->threads);
        producers[i].end_ns = o->ms ? begin + o->ms * 1000000 : UINT64_MAX;
        start(&producers[i]);
    }
    for (unsigned i = 0; i < o->threads; i++)
        finish(&producers[i], all);
    double seconds = (double)(now_ns() - begin) / 1e9;
    journal_stats(j, &after);
    uint64_t batches = after.commits - before.commits, bytes = after.bytes - before.bytes;
    printf("{\"entries\": %llu, \"bytes\": %llu, \"body_bytes\": %llu, \"batches\": %llu, ", (unsigned long long)all->durable,
           (unsigned long long)bytes, (unsigned long long)all->body_bytes, (unsigned long long)batches);
    printf("\"batch_bytes\": %.0f, \"seconds\": %.4f, ", (double)bytes / (double)(batches ? batches : 1), seconds);
    printf("\"entries_per_second\": %.1f, \"bytes_per_second\": %.0f, \"batches_per_second\": %.1f, \"cpu_us_each\": %.2f, ",
           (double)all->durable / seconds, (double)bytes / seconds, (double)batches / seconds,
           (double)(cpu_ns() - cpu) / 1e3 / (double)(all->durable ? all->durable : 1));
    latencies_print(&all->latencies);
    printf("}\n");
    free(producers);
}

static void read_entries(struct journal *j)
{
    struct lane *lane = journal_lane(j, LANE_EVENTS);
    struct reader *reader = reader_open(lane, lane_first(lane));
    struct err err = {0};
    struct entry e;
    uint64_t n = 0, bytes = 0, damage = 0, bad = 0, begin = now_ns();
    bool any = true;
    while (any) {
        errno = 0;
        if (!reader_next(reader, &e, &any, &damage, &err))
            die("cannot read: %s", err.msg);
        n += any;
        bytes += any ? e.message.body.n : 0;
        bad += damage;
    }
    reader_close(&reader);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    double seconds = (double)(now_ns() - begin) / 1e9;
    printf("{\"entries\": %llu, \"body_bytes\": %llu, \"damaged_bytes\": %llu, \"seconds\": %.4f, \"entries_per_second\": %.1f, "
           "\"peak_rss_kib\": %ld}\n",
           (unsigned long long)n, (unsigned long long)bytes, (unsigned long long)bad, seconds, (double)n / seconds,
           use.ru_maxrss);
}

static void read_options(int argc, char **argv, struct options *o)
{
    const struct bench_option options[] = {
        {"dir", &o->dir, NULL, NULL, "the journal's folder; made where it is not there"},
        {"requests", &o->file, NULL, NULL, "file of requests"},
        {"ms", NULL, &o->ms, NULL, "how long; 0: no end by time (1000)"},
        {"threads", NULL, &o->threads, NULL, "that append (1)"},
        {"in-flight", NULL, &o->in_flight, NULL, "appends that wait at once (64)"},
        {"count", NULL, &o->count, NULL, "ends after so many entries"},
        {"bytes", NULL, &o->bytes, NULL, "ends after so many bytes of bodies"},
        {"segment", NULL, &o->segment, NULL, "a new segment begins at this size (67108864)"},
        {"read", NULL, NULL, &o->read, "reads what is there instead"},
        {NULL, NULL, NULL, NULL, NULL},
    };
    bench_options(argc, argv, "the journal alone", options);
    if (!o->dir || (!o->read && !o->file) || !o->threads || o->threads > THREADS_MAX || o->in_flight < o->threads) {
        fprintf(stderr, "journal_loop: --dir and --requests (or --read) are needed, --threads is 1 to %d, --in-flight not less "
                        "(--help)\n", THREADS_MAX);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct options o = {.ms = 1000, .threads = 1, .in_flight = 64, .count = UINT64_MAX, .bytes = UINT64_MAX};
    o.segment = UINT64_C(64) << 20;
    read_options(argc, argv, &o);
    struct journal_opts opts = {.io = io_posix(), .dir = o.dir, .name = "sluice", .segment_bytes = o.segment,
                                .entry_bytes_max = UINT32_C(65) << 20, .readonly = o.read};
    struct journal *j = NULL;
    struct requests r = {0};
    struct err err = {0};
    if (o.file)
        requests_load(o.file, &r);
    errno = 0;
    if (!o.read && !io_mkdirs(io_posix(), o.dir, 0700, &err))
        die("%s", err.msg);
    if (!journal_open(&opts, &j, &err))
        die("cannot open the journal in %s: %s", o.dir, err.msg);
    if (o.read)
        read_entries(j);
    else
        write_entries(&o, j, &r);
    journal_close(&j);
    requests_free(&r);
    return 0;
}
