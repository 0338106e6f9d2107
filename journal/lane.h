/* lane: the inside of a lane. Private to journal/. See lane.c for the invariants. */
#pragma once
#include "journal/journal.h"
#include "core/mem.h"
#include "journal/segment.h"
#include "journal/tally.h"
#include "journal/writer.h"
#include <pthread.h>
#include <stdatomic.h>

#define BATCH_BYTES_MAX ((size_t)96 << 20)
#define SPACE_LOOK_US UINT64_C(100000) /* how often the disk's free bytes are asked for, */
#define SPACE_LOOK_BYTES (UINT64_C(1) << 20) /* and after how many bytes */
#define PATH_BYTES 4352

struct segment {
    uint64_t first;      /* the sequence its first entry has, or would have */
    uint64_t created_us;
    uint64_t salt;
    uint64_t bytes;      /* of the file, up to its last good entry where that is known */
    char node[NODE_MAX];
    bool going;          /* the oldest one, while its file is removed: nobody begins to read it */
};

struct batch {
    struct buf bytes;
    struct ticket *head, **tail;
    uint64_t first, last; /* sequences; last < first: empty */
};

struct lane {
    struct journal *journal;
    enum lane_id id;
    char dir[PATH_BYTES];
    pthread_mutex_t lock; /* everything below but the atomics; never held during I/O of a commit */
    pthread_cond_t work, durable_moved;
    pthread_t committer;
    bool running, closing;
    struct segment *segments; /* by first */
    size_t n_segments, cap_segments;
    struct batch batches[2];
    int filling;              /* the batch that appends go to; the other is the committer's */
    bool committing;          /* somebody has taken a batch: the writer is his until its tickets are told */
    uint64_t next_seq;
    atomic_uint_fast64_t durable;
    struct lane_listener listener;
    uint64_t looked_us, left; /* when the disk was last looked at, and what was free */
    uint64_t since_look;      /* bytes that came since */
    uint64_t taken_bytes;     /* of the batch that somebody has taken */
    uint64_t refused_bytes;   /* what did not fit last; 0: what came last did */
    struct err failure;       /* of the last commit; NONE: it went well */
    uint64_t failed_us;       /* when, monotonic */
    uint64_t commits_seen;    /* of who asks whether it moves */
    /* Of who commits: the open segment. */
    struct writer writer;     /* none is open: the next commit begins a new one */
    struct tally tally;       /* has a lock of its own, taken before this one */
    /* Counted at open and by readers. */
    atomic_uint_fast64_t torn_bytes, damaged_bytes, quarantined, commits, commit_us, total_bytes;
};

struct journal {
    struct journal_opts opts;
    char dir[PATH_BYTES];
    char name[40];
    char node[NODE_MAX];
    uint64_t salt; /* of the segments that are begun, and of those whose head is damaged */
    struct histogram commit_times;
    struct lane lanes[LANE_COUNT];
};

/* recover.c: finds the lane's segments, repairs the newest, sets next_seq and durable. */
bool lane_recover(struct lane *l, struct err *err);
/* Adds a segment behind the others; the caller holds the lock or is alone. */
void lane_add_segment_locked(struct lane *l, const struct segment *s);
void lane_segment_path(const struct lane *l, uint64_t first, char out[PATH_BYTES]);
/* Copies bytes of a segment beside it as evidence; what is there already stays. */
bool lane_quarantine(struct lane *l, uint64_t first, int fd, uint64_t offset, uint64_t n, struct err *err);

/* reader.c: where the entry that was given out last stands, and its bytes there. */
void reader_place(const struct reader *r, uint64_t *ret_segment, uint64_t *ret_offset, uint64_t *ret_bytes);

/* committer.c */
void *lane_commit_loop(void *lane);
/* The filling batch becomes the caller's: nobody else writes until lane_commit_batch is over. Not while l->committing. */
struct batch *lane_take_batch_locked(struct lane *l);
/* Writes and syncs it and completes its tickets. */
void lane_commit_batch(struct lane *l, struct batch *b);

/* identity.c: the node's name and lineage; draws a new lineage in a copied directory. */
bool journal_identity(struct journal *j, struct err *err);
