/* source list | show | check: the providers that are known, here and inside the binary. */
#include "cli/registry.h"
#include "core/io.h"
#include "sources/embedded.h"
#include <stdlib.h>
#include <unistd.h>

static void print_list_row(const struct command_io *io, bool as_json, const struct manifest *m)
{
    if (as_json) {
        struct buf b;
        buf_init(&b, 1 << 16);
        buf_addz(&b, "{\"name\":");
        json_write_string(&b, span_of(m->name));
        buf_addz(&b, ",\"title\":");
        json_write_string(&b, span_of(m->title));
        buf_addf(&b, ",\"status\":\"%s\",\"tables\":%zu}", m->status, m->n_tables);
        fprintf(io->out, "%s\n", buf_z(&b));
        buf_release(&b);
        return;
    }
    fprintf(io->out, "%-20s %-8s %-24s", m->name, m->status, m->title);
    for (size_t i = 0; i < m->n_tables; i++)
        fprintf(io->out, "%s%s", i ? ", " : "", m->tables[i].name);
    fprintf(io->out, "%sevents\n", m->n_tables ? ", " : "");
}

int cmd_source_list(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    (void)in;
    int n;
    const char *none[1];
    if (!command_options(a, io, "source list", NULL, none, 0, 0, &n))
        return EXIT_USAGE;
    if (!a->json)
        fprintf(io->out, "%-20s %-8s %-24s%s\n", "NAME", "STATUS", "TITLE", "TABLES");
    int code = EXIT_DONE;
    for (const struct embedded_file *f = embedded_sources; f->name; f++) {
        struct report report;
        report_init(&report);
        struct err err = {0};
        struct manifest *m = manifest_load(".", span_of(f->name), &report, &err);
        if (m) {
            print_list_row(io, a->json, m);
        } else {
            fprintf(io->err, "%s", report.count ? buf_z(&report.text) : err.msg);
            code = EXIT_USAGE;
        }
        manifest_free(&m);
        report_release(&report);
    }
    return code;
}

static void print_columns(FILE *to, const char *head, const char **names)
{
    if (!names)
        return;
    fprintf(to, "  %-10s", head);
    for (size_t i = 0; names[i]; i++)
        fprintf(to, "%s%s", i ? ", " : "", names[i]);
    fputc('\n', to);
}

static void print_table(FILE *to, const struct table_rule *t)
{
    fprintf(to, "\ntable %s\n", t->name);
    print_columns(to, "key", t->key);
    print_columns(to, "version", t->version);
    if (!t->version)
        fprintf(to, "  %-10s%s\n", "version", "the time of observation");
    print_columns(to, "events", t->types);
    if (t->has_path)
        fprintf(to, "  %-10s%s%s%s\n", "pull", t->path.text, t->for_each ? "  for each of " : "",
                t->for_each ? t->for_each : "");
    for (size_t i = 0; i < t->n_deletes; i++)
        print_columns(to, "deletes", t->deletes[i].types);
    print_columns(to, "push lacks", t->lacks_push.columns);
    print_columns(to, "pull lacks", t->lacks_pull.columns);
}

static void print_webhook(FILE *to, const struct webhook_rule *w)
{
    static const char *const secrets[] = {"by hand", "chosen", "told by the provider", "by handshake"};
    static const char *const ways[] = {"by hand", "by a call", "by a second endpoint"};
    if (w->managed)
        fprintf(to, "\nwebhook   by its API: sluice webhook register\n  secret    %s\n  rotation  %s\n", secrets[w->secret],
                ways[w->rotate]);
    if (w->managed && w->scope)
        fprintf(to, "  needs     %s\n", w->scope);
    if (w->by_hand)
        fprintf(to, "\n%s   %s\n", w->managed ? "by hand" : "webhook", w->by_hand);
}

static void print_manifest(FILE *to, const struct manifest *m)
{
    fprintf(to, "%s (%s, %s)\n", m->title, m->name, m->status);
    if (m->docs)
        fprintf(to, "%s\n", m->docs);
    for (size_t i = 0; i < m->n_fields; i++) {
        const struct field_rule *f = &m->fields[i];
        fprintf(to, "config %-16s %s%s%s\n", f->name, f->secret ? "secret  " : "", f->required ? "required  " : "",
                f->help ? f->help : "");
    }
    for (size_t i = 0; i < m->n_schemes; i++) {
        const struct scheme *s = &m->schemes[i];
        fprintf(to, "verify %-16s %s over %s\n", s->name,
                s->signature.headers ? s->signature.headers[0] : s->signature.query ? s->signature.query : "",
                s->signed_text.text ? s->signed_text.text : "nothing");
    }
    for (size_t i = 0; i < m->n_tables; i++)
        print_table(to, &m->tables[i]);
    fprintf(to, "\ntable events\n  key       id\n  columns   id, type, account, received_at, body\n");
    print_webhook(to, &m->webhook);
    if (m->notes)
        fprintf(to, "\n%s\n", m->notes);
}

/* Prints what is wrong, or the error when the report is empty. */
static int manifest_failed(const struct command_io *io, struct report *report, const struct err *err)
{
    if (report->count)
        fwrite(report->text.p, 1, report->text.n, io->err);
    else
        fprintf(io->err, "sluice: %s\n", err->msg);
    return EXIT_USAGE;
}

int cmd_source_show(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    (void)in;
    int n;
    const char *name[1];
    if (!command_options(a, io, "source show", NULL, name, 1, 1, &n))
        return EXIT_USAGE;
    struct report report;
    report_init(&report);
    struct err err = {0};
    struct manifest *m = manifest_load(".", span_of(name[0]), &report, &err);
    int code = m ? EXIT_DONE : manifest_failed(io, &report, &err);
    if (m)
        print_manifest(io->out, m);
    manifest_free(&m);
    report_release(&report);
    return code;
}

int cmd_source_check(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    (void)in;
    int n;
    const char *name[1];
    if (!command_options(a, io, "source check", NULL, name, 1, 1, &n))
        return EXIT_USAGE;
    struct report report;
    report_init(&report);
    struct err err = {0};
    bool is_file = strchr(name[0], '/') || strchr(name[0], '.');
    struct manifest *m =
        is_file ? manifest_load_file(name[0], &report, &err) : manifest_load(".", span_of(name[0]), &report, &err);
    int code = m ? EXIT_DONE : manifest_failed(io, &report, &err);
    if (m)
        fprintf(io->out, "%s %s: %zu scheme%s, %zu table%s\n", glyph_ok(io), m->file, m->n_schemes,
                m->n_schemes == 1 ? "" : "s", m->n_tables, m->n_tables == 1 ? "" : "s");
    manifest_free(&m);
    report_release(&report);
    return code;
}
