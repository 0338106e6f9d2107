#include "cli/registry.h"
#include "staging/kafka_sink.h"
#include <stdlib.h>

int cmd_config_check(struct instance *in, const struct command_args *a, const struct command_io *io)
{
    int n;
    const char *none[1];
    if (!command_options(a, io, "config check", NULL, none, 0, 0, &n))
        return EXIT_USAGE;
    struct report report;
    report_init(&report);
    struct err err = {0};
    int code = EXIT_USAGE;
    struct config *c = config_load(in->config_file, &report, &err);
    if (!c) {
        if (report.count)
            fwrite(report.text.p, 1, report.text.n, io->err);
        else
            fprintf(io->err, "sluice: %s\n", err.msg);
        goto out;
    }
    if (!kafka_settings_check(c, &err)) {
        fprintf(io->err, "sluice: %s\n", err.msg);
        goto out;
    }
    config_warnings(c, &report);
    if (report.count)
        fwrite(report.text.p, 1, report.text.n, io->err);
    fprintf(io->out, "%s %s: %zu source%s, listening on %s:%u, data in %s\n", glyph_ok(io), c->file, c->n_sources,
            c->n_sources == 1 ? "" : "s", c->listen.host, c->listen.port, c->data_dir);
    code = EXIT_DONE;
out:
    config_free(&c);
    report_release(&report);
    return code;
}
