/* journal: durable, append-only lanes of entries with group commit.
 *
 * Promise: an append whose ticket completed without error survives kill -9 and power loss, byte for byte, once.
 * Threads: any thread appends; each lane has one committer thread that writes and fdatasyncs whole batches and
 *          then completes their tickets; readers in any thread; stats from any.
 * Life:    journal_open -> lane use -> journal_close. After ERR_DURABLE the lane's segment is closed, its waiting
 *          tickets fail, and a new segment begins: a failed sync is never retried.
 * Files:   <dir>/node (name, lineage), <dir>/<lane>/<first seq, 20 digits>.seg, <dir>/<lane>/<name>.bad (quarantine).
 * Limits:  journal_opts; appends beyond bytes_max or below reserve_bytes of free disk fail with ERR_FULL before
 *          anything is written. */
#pragma once
#include "core/histogram.h"
#include "core/io.h"
#include "journal/entry.h"

struct journal;
struct lane;
enum lane_id { LANE_EVENTS, LANE_BACKFILL, LANE_COUNT };

struct journal_opts {
    const struct io *io;
    const char *dir;       /* <data_dir>/journal */
    const char *name;      /* node's name; "sluice" */
    uint64_t segment_bytes;
    uint64_t bytes_max;
    uint64_t reserve_bytes;
    uint32_t entry_bytes_max;
    bool readonly;         /* no thread, no recovery writes; appends are a bug */
};

/* Recovers: cuts a torn tail, quarantines damage elsewhere (counted in stats, logged by the caller). */
bool journal_open(const struct journal_opts *o, struct journal **ret, struct err *err);
void journal_close(struct journal **j); /* commits what waits, then frees */
const char *journal_node(const struct journal *j); /* <name>-<lineage> */
struct lane *journal_lane(struct journal *j, enum lane_id id);
const char *lane_name(enum lane_id id);

/* A waiting append. The caller owns it until `done` is called (committer thread, no lock held; must not block). */
struct ticket {
    struct ticket *next; /* the lane's */
    uint64_t seq;        /* set by lane_append */
    void (*done)(struct ticket *t, const struct err *err); /* err NULL: durable */
};
/* For who would do once for a whole batch what it does for each ticket: called by the committer around the `done` of a batch's
 * tickets; a lock may be held from one to the other. NULL: nobody. Set it while nothing waits. */
struct lane_listener {
    void (*before)(void *ctx);
    void (*after)(void *ctx);
    void *ctx;
};
void lane_listen(struct lane *l, const struct lane_listener *listener);
/* Copies the entry into the current batch; *t completes later. Sets t->seq. On false the ticket is not taken.
 * ERR_FULL: limits; ERR_INPUT: larger than entry_bytes_max; ERR_DURABLE: the lane is failing. */
bool lane_append(struct lane *l, const struct entry *e, struct ticket *t, struct err *err);
/* As lane_append; but where nothing else is being written or waits, this very thread commits, which saves two wake-ups: then the
 * ticket is done when the call returns. */
bool lane_append_alone(struct lane *l, const struct entry *e, struct ticket *t, struct err *err);
/* Appends and waits until it is durable. */
bool lane_append_wait(struct lane *l, const struct entry *e, uint64_t *ret_seq, struct err *err);

uint64_t lane_first(const struct lane *l);   /* lowest seq still stored, or that will be */
uint64_t lane_durable(const struct lane *l); /* highest durable seq, 0: none */
/* Waits until lane_durable > seq, or timeout. */
bool lane_wait(struct lane *l, uint64_t seq, uint64_t timeout_us);
/* How many durable entries each source has from each of two sequences on, up to the same end, and when the first of them was
 * received; sources with none are left out. Costs little, but the first time for entries that were there at journal_open: those
 * are read. An entry that was damaged since it was written or read counts until a reader comes to it. */
struct lane_counted {
    struct span source;
    uint64_t entries[2], oldest_us[2];
};
bool lane_count(struct lane *l, const uint64_t from[2], void (*each)(void *ctx, const struct lane_counted *c), void *ctx,
                struct err *err);
/* Nobody will ask any more for what is below seq: to count from there stays right, and costs again. */
void lane_count_forget(struct lane *l, uint64_t seq);
/* Removes whole segments whose entries are all below seq and older than before_us. Never the newest segment. */
bool lane_remove(struct lane *l, uint64_t seq, uint64_t before_us, struct err *err);

/* The first segment that is closed for good and holds sequences from `seq` on. Only lane_remove takes it away. */
struct sealed_segment {
    uint64_t first, last;        /* sequences; last < first: it holds none */
    uint64_t from_us, until_us;  /* its entries were received between */
    char path[4352];
};
bool lane_sealed(const struct lane *l, uint64_t seq, struct sealed_segment *ret); /* false: there is none yet */

/* Whether commits went on since the last call, or none was needed; asked by one thread. */
bool lane_moves(struct lane *l);

struct journal_stats {
    uint64_t bytes, segments, damaged_entries_bytes, quarantined; /* damage found at open or by readers */
    uint64_t torn_bytes;                                          /* cut from tails at open */
    uint64_t free_bytes;                                          /* of the disk */
    uint64_t commits, commit_us;                                  /* batches and their time */
};
void journal_stats(const struct journal *j, struct journal_stats *ret);
/* How long commits took: a batch's write and fdatasync, of both lanes, failed ones included. */
void journal_commit_times(const struct journal *j, struct histogram_snapshot *ret);
/* Why entries of the lane are refused now, in words: a limit is reached, or writing fails; false: they are taken.
 * Full is when LANE_ROOM bytes, or what was refused last if that was more, do not fit. Failing is a lane whose last commit
 * failed, for LANE_FAILING_US: only another commit can tell that it is over, so whoever sends elsewhere must come back. */
#define LANE_ROOM UINT64_C(65536)
#define LANE_FAILING_US UINT64_C(10000000)
bool lane_trouble(struct lane *l, char *ret_words, size_t n);

/* A reader goes forward through durable entries. Bounded memory: one entry plus a read-ahead block. */
struct reader;
struct reader *reader_open(struct lane *l, uint64_t seq); /* the first entry with a sequence >= seq */
void reader_close(struct reader **r);
/* *ret_any false: nothing more is durable now. The entry borrows the reader until its next call.
 * Damage: skipped to the next good entry, reported once through *ret_damage (bytes), never an error. */
bool reader_next(struct reader *r, struct entry *ret, bool *ret_any, uint64_t *ret_damage, struct err *err);

struct damage {
    const char *segment; /* file name */
    uint64_t offset, bytes;
    const char *what;
};
/* Reads every checksum of the lane; calls `each` for damage. Returns entries read by ret. */
bool lane_check(struct lane *l, void (*each)(void *ctx, const struct damage *d), void *ctx, uint64_t *ret_entries,
                struct err *err);
