/* version: the order of a key's states as text (section "Which state is the newest" of docs/merge.md).
 *
 *   upsert     <field>… SP <observed> SP <rank> SP <origin> SP <received> SP <node> SP <lane> SP <seq> SP <item> SP <transform>
 *   tombstone  <observed> SP <received> SP <node> SP <lane> SP <seq> SP <item> SP <transform>
 * A field is encoded so that byte order is value order: NULL lowest, then numbers of any size, instants, text.
 * Times are 20 digits of microseconds. A time (field or observation) that lies more than five minutes ahead of the
 * receive time is taken as the receive time, so that a wrong clock cannot freeze a row.
 * Threads: pure. */
#pragma once
#include "core/json.h"
#include "sources/manifest.h"

#define CLOCK_AHEAD_US_MAX (UINT64_C(300) * 1000000)

struct version_parts {
    const struct json *fields; /* of the manifest's version fields, absent ones JSON_NONE */
    size_t n_fields;
    enum time_unit unit; /* of the fields */
    uint64_t observed_us, received_us;
    uint64_t came_us;    /* what part 5 compares first: the receive time, of a feed newest first its run's beginning */
    unsigned rank;       /* place in the manifest's list + 1, 0: unlisted */
    bool page;           /* a page sorts under an event */
    struct span node, lane;
    uint64_t seq, item;  /* item: place of the row's record within its entry */
    uint64_t transform;  /* ordinal of the transform, grows with each change */
};
void version_upsert(struct buf *out, const struct version_parts *p);
void version_tombstone(struct buf *out, const struct version_parts *p);
/* min(time, received) when time lies too far ahead. */
uint64_t clamp_ahead(uint64_t time_us, uint64_t received_us);
