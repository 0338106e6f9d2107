/* prove: the parts of `sluice prove`: a server of its own in a scratch folder, senders that write down what was acknowledged, and
 * the count of what is in the journal afterwards.
 *
 * A sender sends its events one after the other, each again and again until it is acknowledged, as providers do. So of each
 * sender everything below `acknowledged` must be found, once; the one behind it may be there or not.
 * Threads: senders in their own; the rest in the command's. */
#pragma once
#include "cli/command.h"
#include "server/verify.h"
#include <pthread.h>
#include <sys/types.h>

#define PROVE_BODY_MAX 2600

struct prove_sender {
    struct prove *prove;
    pthread_t thread;
    bool runs;
    unsigned index;
    atomic_uint_fast64_t acknowledged;
    uint64_t forged, forged_accepted;
};
struct prove {
    const struct command_io *out;
    const struct io *io;
    char dir[2048], url[64];
    unsigned port;
    pid_t server; /* 0: none */
    struct config *config; /* of the server; its one source is `prove` */
    struct verifier *verifier;
    struct prove_sender *senders;
    unsigned n_senders;
    atomic_bool stop;
};

/* prove_server.c */
/* Writes the configuration and the secret into p->dir, which is there. */
bool prove_write_config(struct prove *p, struct err *err);
/* Starts `sluice serve` and waits until it takes connections. */
bool prove_start_server(struct prove *p, struct err *err);
void prove_kill_server(struct prove *p);              /* -9 */
bool prove_stop_server(struct prove *p, struct err *err); /* in order; ERR_INPUT: it ended with an error */

/* prove_senders.c */
bool prove_start_senders(struct prove *p, struct err *err);
void prove_stop_senders(struct prove *p);
uint64_t prove_acknowledged(const struct prove *p);
/* The body of a sender's n-th event, the same each time. */
struct span prove_body(unsigned sender, uint64_t n, char out[PROVE_BODY_MAX]);

/* prove_count.c */
struct prove_count {
    uint64_t found, lost, doubled, altered;
};
/* Reads the whole journal, with nobody else at it. */
bool prove_count(struct prove *p, struct prove_count *ret, struct err *err);
