/* record: one request as JSON, the form that `sluice verify --request` reads (docs/formats.md).
 *
 *   {"format":1,"received_at":"2026-05-01T10:11:12.345678Z","now_unix":1777630272,"outcome":"bad_signature","scheme":"v1",
 *    "method":"POST","url":"/in/stripe","headers":[["Name","value"], …],"body_bytes":70000,"blanked":true,"body_base64":"…"}
 * Bytes of texts that are no UTF-8 become U+FFFD; the body's are exact.
 * Threads: plain values. Life: record_read -> use -> record_release; what is read borrows the JSON text and record.text. */
#pragma once
#include "core/http.h"
#include "core/json.h"
#include "journal/entry.h"
#include "server/server.h"

#define RECORD_FORMAT 1

struct record {
    struct http_message message; /* its body may be only the beginning of what came */
    uint64_t received_us;
    enum outcome outcome;        /* OUT_COUNT: none was found */
    struct span scheme;          /* that spoke for the verdict; empty: none */
    bool body_cut;
    uint64_t body_bytes;         /* true length of a body that was cut; 0: it was not read at all */
    bool blanked;                /* what a scheme would have to look at was blanked: it cannot be judged again */
    struct http_header *headers; /* record_read's; the message's */
    struct buf text;             /* the same */
};
/* Without a line break. */
void record_write(struct buf *out, const struct record *r);
/* false: not of this form, or of a newer one. */
bool record_read(struct json json, struct record *ret);
void record_release(struct record *r);
