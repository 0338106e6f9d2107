/* docs/configuration.md, from the rows. */
#include "config/internal.h"

static const char *const type_words[] = {"text", "host:port", "path", "URL", "size (64MiB)", "duration (60s)", "number", "word"};

static const char head[] =
    "# Configuration\n\n"
    "`sluice.yaml`, looked for here and then in `/etc/sluice`, or named by `-c FILE`. Paths are relative to the file. `${VAR}` and\n"
    "`${VAR:-default}` work in any value but a secret. Unknown or doubled keys, YAML anchors and secrets written into the file are refused,\n"
    "with file, line, column, and the nearest right word. `sluice config check` reads it and says what is wrong or risky.\n\n"
    "| key | form | default | what it says |\n|---|---|---|---|\n";

static const char sources[] =
    "\n## sources\n\n"
    "```yaml\n"
    "sources:\n"
    "  stripe:                        # the name in the URL: POST /in/stripe; a-z, 0-9, _\n"
    "    manifest: stripe             # the same name, where left out; generic takes `verify:` from here\n"
    "    secrets:                     # every one of them verifies, until its retire_at\n"
    "      - {file: ./secrets/stripe}\n"
    "      - {env: STRIPE_WHSEC_OLD, retire_at: 2026-12-01T00:00:00Z}\n"
    "    config: {api_key: {env: STRIPE_API_KEY}, api_version: \"2025-02-24.acacia\"}   # what the manifest asks for\n"
    "    base_url: http://127.0.0.1:12111    # only where it isn't the provider's own\n"
    "    public_url: https://hooks.example.com\n"
    "    tables: [customers, invoices]       # all, where left out; or a map with settings:\n"
    "    # tables: {customers: {columns: {email: hash, address.line1: drop, name: full_name}, every: 1h, deletes: flag}, all: }\n"
    "    accounts: many               # one endpoint for many accounts: the account is part of every key\n"
    "    backfill_from: 2024-01-01    # the first pull goes back to here\n"
    "    webhook: off                 # pulls only\n"
    "    verification: none           # takes anything from anybody; warned of at every start\n"
    "include: sources.d/*.yaml        # files with `sources:` of their own\n"
    "```\n\n"
    "Column rules run after the manifest's and before staging: `drop`, `hash` (SHA-256 of the value's text), or a new name. A column that a\n"
    "table's key, version, rank or partition needs can't be changed. `deletes: flag` keeps deleted rows with `_sluice_deleted_at`. With\n"
    "`all:` in the map the tables that are not named are in use too.\n";

void config_document(struct buf *out)
{
    buf_addz(out, head);
    for (const struct key_row *k = config_keys; k->path; k++) {
        const char *form = k->words ? k->words : type_words[k->type];
        buf_addf(out, "| `%s` | %s | %s%s%s | %s |\n", k->path, form, *k->fallback ? "`" : "", k->fallback, *k->fallback ? "`" : "",
                 k->prose);
    }
    buf_addz(out, sources);
}
