/* post: tells a receiver of an alarm: one HTTP POST, as a chat's line or as a signed Standard Webhook.
 *
 *   slack      {"text": "…"}: what incoming webhooks of Slack take, and of what speaks as it does
 *   standard   {"type":"sluice.alarm.raised","timestamp":…,"data":{…}} with webhook-id, webhook-timestamp and webhook-signature,
 *              signed with alarms.secret by the code that verifies deliveries (server/verify.h)
 * The address is a secret: no message holds more of it than its host. Redirects are not followed.
 * Threads: a struct poster belongs to one. Life: poster_new -> poster_send* -> poster_free. */
#pragma once
#include "alarms/ledger.h"
#include "core/io.h"
#include <stdatomic.h>

struct poster;
/* node: who tells, for the standard form. stop: ends a transfer that is under way. */
struct poster *poster_new(const struct io *io, const char *node, const atomic_bool *stop);
void poster_free(struct poster **p);
/* Reads address and secret now, so that replaced ones count. ERR_CONFIG: they cannot be read; ERR_TRANSIENT: the receiver did not
 * take it, or cannot be reached. */
bool poster_send(struct poster *p, const struct config *c, const struct post *what, struct err *err);

/* For tests: the body of either form. */
void post_write(struct buf *out, const struct post *what, const char *node, bool slack);
