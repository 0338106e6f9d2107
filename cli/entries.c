#include "cli/entries.h"
#include <errno.h>
#include <stdlib.h>

struct entries {
    const struct config *config;
    struct transform **transforms; /* by place of the source */
};

bool entries_open(const struct config *c, struct entries **ret, struct err *err)
{
    (void)err;
    struct entries *e = mem_alloc(sizeof *e);
    e->config = c;
    e->transforms = mem_alloc((c->n_sources + 1) * sizeof *e->transforms);
    *ret = e;
    return true;
}

void entries_close(struct entries **at)
{
    struct entries *e = *at;
    if (!e)
        return;
    for (size_t i = 0; i < e->config->n_sources; i++)
        transform_free(&e->transforms[i]);
    free(e->transforms);
    free(e);
    *at = NULL;
}

void entries_facts(struct entries *e, const struct entry *entry, struct event_facts *ret)
{
    *ret = (struct event_facts){0};
    const struct source_config *s = config_source(e->config, entry->source);
    if (!s || entry->kind != ENTRY_EVENT)
        return;
    struct transform **t = &e->transforms[s - e->config->sources];
    if (!*t)
        *t = transform_new(s, 0, NULL);
    if (*t)
        transform_facts(*t, &entry->message, ret);
}

bool entries_find(struct instance *in, const char *id, struct reader **ret_reader, struct entry *ret, struct err *err)
{
    struct span node, lane;
    uint64_t seq;
    struct journal *journal;
    if (!entry_id_parse(span_of(id), &node, &lane, &seq))
        return err_set(err, ERR_CONFIG,
                       "'%s' is no entry id; it looks like sluice-1a2b3c4d/events/42 (response header Sluice-Entry)", id);
    if (!instance_journal(in, &journal, err))
        return false;
    for (int l = 0; l < LANE_COUNT; l++) {
        if (!span_eqz(lane, lane_name((enum lane_id)l)))
            continue;
        bool any = false;
        *ret_reader = reader_open(journal_lane(journal, (enum lane_id)l), seq);
        if (!reader_next(*ret_reader, ret, &any, NULL, err))
            return false;
        if (any && ret->seq == seq && span_eq(ret->node, node))
            return true;
        return err_set(err, ERR_INPUT, "the journal does not hold %s (any more): it begins at %llu", id,
                       (unsigned long long)lane_first(journal_lane(journal, (enum lane_id)l)));
    }
    return err_set(err, ERR_CONFIG, "'%.*s' is no lane; there are events and backfill", SPAN_ARG(lane));
}

bool entries_lane(const struct command_io *io, const char *text, enum lane_id *ret)
{
    *ret = LANE_EVENTS;
    for (int l = 0; text && l < LANE_COUNT; l++)
        if (strcmp(text, lane_name((enum lane_id)l)) == 0) {
            *ret = (enum lane_id)l;
            return true;
        }
    if (text)
        fprintf(io->err, "sluice: --lane %s: there are events and backfill\n", text);
    return !text;
}

bool entries_number(const struct command_io *io, const char *option, const char *text, uint64_t *ret)
{
    if (!text)
        return true;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (errno || *end || text[0] < '0' || text[0] > '9') {
        fprintf(io->err, "sluice: %s %s: a whole number is needed\n", option, text);
        return false;
    }
    *ret = v;
    return true;
}
