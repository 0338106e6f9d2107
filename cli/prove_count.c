/* What is in the journal after all: each event by its number, byte for byte. */
#include "cli/prove.h"
#include "core/mem.h"
#include "journal/journal.h"
#include <stdlib.h>

struct tally {
    unsigned char *times; /* of one sender's events, up to the one behind the last acknowledged */
    uint64_t n;
};

static bool number_of(struct span body, unsigned *ret_sender, uint64_t *ret_number)
{
    char text[96];
    unsigned long long number;
    snprintf(text, sizeof text, "%.*s", SPAN_ARG(body));
    bool ok = sscanf(text, "{\"type\":\"prove\",\"sender\":%u,\"number\":%llu", ret_sender, &number) == 2;
    *ret_number = ok ? number : 0;
    return ok;
}

/* An entry that no sender can have sent, or whose bytes are others, is altered. */
static void count_entry(const struct prove *p, struct tally *tallies, const struct entry *e, struct prove_count *c)
{
    unsigned sender;
    uint64_t number;
    char text[PROVE_BODY_MAX];
    if (!number_of(e->message.body, &sender, &number) || sender >= p->n_senders || number >= tallies[sender].n ||
        !span_eq(e->message.body, prove_body(sender, number, text))) {
        c->altered++;
        return;
    }
    if (tallies[sender].times[number] < 255)
        tallies[sender].times[number]++;
}

static bool read_all(struct prove *p, struct tally *tallies, struct prove_count *c, struct err *err)
{
    char dir[2100];
    snprintf(dir, sizeof dir, "%s/data/journal", p->dir);
    struct journal_opts o = {.io = p->io, .dir = dir, .name = "sluice", .readonly = true};
    struct journal *j = NULL;
    if (!journal_open(&o, &j, err))
        return false;
    struct reader *r = reader_open(journal_lane(j, LANE_EVENTS), 1);
    struct entry e;
    bool any = true, ok = true;
    uint64_t damage = 0;
    while (ok && any) {
        ok = reader_next(r, &e, &any, &damage, err);
        if (ok && any)
            count_entry(p, tallies, &e, c);
    }
    reader_close(&r);
    journal_close(&j);
    return ok;
}

bool prove_count(struct prove *p, struct prove_count *ret, struct err *err)
{
    struct tally *tallies = mem_alloc(p->n_senders * sizeof *tallies);
    *ret = (struct prove_count){0};
    for (unsigned i = 0; i < p->n_senders; i++) {
        tallies[i].n = atomic_load(&p->senders[i].acknowledged) + 1;
        tallies[i].times = mem_alloc(tallies[i].n);
    }
    bool ok = read_all(p, tallies, ret, err);
    for (unsigned i = 0; i < p->n_senders; i++) {
        for (uint64_t n = 0; n < tallies[i].n; n++) {
            unsigned times = tallies[i].times[n];
            ret->found += times && n + 1 < tallies[i].n;
            ret->lost += !times && n + 1 < tallies[i].n;
            ret->doubled += times > 1;
        }
        free(tallies[i].times);
    }
    free(tallies);
    return ok;
}
