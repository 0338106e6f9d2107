/* entry: one durable record: an event that was posted, or a page that was pulled.
 *
 * On disk (docs/formats.md): a fixed head (marker, length, sequence, receive time, checksum) and tagged fields;
 * an unknown tag is skipped, so that fields can be added.
 * Threads: plain values. Life: spans of a decoded entry borrow the reader's buffer until its next call. */
#pragma once
#include "core/buf.h"
#include "core/codec.h"
#include "core/http.h"
#include "core/err.h"

enum entry_kind { ENTRY_EVENT = 1, ENTRY_PAGE = 2 };

#define ENTRY_HEADERS_MAX 256
#define NODE_MAX 80
#define ENTRY_ID_MAX 160 /* "<node>/<lane>/<seq>" */

struct entry {
    enum entry_kind kind;
    uint64_t seq;         /* within its lane, from 1, dense; set by the journal */
    uint64_t received_us; /* set by the journal's caller */
    struct span node;     /* <name>-<lineage>; set by the journal */
    struct span lane;     /* "events" or "backfill" */
    struct span source;
    struct http_message message; /* credentials already replaced by their secret's id */
    /* events: how it was found genuine */
    struct span scheme, secret_id;
    uint64_t verified_us;
    struct hash128 dedupe; /* of event id and body; zero: none */
    /* pages */
    struct span table;    /* "" for a feed */
    struct span run;      /* run id */
    struct span cursor;   /* JSON: the state that follows this page (backfill/cursor.h) */
    struct span parents;  /* JSON object: parent table -> its record, for fan-out; or empty */
    uint64_t observed_us; /* the response's Date less the staleness margin */
    uint64_t began_us;    /* when the run began, on this machine's clock: the same on all its pages */
    bool is_feed;         /* each record is an event */
    bool is_last;         /* the run is complete with this page */
};

/* Appends the encoded fields (without the head) to out. */
void entry_encode(const struct entry *e, struct buf *out);
/* Fills *ret from fields; headers go into `headers` (ENTRY_HEADERS_MAX). ERR_INPUT names the offset. */
bool entry_decode(struct span fields, struct http_header *headers, struct entry *ret, struct err *err);
/* The source alone; empty where there is none. */
struct span entry_source(struct span fields);
void entry_id(const struct entry *e, char out[ENTRY_ID_MAX]);
/* "<node>/<lane>/<seq>" back into parts that borrow `text`. */
bool entry_id_parse(struct span text, struct span *ret_node, struct span *ret_lane, uint64_t *ret_seq);
