/* harness: a journal on a disk in memory, and bodies that can be told apart. For the tests of the journal. */
#pragma once
#include "journal/journal.h"
#include "tests/unit/check_main.h"
#include "tests/unit/support/disk.h"

#define BODY_MAX 1500

static inline struct journal_opts opts_of(struct disk *d)
{
    return (struct journal_opts){
        .io = disk_io(d), .dir = "/disk/journal", .name = "sluice", .segment_bytes = 4096, .bytes_max = 1 << 22, .entry_bytes_max = 1 << 16};
}

/* The n-th body: its number, and bytes that follow from it, of a length that follows from it. */
static inline struct span body_of(uint64_t n, char out[BODY_MAX])
{
    uint64_t s = n * 77 + 5;
    size_t length = (size_t)(check_random(&s) % (n % 5 ? 200 : 1300)) + 24;
    int k = snprintf(out, BODY_MAX, "%020llu ", (unsigned long long)n);
    for (size_t i = (size_t)k; i < length; i++)
        out[i] = (char)check_random(&s);
    return (struct span){out, length};
}

/* The number of a body; fails where one byte is not as it was written. */
static inline uint64_t number_of(struct span body)
{
    char expected[BODY_MAX];
    uint64_t n = body.n >= 20 ? strtoull(body.p, NULL, 10) : UINT64_MAX;
    ck_assert_msg(span_eq(body, body_of(n, expected)), "a body is not as it was written");
    return n;
}

static inline struct entry entry_of(struct span body)
{
    static const struct http_header headers[] = {{{"Content-Type", 12}, {"application/json", 16}}};
    return (struct entry){.kind = ENTRY_EVENT,
                          .received_us = 1800000000000000,
                          .source = SPAN_LIT("demo"),
                          .message = {.method = SPAN_LIT("POST"), .url = SPAN_LIT("/in/demo"), .headers = headers, .n_headers = 1, .body = body},
                          .scheme = SPAN_LIT("standard"),
                          .secret_id = SPAN_LIT("abc123")};
}

static inline bool append(struct journal *j, uint64_t n, uint64_t *ret_seq)
{
    char body[BODY_MAX];
    struct err err = {0};
    struct entry e = entry_of(body_of(n, body));
    return lane_append_wait(journal_lane(j, LANE_EVENTS), &e, ret_seq, &err);
}

struct alone {
    struct ticket ticket; /* first */
    _Atomic int state;    /* 1: durable, 2: failed */
};

static inline void alone_done(struct ticket *t, const struct err *err)
{
    ((struct alone *)(void *)t)->state = err ? 2 : 1;
}

/* As append, by this thread where it has the lane for itself. */
static inline bool append_alone(struct journal *j, uint64_t n, uint64_t *ret_seq)
{
    char body[BODY_MAX];
    struct err err = {0};
    struct entry e = entry_of(body_of(n, body));
    struct alone a = {.ticket = {.done = alone_done}};
    if (!lane_append_alone(journal_lane(j, LANE_EVENTS), &e, &a.ticket, &err))
        return false;
    while (!a.state)
        usleep(20);
    *ret_seq = a.ticket.seq;
    return a.state == 1;
}

static inline struct journal *open_or_fail(struct disk *d)
{
    struct journal_opts o = opts_of(d);
    struct journal *j = NULL;
    struct err err = {0};
    ck_assert_msg(journal_open(&o, &j, &err), "%s", err.msg);
    return j;
}

/* Numbers of the entries from `seq` on, in order; returns how many, and the bytes of damage on the way. */
static inline size_t read_numbers(struct journal *j, uint64_t seq, uint64_t *ret, size_t max, uint64_t *ret_damage)
{
    struct reader *r = reader_open(journal_lane(j, LANE_EVENTS), seq);
    struct entry e;
    bool any = true;
    size_t n = 0;
    uint64_t last = 0, damage = 0;
    struct err err = {0};
    if (ret_damage)
        *ret_damage = 0;
    for (;;) {
        ck_assert_msg(reader_next(r, &e, &any, &damage, &err), "%s", err.msg);
        if (ret_damage)
            *ret_damage += damage;
        if (!any)
            break;
        ck_assert_msg(e.seq > last, "sequence %llu after %llu", (unsigned long long)e.seq, (unsigned long long)last);
        last = e.seq;
        ck_assert(n < max);
        ret[n++] = number_of(e.message.body);
    }
    reader_close(&r);
    return n;
}
