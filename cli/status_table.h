/* status_table: how each table of a source is: its pulls, its rows, what waits to be merged, what is missing. Threads: as the
 * instance. */
#pragma once
#include "cli/command.h"
#include "cli/pulls.h"
#include "cli/status.h"
#include "merge/tables.h"

struct table_status {
    const struct table_rule *table;
    enum health health;
    bool pulls; /* it has a list API */
    struct table_pull pull;
    struct table_facts facts;
    uint64_t rows_day;        /* staged in the last 24 hours */
    uint64_t merge_oldest_us; /* when the oldest object that is not merged was published; 0: none waits */
    uint64_t dead;
    bool paused;
};
/* Each table in use, and the provider's feed. */
bool table_status_each(struct instance *in, const struct source_config *s,
                       bool (*each)(void *ctx, const struct table_status *t), void *ctx, struct err *err);
/* staged_us: when the oldest entry of the source that waits to be staged was received; 0: none does. */
void table_status_head(const struct command_io *io);
void table_status_line(const struct command_io *io, const struct table_status *t, uint64_t staged_us, uint64_t now_us);
void table_status_json(struct buf *out, const struct table_status *t, uint64_t staged_us, uint64_t now_us);
