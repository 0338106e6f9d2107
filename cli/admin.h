/* admin: the listener for machines that watch: GET /livez, /readyz and /metrics on admin.listen.
 *
 * /livez says 200 while this thread runs and no part stands still (cli/watch.h), else 503 with its name. /readyz says 200 when
 * deliveries are taken, else 503 with the reason in a line: the server starts, it drains, or the journal refuses entries
 * (lane_trouble). What comes behind the journal (a sink, the merge's
 * target) never makes either false: deliveries are taken without it. /metrics asks for the token where there is one. Under
 * /api/v1 is the API (cli/api.h), with a token only; one that is replaced in its file counts within a second.
 * Threads: the one of http/, which answers at once or hands a scrape to the writer's, so that a slow scrape or call keeps nobody
 * from asking for health. All calls here: the thread that starts and stops the parts; each accepts NULL: no admin listener.
 * Life: admin_start -> admin_ready -> admin_drain -> admin_detach -> admin_stop. Each may come earlier where a start fails. */
#pragma once
#include "cli/instance.h"
#include "cli/watch.h"

struct admin;
/* *ret NULL where the configuration has no admin.listen. Fails when the address or the token cannot be had. */
bool admin_start(const struct config *c, const struct io *io, struct admin **ret, struct err *err);
/* Deliveries are taken. Borrows live until admin_detach. */
void admin_ready(struct admin *a, const struct live *live);
/* Whom /livez asks; NULL: nobody. Borrows it until the next call. */
void admin_watch(struct admin *a, const struct watch *w);
void admin_drain(struct admin *a);
/* When it returns nothing looks at live any more; the listener goes on and says that the server stops. */
void admin_detach(struct admin *a);
void admin_stop(struct admin **a);
uint16_t admin_port(const struct admin *a); /* the bound port */
