/* A door under test: a configuration made by hand, a data directory of its own, and a client that speaks raw bytes. */
#pragma once
#include "core/mem.h"
#include "server/server.h"
#include "server/verify.h"
#include <arpa/inet.h>
#include <check.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define BODY_MAX 100000

enum { SOURCE_DEMO, SOURCE_OPEN, SOURCE_OFF, SOURCE_MUTE, SOURCE_TOKEN, SOURCE_SLACK, SOURCE_N };

struct world {
    char dir[200], journal_dir[256], secret_path[256], missing_path[256];
    const struct io *io;
    struct config config;
    struct source_config sources[SOURCE_N];
    struct manifest *manifests[SOURCE_N];
    struct secret_ref secret, missing;
    uint64_t journal_bytes_max;
    struct journal *journal;
    struct server *server;
    const struct server_ack *ack; /* NULL: ack: journal */
    struct verifier *signer, *slack;
};

static inline struct manifest *world_manifest(const char *name, const char *text)
{
    struct report report;
    struct err err = {0};
    report_init(&report);
    struct manifest *m = text ? manifest_parse(name, span_of(text), &report) : manifest_load(NULL, span_of(name), &report, &err);
    ck_assert_msg(m, "%s%s", buf_z(&report.text), err.msg);
    report_release(&report);
    return m;
}

static inline void world_source(struct world *w, int i, const char *name, struct manifest *m)
{
    w->manifests[i] = m;
    w->sources[i] = (struct source_config){.name = name, .manifest = m, .secrets = &w->secret, .n_secrets = 1, .all_tables = true};
}

static inline void world_new(struct world *w)
{
    static const char token[] = "sluice: 1\nname: tok\ntitle: Tok\nstatus: alpha\n"
                                "verify: {tok: {algorithm: token, signature: {header: X-Token}}, "
                                "tokq: {algorithm: token, signature: {query: key}}}\n"
                                "event: {id: body.id, type: body.type}\n";
    memset(w, 0, sizeof *w);
    const char *tmp = getenv("TMPDIR");
    snprintf(w->dir, sizeof w->dir, "%s/sluice-door-XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    snprintf(w->journal_dir, sizeof w->journal_dir, "%s/journal", w->dir);
    snprintf(w->secret_path, sizeof w->secret_path, "%s/secret", w->dir);
    snprintf(w->missing_path, sizeof w->missing_path, "%s/missing", w->dir);
    struct err err = {0};
    ck_assert(io_write_file_atomic(io_posix(), w->secret_path, 0600, SPAN_LIT(SECRET "\n"), &err));
    w->io = io_posix();
    w->secret = (struct secret_ref){.kind = SECRET_FILE, .at = w->secret_path};
    w->missing = (struct secret_ref){.kind = SECRET_FILE, .at = w->missing_path};
    world_source(w, SOURCE_DEMO, "demo", world_manifest("demo", NULL));
    world_source(w, SOURCE_OPEN, "open", world_manifest("demo", NULL));
    world_source(w, SOURCE_OFF, "off", world_manifest("demo", NULL));
    world_source(w, SOURCE_MUTE, "mute", world_manifest("demo", NULL));
    world_source(w, SOURCE_TOKEN, "tok", world_manifest("tok.yaml", token));
    world_source(w, SOURCE_SLACK, "slack", world_manifest("slack", NULL));
    w->sources[SOURCE_OPEN].unverified = true;
    w->sources[SOURCE_OFF].webhook_off = true;
    w->sources[SOURCE_MUTE].secrets = &w->missing;
    w->config = (struct config){.listen = {"127.0.0.1", 0},
                                .data_dir = w->dir,
                                .sources = w->sources,
                                .n_sources = SOURCE_N,
                                .body_bytes_max = BODY_MAX,
                                .header_bytes_max = 32768,
                                .connections_max = 256,
                                .idle_us = 5000000,
                                .head_us = 5000000,
                                .body_us = 5000000,
                                .request_us = 5000000,
                                .threads = 2};
    struct verify_secret secret = {SPAN_LIT(SECRET), 0};
    ck_assert(verifier_of(w->manifests[SOURCE_DEMO], &secret, 1, NULL, 0, NULL, &w->signer, &err));
    ck_assert(verifier_of(w->manifests[SOURCE_SLACK], &secret, 1, NULL, 0, NULL, &w->slack, &err));
}

static inline void world_open_journal(struct world *w)
{
    struct err err = {0};
    struct journal_opts o = {.io = w->io,
                             .dir = w->journal_dir,
                             .name = "sluice",
                             .segment_bytes = 1 << 20,
                             .bytes_max = w->journal_bytes_max ? w->journal_bytes_max : (uint64_t)1 << 30,
                             .entry_bytes_max = 1 << 20};
    ck_assert_msg(journal_open(&o, &w->journal, &err), "%s", err.msg);
}

static inline void world_start(struct world *w)
{
    struct err err = {0};
    if (!w->journal)
        world_open_journal(w);
    struct server_opts so = {.config = &w->config, .journal = w->journal, .data_dir = w->dir, .io = w->io, .ack = w->ack};
    ck_assert_msg(server_start(&so, &w->server, &err), "%s", err.msg);
    ck_assert_uint_ne(server_port(w->server), 0);
}

static inline void world_stop(struct world *w)
{
    server_stop(&w->server);
    ck_assert_ptr_null(w->server);
    if (w->journal)
        journal_close(&w->journal);
}

static inline int world_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static inline void world_free(struct world *w)
{
    world_stop(w);
    verifier_free(&w->signer);
    verifier_free(&w->slack);
    for (int i = 0; i < SOURCE_N; i++)
        manifest_free(&w->manifests[i]);
    nftw(w->dir, world_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- the client ---- */

static inline int dial(const struct world *w)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(server_port(w->server)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static inline void push(int fd, struct span s)
{
    while (s.n) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* refused meanwhile: the answer tells */
        s = span_skip(s, (size_t)n);
    }
}

struct answer {
    unsigned status; /* 0: the connection just ended */
    char head[2048], body[512], entry[200];
};

/* Reads one answer, not a byte more. */
static inline struct answer hear(int fd)
{
    struct answer a = {0};
    size_t n = 0, length = 0;
    while (n + 1 < sizeof a.head && (n < 4 || memcmp(a.head + n - 4, "\r\n\r\n", 4) != 0)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ck_assert_msg(poll(&p, 1, 20000) == 1, "no answer after '%s'", a.head);
        if (recv(fd, a.head + n, 1, 0) <= 0)
            return (struct answer){0};
        n++;
    }
    sscanf(a.head, "HTTP/1.%*c %u", &a.status);
    const char *at = strstr(a.head, "Content-Length: ");
    if (at)
        length = strtoul(at + 16, NULL, 10);
    ck_assert_uint_lt(length, sizeof a.body);
    for (size_t got = 0; got < length;) {
        ssize_t m = recv(fd, a.body + got, length - got, 0);
        if (m <= 0)
            break;
        got += (size_t)m;
    }
    at = strstr(a.head, "Sluice-Entry: ");
    if (at)
        sscanf(at + 14, "%199[^\r]", a.entry);
    return a;
}

static inline struct answer ask(const struct world *w, struct span request)
{
    int fd = dial(w);
    push(fd, request);
    struct answer a = hear(fd);
    close(fd);
    return a;
}

/* The headers of a genuine delivery, each line with its CRLF. */
static inline void sign_into(const struct world *w, const struct verifier *v, struct span body, const char *id, struct buf *out)
{
    struct err err = {0};
    struct buf lines;
    buf_init(&lines, 1 << 16);
    ck_assert_msg(verify_sign(v, (struct span){0}, body, span_of(id), w->io->world->now_us(w->io), &lines, &err), "%s", err.msg);
    for (struct span rest = buf_span(&lines); rest.n;) {
        buf_adds(out, span_cut(rest, '\n', &rest));
        buf_addz(out, "\r\n");
    }
    buf_release(&lines);
}

/* A whole genuine request; `extra` are more header lines. */
static inline void delivery(const struct world *w, const char *source, struct span body, const char *id, const char *extra,
                            struct buf *out)
{
    buf_addf(out, "POST /in/%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n", source, extra, body.n);
    sign_into(w, w->signer, body, id, out);
    buf_addz(out, "\r\n");
    buf_adds(out, body);
}

static inline struct answer deliver(const struct world *w, const char *source, const char *body, const char *id)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    delivery(w, source, span_of(body), id, "", &b);
    struct answer a = ask(w, buf_span(&b));
    buf_release(&b);
    return a;
}

/* ---- looking ---- */

static inline uint64_t entries(const struct world *w)
{
    return lane_durable(journal_lane(w->journal, LANE_EVENTS));
}

static inline struct source_counts counts_of(const struct world *w, const char *source)
{
    struct source_counts c = {0};
    ck_assert(server_counts(w->server, span_of(source), &c));
    return c;
}

static inline void await_outcome(const struct world *w, const char *source, enum outcome o, uint64_t n)
{
    for (int i = 0; i < 1000 && counts_of(w, source).by_outcome[o] < n; i++)
        usleep(5000);
    ck_assert_uint_eq(counts_of(w, source).by_outcome[o], n);
}

static inline struct books books_of(const struct world *w, const char *source)
{
    struct books b = {0};
    struct state state;
    struct err err = {0};
    ck_assert_msg(state_open(&state, w->dir, true, &err), "%s", err.msg);
    ck_assert_msg(state_books(&state, span_of(source), &b, &err), "%s", err.msg);
    state_close(&state);
    return b;
}
