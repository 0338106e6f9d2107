/* verify: is a request genuine that was captured, or that the server refused, and if not, at which step not. */
#include "cli/captured.h"
#include "cli/entries.h"
#include "cli/kept.h"
#include "cli/registry.h"
#include "core/clock.h"
#include "core/json.h"
#include "server/rejected.h"
#include <stdlib.h>

/* What the requests are judged by: a manifest, and with a configured source its secrets. */
struct judge {
    const struct manifest *m;
    const struct source_config *source; /* NULL: none is configured under this name */
    struct verifier *configured;        /* by the source's secrets; made when first needed */
    char *public_url;                   /* of the source, or NULL */
    struct buf url;
    struct usage usage;
    bool unjudgeable; /* the request at hand lacks something */
    struct verify_scratch *scratch;
    struct verify_step steps[VERIFY_STEPS_MAX];
    struct verify_result result;
    uint64_t now_us;
};

static bool make_configured(struct judge *j, const struct command_io *io, struct err *err)
{
    if (j->configured)
        return true;
    struct buf warnings;
    buf_init(&warnings, 1 << 16);
    bool ok = verifier_new(j->source, NULL, 0, &j->configured, &warnings, err);
    for (struct span rest = buf_span(&warnings); rest.n;) {
        struct span line = span_cut(rest, '\n', &rest);
        fprintf(io->err, "%s %.*s\n", glyph_warn(io), SPAN_ARG(line));
    }
    buf_release(&warnings);
    return ok;
}

/* The address that a provider signed: of a request to this door it is the configured one. */
static struct span signed_url(struct judge *j, const struct captured *c)
{
    buf_clear(&j->url);
    if (j->public_url && !c->n_secrets && span_starts(c->message.url, SPAN_LIT("/")))
        server_signed_url(j->public_url, c->message.url, &j->url);
    return j->url.n ? buf_span(&j->url) : c->message.url;
}

/* In place of all steps: what is missing of the request, so that no verdict on it would be true. */
static enum verdict cannot_judge(struct judge *j, const struct captured *c)
{
    struct verify_step *step = &j->steps[0];
    char came[32], kept[32];
    *step = (struct verify_step){.ok = false};
    j->result = (struct verify_result){.verdict = VERDICT_CANNOT_JUDGE, .steps = j->steps, .n_steps = 1};
    j->unjudgeable = true;
    if (!c->body_cut)
        snprintf(step->text, sizeof step->text,
                 "cannot be judged again: the signature stands where credentials stand, and those are not kept");
    else if (!c->message.body.n)
        snprintf(step->text, sizeof step->text,
                 "cannot be judged: it was answered before its body was read, and a signature is made over the body");
    else
        snprintf(step->text, sizeof step->text,
                 "cannot be judged, as its body was cut: %s of %s bytes are there (of a refused request at most %zu KiB are "
                 "kept), and a signature is made over all of them",
                 thousands(c->message.body.n, kept), thousands(c->body_bytes, came), REJECTED_BODY_MAX / 1024);
    return VERDICT_CANNOT_JUDGE;
}

static bool judge_one(struct judge *j, const struct captured *c, const struct command_io *io, enum verdict *ret, struct err *err)
{
    struct verifier *given = NULL;
    bool configured = !c->n_secrets && j->source;
    j->unjudgeable = false;
    if (c->body_cut) {
        *ret = cannot_judge(j, c);
        return true;
    }
    if (configured ? !make_configured(j, io, err)
                   : !verifier_of(j->m, c->secrets, c->n_secrets, c->aux, c->n_aux, NULL, &given, err))
        return false;
    j->result = (struct verify_result){.steps = j->steps};
    *ret = verify_request(configured ? j->configured : given, &c->message, c->now_us ? c->now_us : j->now_us, c->tolerance_us,
                          signed_url(j, c), j->scratch, &j->result);
    if (*ret != VERDICT_OK && c->blanked)
        *ret = cannot_judge(j, c);
    verifier_free(&given);
    return true;
}

static void print_steps(const struct judge *j, const struct command_io *io, FILE *to, const char *indent)
{
    for (size_t i = 0; i < j->result.n_steps; i++) {
        fprintf(to, "%s%s ", indent, j->steps[i].ok ? glyph_ok(io) : glyph_bad(io));
        usage_print(&j->usage, &j->steps[i], to);
        fputc('\n', to);
    }
}

/* What most likely is wrong, from what is right. */
static void print_advice(const struct judge *j, const struct captured *c, enum verdict v, FILE *to)
{
    struct json body;
    struct err ignored;
    uint64_t now = c->now_us ? c->now_us : j->now_us, t = j->result.time_us;
    bool is_json = json_parse(c->message.body, &body, &ignored);
    bool fresh = t == 0 || (now > t ? now - t : t - now) <= UINT64_C(300) * 1000000;
    switch (v) {
    case VERDICT_BAD_SIGNATURE:
        if (is_json && fresh)
            fprintf(to,
                    "  The body is valid JSON%s, so most likely the secret belongs to another endpoint or mode\n  (test/live).\n",
                    t ? " and the time is fresh" : "");
        else if (is_json)
            fprintf(to, "  The body is valid JSON but the time is not fresh: the secret may have been rotated since.\n");
        else
            fprintf(to, "  The body is no JSON: something on the way may have altered it (decoded, cut or re-encoded).\n"
                        "  The signature is made over the raw bytes.\n");
        break;
    case VERDICT_EXPIRED:
        if (c->outcome.n)
            fprintf(to, "  The signature is right; only the time is not: it was delivered late, or one of the clocks is off.\n");
        else
            fprintf(to, "  The signature is right; only the time is not. For an old capture put its own time into now_unix; for\n"
                        "  a fresh one compare this machine's clock.\n");
        break;
    case VERDICT_MISSING_HEADER:
        fprintf(to, "  Proxies drop or rename headers; some providers sign only once a secret is set at their side.\n");
        break;
    case VERDICT_CANNOT_JUDGE:
        if (!j->unjudgeable)
            fprintf(to, "  Put `secrets` into the file, or configure the source with its secret.\n");
        break;
    default:
        break;
    }
    if (!c->outcome.n || span_eqz(c->outcome, verdict_name(v)))
        return;
    fprintf(to, "  When it came it was refused as %.*s.\n", SPAN_ARG(c->outcome));
    if (v == VERDICT_OK && !usage_has(&j->usage, j->result.secret))
        fprintf(to, "  No server has loaded secret %s yet: start it again.\n", j->result.secret);
}

/* "rejected 14:31:07   POST /in/stripe   1,166 bytes"; times are UTC, with the day where it is another one. */
static void print_head(const struct judge *j, const struct captured *c, FILE *to)
{
    char at[CLOCK_TEXT_MAX], today[CLOCK_TEXT_MAX], bytes[32];
    struct buf line;
    buf_init(&line, 1 << 20);
    add_visible(&line, c->message.method);
    buf_addc(&line, ' ');
    add_visible(&line, c->message.url);
    clock_iso_s(c->now_us, at);
    clock_date(j->now_us, today);
    if (c->outcome.n && strncmp(at, today, 10) == 0)
        fprintf(to, "rejected %.8s   ", at + 11);
    else if (c->outcome.n)
        fprintf(to, "rejected %.10s %.8s   ", at, at + 11);
    fprintf(to, "%s   ", buf_z(&line));
    buf_release(&line);
    if (c->body_cut && !c->body_bytes)
        fprintf(to, "body not read\n");
    else
        fprintf(to, "%s bytes\n", thousands(c->body_cut ? c->body_bytes : c->message.body.n, bytes));
}

static void add_member(struct buf *line, const char *name, struct span text)
{
    buf_addc(line, ',');
    json_write_key(line, name);
    json_write_string(line, text);
}

static void print_json(const struct judge *j, const struct captured *c, enum verdict v, FILE *to)
{
    char at[CLOCK_TEXT_MAX];
    struct buf line;
    buf_init(&line, 1 << 20);
    buf_addf(&line, "{\"verdict\":\"%s\",\"scheme\":\"%s\",\"secret\":\"%s\"", verdict_name(v),
             j->result.scheme ? j->result.scheme : "", j->result.secret);
    if (c->outcome.n) {
        clock_iso_us(c->now_us, at);
        add_member(&line, "received_at", span_of(at));
        add_member(&line, "outcome", c->outcome);
        add_member(&line, "method", c->message.method);
        add_member(&line, "url", c->message.url);
        if (j->unjudgeable)
            add_member(&line, "reason", span_of(j->steps[0].text));
    }
    fprintf(to, "%s}\n", buf_z(&line));
    buf_release(&line);
}

static int verify_one(struct judge *j, struct json json, const struct command_args *a, const struct command_io *io)
{
    struct captured *c = mem_alloc(sizeof *c);
    struct err err = {0};
    enum verdict v = VERDICT_CANNOT_JUDGE;
    bool ok = captured_read(json, c, &err) && judge_one(j, c, io, &v, &err);
    if (ok && a->json) {
        print_json(j, c, v, io->out);
    } else if (ok) {
        print_head(j, c, io->out);
        print_steps(j, io, io->out, "");
        print_advice(j, c, v, io->out);
        fprintf(io->out, "result: %s\n", verdict_name(v));
    }
    captured_release(c);
    free(c);
    if (!ok)
        return command_fail(io, &err);
    return v == VERDICT_OK ? EXIT_DONE : EXIT_FAILED;
}

static void print_disagreement(const struct judge *j, const struct captured *c, size_t at, enum verdict v,
                               const struct command_io *io)
{
    struct buf words;
    buf_init(&words, 1 << 16);
    buf_addf(&words, "%s %zu: ", glyph_bad(io), at);
    captured_word(c, "description", &words);
    buf_addz(&words, "\n  expected ");
    captured_word(c, "expect", &words);
    buf_addf(&words, ", found %s", verdict_name(v));
    fprintf(io->out, "%s\n", buf_z(&words));
    print_steps(j, io, io->out, "  ");
    buf_release(&words);
}

static int verify_list(struct judge *j, struct json list, const struct command_args *a, const struct command_io *io)
{
    struct captured *c = mem_alloc(sizeof *c);
    struct json_iter it = json_iter(list);
    struct json json;
    struct err err = {0};
    size_t n = 0, agree = 0;
    bool ok = true;
    while (ok && json_next(&it, NULL, &json)) {
        enum verdict v = VERDICT_CANNOT_JUDGE;
        ok = captured_read(json, c, &err);
        ok = ok ? judge_one(j, c, io, &v, &err) : err_prefix(&err, "vector %zu", n);
        if (!ok)
            break;
        bool same = captured_accepts(c, verdict_name(v));
        agree += same;
        if (!same && !a->json)
            print_disagreement(j, c, n, v, io);
        captured_release(c);
        n++;
    }
    captured_release(c);
    free(c);
    if (!ok)
        return command_fail(io, &err);
    if (a->json)
        fprintf(io->out, "{\"agree\":%zu,\"of\":%zu}\n", agree, n);
    else
        fprintf(io->out, "%zu of %zu agree\n", agree, n);
    return agree == n && n ? EXIT_DONE : EXIT_FAILED;
}

static int verify_input(struct judge *j, bool many, const struct command_args *a, const struct command_io *io)
{
    struct json json;
    struct err err = {0};
    if (!json_parse(a->input, &json, &err)) {
        err_prefix(&err, "%s", many ? "--vectors" : "--request");
        return command_fail(io, &err);
    }
    if (many && json.type != JSON_ARRAY) {
        fprintf(io->err, "sluice verify: --vectors needs a list of requests; for one request use --request\n");
        return EXIT_USAGE;
    }
    j->scratch = verify_scratch_new();
    int code = many ? verify_list(j, json, a, io) : verify_one(j, json.type == JSON_ARRAY ? json_at(json, 0) : json, a, io);
    verify_scratch_free(&j->scratch);
    return code;
}

/* Each in its turn, the newest first. Done: all of them are genuine by now. */
static int verify_kept(struct judge *j, const struct config *config, uint64_t n, const struct io *world,
                       const struct command_args *a, const struct command_io *io)
{
    struct buf text;
    struct json list, item;
    struct err err = {0};
    buf_init(&text, REJECTED_FILE_MAX);
    int code = kept_fetch(config, world, j->source->name, n, io, &text);
    if (code == EXIT_DONE && !json_parse(buf_span(&text), &list, &err))
        code = command_fail(io, &err);
    if (code == EXIT_DONE && json_count(list) == 0) {
        fprintf(io->err, "sluice: no rejected request of %s is kept%s\n", j->source->name,
                config->rejected_max ? "" : ": retention.rejected is 0");
        code = EXIT_FAILED;
    } else if (code == EXIT_DONE) {
        usage_read(&j->usage, config->data_dir, j->source->name, j->now_us);
        j->scratch = verify_scratch_new();
        struct json_iter it = json_iter(list);
        for (bool first = true; json_next(&it, NULL, &item) && !*io->stop; first = false) {
            if (!first && !a->json)
                fputc('\n', io->out);
            int one = verify_one(j, item, a, io);
            code = one == EXIT_DONE ? code : one;
        }
        verify_scratch_free(&j->scratch);
    }
    buf_release(&text);
    return code;
}

struct asked { /* the command line */
    const char *name, *request, *vectors, *manifest, *count;
    bool last;
    uint64_t n;
};

static bool read_options(struct asked *q, const struct command_args *a, const struct command_io *io)
{
    const struct opt spec[] = {{"--request", OPT_VALUE, &q->request},   {"--vectors", OPT_VALUE, &q->vectors},
                               {"--manifest", OPT_VALUE, &q->manifest}, {"--last-rejected", OPT_FLAG, &q->last},
                               {"-n", OPT_VALUE, &q->count},            {NULL, 0, NULL}};
    int n;
    q->n = 1;
    if (!command_options(a, io, "verify", spec, &q->name, 1, 1, &n) || !entries_number(io, "-n", q->count, &q->n))
        return false;
    if ((q->request != NULL) + (q->vectors != NULL) + q->last != 1) {
        fprintf(io->err, "sluice verify: give one of --request FILE (one request), --vectors FILE (a list of them) and "
                         "--last-rejected\n");
        return false;
    }
    if ((q->count && !q->last) || (q->manifest && q->last) || !q->n) {
        fprintf(io->err, "sluice verify: %s\n",
                q->n == 0     ? "-n 0 is no request"
                : q->manifest ? "--manifest goes with --request and --vectors; --last-rejected takes the configured source"
                              : "-n goes with --last-rejected");
        return false;
    }
    return true;
}

/* By the manifest that was named, that of the configured source, or an installed one. */
static int verify_file(struct judge *j, const struct asked *q, const struct command_args *a, const struct command_io *io)
{
    struct report report;
    struct err err = {0};
    struct manifest *own = NULL;
    report_init(&report);
    if (q->manifest)
        own = manifest_load_file(q->manifest, &report, &err);
    else if (!j->source)
        own = manifest_load(".", span_of(q->name), &report, &err);
    j->m = own ? own : j->source && !q->manifest ? j->source->manifest : NULL;
    if (q->manifest)
        j->source = NULL;
    int code = EXIT_USAGE;
    if (!j->m && report.count)
        fwrite(report.text.p, 1, report.text.n, io->err);
    else if (!j->m)
        code = command_fail(io, &err);
    else
        code = verify_input(j, q->vectors != NULL, a, io);
    manifest_free(&own);
    report_release(&report);
    return code;
}

int cmd_verify(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    struct asked q = {0};
    if (!read_options(&q, a, io))
        return EXIT_USAGE;
    if (in->live)
        return q.last ? kept_answer(in, q.name, q.n, io) : EXIT_USAGE;
    struct report report;
    struct err err = {0};
    report_init(&report);
    struct config *config = config_load(in->config_file, &report, &err);
    struct instance with = {.config = config, .io = in->io};
    struct judge j = {.source = config ? config_source(config, span_of(q.name)) : NULL, .now_us = in->io->world->now_us(in->io)};
    buf_init(&j.url, 1 << 20);
    j.public_url = j.source ? server_public_url(config, j.source) : NULL;
    int code = EXIT_USAGE;
    if (!q.last) {
        code = verify_file(&j, &q, a, io);
    } else if (!config && report.count) {
        fwrite(report.text.p, 1, report.text.n, io->err);
    } else if (!config) {
        code = command_fail(io, &err);
    } else if (instance_source(&with, q.name, io)) {
        j.m = j.source->manifest;
        code = verify_kept(&j, config, q.n, in->io, a, io);
    }
    verifier_free(&j.configured);
    usage_release(&j.usage);
    buf_release(&j.url);
    free(j.public_url);
    config_free(&config);
    report_release(&report);
    return code;
}
