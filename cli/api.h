/* api: what stands under /api/v1 of the admin listener (docs/api.yaml is its OpenAPI description): JSON, the same that commands
 * say with --json, read and done by the same functions. Errors are {"error":{"code":"…","message":"…"}}.
 * Threads: as the instance; api_answer may wait for the disk and for a reload. */
#pragma once
#include "cli/instance.h"
#include "core/http.h"

struct api_request { /* copied from a request; owned by who asks */
    struct buf text;
    struct span method, path, query, body; /* borrow text */
    char who[128];                          /* whom the trail names */
};
/* Appends the answer's body to out; returns the status. The instance is of a running server. */
unsigned api_answer(struct instance *in, const struct api_request *q, struct buf *out);
/* The same for what comes before an instance is there. */
void api_error(struct buf *out, unsigned status, const char *code, const char *message);
bool api_is_path(struct span path); /* it begins with /api/ */
