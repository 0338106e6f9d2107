/* verify: is a captured request genuine, and if not, at which step not. */
#include "cli/captured.h"
#include "cli/registry.h"
#include "core/clock.h"
#include <stdlib.h>

/* What the requests are judged by: a manifest, and with a configured source its secrets. */
struct judge {
    const struct manifest *m;
    const struct source_config *source; /* NULL: none is configured under this name */
    struct verify_scratch *scratch;
    struct verify_step steps[VERIFY_STEPS_MAX];
    struct verify_result result;
    uint64_t now_us;
};

static bool make_verifier(const struct judge *j, const struct captured *c, const struct command_io *io, struct verifier **ret,
                          struct err *err)
{
    if (c->n_secrets || !j->source)
        return verifier_of(j->m, c->secrets, c->n_secrets, c->aux, c->n_aux, NULL, ret, err);
    struct buf warnings;
    buf_init(&warnings, 1 << 16);
    bool ok = verifier_new(j->source, ret, &warnings, err);
    for (struct span rest = buf_span(&warnings); rest.n;) {
        struct span line = span_cut(rest, '\n', &rest);
        fprintf(io->err, "%s %.*s\n", glyph_warn(io), SPAN_ARG(line));
    }
    buf_release(&warnings);
    return ok;
}

static bool judge_one(struct judge *j, const struct captured *c, const struct command_io *io, enum verdict *ret, struct err *err)
{
    struct verifier *v = NULL;
    if (!make_verifier(j, c, io, &v, err))
        return false;
    j->result = (struct verify_result){.steps = j->steps};
    struct span url = c->message.url;
    *ret = verify_request(v, &c->message, c->now_us ? c->now_us : j->now_us, c->tolerance_us, url, j->scratch, &j->result);
    verifier_free(&v);
    return true;
}

static void print_steps(const struct judge *j, const struct command_io *io, FILE *to, const char *indent)
{
    for (size_t i = 0; i < j->result.n_steps; i++)
        fprintf(to, "%s%s %s\n", indent, j->steps[i].ok ? glyph_ok(io) : glyph_bad(io), j->steps[i].text);
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
        fprintf(to, "  The signature is right; only the time is not. For an old capture put its own time into now_unix; for a\n"
                    "  fresh one compare this machine's clock.\n");
        break;
    case VERDICT_MISSING_HEADER:
        fprintf(to, "  Proxies drop or rename headers; some providers sign only once a secret is set at their side.\n");
        break;
    case VERDICT_CANNOT_JUDGE:
        fprintf(to, "  Put `secrets` into the file, or configure the source with its secret.\n");
        break;
    default:
        break;
    }
}

static int verify_one(struct judge *j, struct json json, const struct command_args *a, const struct command_io *io)
{
    struct captured *c = mem_alloc(sizeof *c);
    struct err err = {0};
    enum verdict v = VERDICT_CANNOT_JUDGE;
    bool ok = captured_read(json, c, &err) && judge_one(j, c, io, &v, &err);
    if (ok && a->json) {
        fprintf(io->out, "{\"verdict\":\"%s\",\"scheme\":\"%s\",\"secret\":\"%s\"}\n", verdict_name(v),
                j->result.scheme ? j->result.scheme : "", j->result.secret);
    } else if (ok) {
        char bytes[32];
        fprintf(io->out, "%.*s %.*s   %s bytes\n", SPAN_ARG(c->message.method), SPAN_ARG(c->message.url),
                thousands(c->message.body.n, bytes));
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

int cmd_verify(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    const char *name, *request = NULL, *vectors = NULL, *file = NULL;
    const struct opt spec[] = {{"--request", OPT_VALUE, &request},
                               {"--vectors", OPT_VALUE, &vectors},
                               {"--manifest", OPT_VALUE, &file},
                               {NULL, 0, NULL}};
    int n;
    if (!command_options(a, io, "verify", spec, &name, 1, 1, &n))
        return EXIT_USAGE;
    if (!request == !vectors) {
        fprintf(io->err, "sluice verify: give either --request FILE (one request) or --vectors FILE (a list of them)\n");
        return EXIT_USAGE;
    }
    struct report report;
    struct err err = {0};
    report_init(&report);
    struct config *config = config_load(in->config_file, &report, &err);
    const struct source_config *source = config ? config_source(config, span_of(name)) : NULL;
    report_release(&report);
    report_init(&report);
    struct manifest *own = NULL;
    if (file)
        own = manifest_load_file(file, &report, &err);
    else if (!source)
        own = manifest_load(".", span_of(name), &report, &err);
    struct judge j = {.m = own ? own : source ? source->manifest : NULL, .source = file ? NULL : source,
                      .now_us = in->io->world->now_us(in->io)};
    int code = EXIT_USAGE;
    if (!j.m && report.count)
        fwrite(report.text.p, 1, report.text.n, io->err);
    else if (!j.m || (file && !own))
        code = command_fail(io, &err);
    else
        code = verify_input(&j, vectors != NULL, a, io);
    manifest_free(&own);
    config_free(&config);
    report_release(&report);
    return code;
}
