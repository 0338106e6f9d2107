/* api_internal: one request at the API, between api.c (routes) and what answers them. Private to cli/api*.c. */
#pragma once
#include "cli/api.h"
#include "core/json.h"

#define API_PARTS_MAX 8

struct api_call {
    struct instance *in;
    const struct api_request *q;
    struct buf *out;
    struct span parts[API_PARTS_MAX]; /* of the path, behind /api/v1/ */
    size_t n;
    const struct source_config *source; /* where the route has one */
    const struct table_rule *table;
};
unsigned api_fail(struct api_call *c, unsigned status, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
unsigned api_failed(struct api_call *c, const struct err *err); /* the status by the error's class */
/* A parameter of the query, decoded, into out (cleared); false: it is not there. */
bool api_parameter(const struct api_call *c, const char *name, struct buf *out);
/* `limit`, 1 to most; false after an answer. */
bool api_limit(struct api_call *c, uint64_t most, uint64_t *ret, unsigned *ret_status);

/* api_read.c */
unsigned api_status(struct api_call *c);
unsigned api_sources(struct api_call *c);
unsigned api_source(struct api_call *c);
unsigned api_tables(struct api_call *c);
unsigned api_table(struct api_call *c);
unsigned api_deliveries(struct api_call *c);
unsigned api_secrets(struct api_call *c);
unsigned api_dead(struct api_call *c);
unsigned api_config(struct api_call *c);
unsigned api_audit(struct api_call *c);
/* api_write.c */
unsigned api_order(struct api_call *c);
unsigned api_reload(struct api_call *c);
unsigned api_refresh(struct api_call *c);
