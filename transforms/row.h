/* row: one state of one key, as the transform makes it and as staging carries it (the row envelope).
 *
 * The envelope is one line of JSON (docs/formats.md):
 *   format source account table key version op origin shape api_version event_id event_type entry
 *   received_at observed_at row
 * `version` is text whose byte order is the order of upserts of one key (transforms/version.h); tombstones have
 * their own, compared only among tombstones. `observed_at` has a fixed width, so it compares as text too.
 * Threads: plain values. Life: spans borrow the transform's buffers for the call, or the parsed line. */
#pragma once
#include "core/json.h"
#include "sources/manifest.h"

enum row_op { ROW_UPSERT, ROW_DELETE };
enum row_origin { ORIGIN_WEBHOOK, ORIGIN_BACKFILL, ORIGIN_REPLAY };

struct row {
    struct span source, account, table;
    struct span key; /* JSON object of the primary-key columns, in the manifest's order */
    struct span version;
    enum row_op op;
    enum row_origin origin;
    enum shape shape;
    struct span api_version, event_id, event_type;
    struct span entry; /* "<node>/<lane>/<seq>" */
    uint64_t received_us, observed_us;
    struct span row; /* JSON object; "null" for a delete */
};

void row_write(struct buf *out, const struct row *row); /* one line with its newline */
/* A member of an object: what stands before the text (,"name": at its end), and the text, null where it is empty. */
void row_add_member(struct buf *out, struct span before, struct span text);
/* Parses a line. Borrows `line`, except text that had escapes, which goes to `scratch` (cleared here). ERR_INPUT names the
 * field. */
bool row_read(struct span line, struct row *ret, struct buf *scratch, struct err *err);
