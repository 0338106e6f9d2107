#include "cli/help.h"
#include "cli/registry.h"

static const char common_options[] = "  -c FILE      the configuration (default ./sluice.yaml, then /etc/sluice/sluice.yaml)\n"
                                     "  --json       data as JSON lines\n"
                                     "  --help       this text\n";

void help_all(FILE *to)
{
    fputs("sluice: webhooks and API pulls become one correct table per resource\n\n", to);
    for (const struct command *c = commands; c->name; c++) {
        char words[96];
        snprintf(words, sizeof words, "%s%s%s %s", c->name, c->sub ? " " : "", c->sub ? c->sub : "", c->usage);
        fprintf(to, "  sluice %-44s %s\n", words, c->summary);
    }
    fputs("\nEach command takes:\n", to);
    fputs(common_options, to);
    fputs("\nResults go to stdout, messages to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage or configuration,\n"
          "3 stopped early and resumable. `sluice COMMAND --help` tells more.\n",
          to);
}

void help_command(FILE *to, const struct command *cmd)
{
    fprintf(to, "sluice %s%s%s %s\n\n  %s\n", cmd->name, cmd->sub ? " " : "", cmd->sub ? cmd->sub : "", cmd->usage,
            cmd->summary);
    if (cmd->help && *cmd->help)
        fprintf(to, "\n%s\n", cmd->help);
    fputc('\n', to);
    fputs(common_options, to);
    if (cmd->needs & ASKS_FIRST)
        fputs("  --yes        do not ask first\n", to);
}

static void help_group(FILE *to, const char *name)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0)
            fprintf(to, "  sluice %s %s %-28s %s\n", c->name, c->sub ? c->sub : "", c->usage, c->summary);
}

/* The words that may stand at this place: command names, or the subs of `name`. */
static size_t words_at(const char *name, const char *words[64])
{
    size_t n = 0;
    for (const struct command *c = commands; c->name && n < 63; c++) {
        if (name && (strcmp(c->name, name) != 0 || !c->sub))
            continue;
        const char *word = name ? c->sub : c->name;
        if (n == 0 || strcmp(words[n - 1], word) != 0)
            words[n++] = word;
    }
    words[n] = NULL;
    return n;
}

static const struct command *no_such(FILE *err, const char *name, const char *word)
{
    const char *words[64];
    words_at(name, words);
    const char *near = word ? nearest_word(span_of(word), words) : NULL;
    if (word)
        fprintf(err, "sluice: no command '%s%s%s'", name ? name : "", name ? " " : "", word);
    else
        fprintf(err, "sluice: %s what?", name);
    if (near)
        fprintf(err, " (did you mean %s%s%s?)", name ? name : "", name ? " " : "", near);
    fputc('\n', err);
    if (name)
        help_group(err, name);
    else if (!near)
        fputs("`sluice --help` lists them\n", err);
    return NULL;
}

const struct command *help_find(int argc, char **argv, int *ret_words, FILE *err)
{
    const char *name = argv[0], *sub = argc > 1 ? argv[1] : NULL;
    const char *subs[64];
    *ret_words = 0;
    const struct command *plain = command_find(name, NULL);
    if (plain) {
        *ret_words = 1;
        return plain;
    }
    if (words_at(name, subs) == 0)
        return no_such(err, NULL, name);
    if (sub && (strcmp(sub, "--help") == 0 || strcmp(sub, "-h") == 0)) {
        help_group(stdout, name);
        *ret_words = 2;
        return NULL;
    }
    const struct command *cmd = sub ? command_find(name, sub) : NULL;
    if (!cmd)
        return no_such(err, name, sub);
    *ret_words = 2;
    return cmd;
}
