/* docs/configuration.md, from the rows. */
#include "config/internal.h"

static const char head[] =
    "<!-- Made from the rows of config/keys.c; a test fails when it is stale and says how to make it anew. -->\n"
    "# Configuration\n\n"
    "`sluice.yaml`, looked for here and then in `/etc/sluice`, or named by `-c FILE`. `sluice config check` reads it "
    "and says what is wrong\n"
    "or risky; [config/sluice.example.yaml](../config/sluice.example.yaml) shows every key. Nothing but a source is needed:\n\n"
    "```yaml\n"
    "sources: {stripe: {secrets: [{file: ./secrets/stripe}], config: {api_version: \"2026-07-29\"}}}\n"
    "```\n\n"
    "Paths are relative to the file. `${VAR}` and `${VAR:-default}` work in any value but a secret; a variable that "
    "is empty counts as not\n"
    "set. Unknown or doubled keys, YAML anchors and secrets written into the file are refused with file, line, column "
    "and the nearest\n"
    "right word.\n\n"
    "| key | form | default | what it says |\n|---|---|---|---|\n";

static const char sources[] =
    "\n## sources\n\n"
    "```yaml\n"
    "sources:\n"
    "  stripe:                        # the name in the URL: POST /in/stripe; a-z first, then a-z, 0-9, _; at most 31\n"
    "    manifest: stripe             # the same name, where left out; sources/NAME.yaml beside this file wins over "
    "one of the binary\n"
    "    secrets:                     # every one of them verifies, until its retire_at\n"
    "      - {file: ./secrets/stripe}\n"
    "      - {env: STRIPE_WHSEC_OLD, retire_at: 2026-12-01T00:00:00Z}\n"
    "    config:                      # what the manifest asks for: `sluice source show stripe`\n"
    "      api_key: {env: STRIPE_API_KEY}    # secret: file: or env:\n"
    "      api_version: \"2026-07-29\"\n"
    "    base_url: http://127.0.0.1:12111    # only where it isn't the provider's own\n"
    "    public_url: https://hooks.example.com\n"
    "    tables: [customers, invoices]       # all, where left out; or a map with settings, see below\n"
    "    webhook: off                 # pulls only\n"
    "    accounts: many               # one endpoint for many accounts: the account is part of every key\n"
    "    backfill_from: 2024-01-01    # the first pull goes back to here\n"
    "  acme:\n"
    "    manifest: generic            # a provider without a manifest: its verification stands here\n"
    "    secrets: [{file: ./secrets/acme}]\n"
    "    verify:\n"
    "      acme-hmac: {algorithm: hmac-sha256, signature: {header: X-Acme-Signature, encoding: hex}, signed: \"{body}\"}\n"
    "  lab:\n"
    "    manifest: generic\n"
    "    verification: none           # takes anything from anybody; warned of at every start\n"
    "include: sources.d/*.yaml        # or a list; files with `sources:` of their own\n"
    "```\n\n"
    "A secret file holds nothing but the secret; line ends behind it are cut. It is a regular file of at most 64 KiB. "
    "A source without a\n"
    "secret that is in use, and without `verification: none`, answers 503 to every delivery. Where the provider brings the "
    "secret by handshake\n"
    "(see [manifests.md](manifests.md)), only the first is taken unsigned; `secrets_until: 2026-12-01T12:00:00Z` at the "
    "source takes more until then.\n\n"
    "## tables\n\n"
    "```yaml\n"
    "tables:\n"
    "  customers:\n"
    "    columns: {email: hash, address.line1: drop, name: full_name}\n"
    "    every: 1h                    # pulls this often\n"
    "    deletes: flag                # deleted rows stay, with _sluice_deleted_at; remove, where left out\n"
    "  all:                           # and the tables that are not named, too\n"
    "```\n\n"
    "Column rules run after the manifest's and before staging: `drop`, `hash` (SHA-256 of the value's text), or a new "
    "name. A column that a\n"
    "table's key, version, rank or partition needs can't be changed. Every source also has the table `events`.\n\n"
    "## Not in this version\n\n"
    "Refused, so that nobody believes in what isn't there: ";

static void add_form(struct buf *out, const struct key_row *k)
{
    static const char *const words[] = {
        [KEY_ADDRESS] = "host:port", [KEY_PATH] = "path", [KEY_SECRET] = "path", [KEY_URL] = "URL", [KEY_SIZE] = "size",
        [KEY_DURATION] = "duration", [KEY_NUMBER] = "number", [KEY_WORD] = "",
        [KEY_BLOCKS] = "list of addresses and blocks (CIDR)", [KEY_REF] = "`{file: PATH}` or `{env: NAME}`", [KEY_TEXT] = "text",
        [KEY_PROPERTIES] = "map",
    };
    buf_addz(out, words[k->type]);
    if (k->type == KEY_WORD) {
        struct span rest = span_of(k->words);
        for (const char *before = ""; rest.p; before = " or ") {
            struct span word = span_cut(rest, ' ', &rest);
            buf_addf(out, "%s`%.*s`", before, SPAN_ARG(word));
        }
        return;
    }
    if (k->least || k->most)
        buf_addz(out, ", ");
    if (k->least || k->most)
        config_quantity(out, k->type, k->least);
    if (k->most) {
        buf_addz(out, " to ");
        config_quantity(out, k->type, k->most);
    } else if (k->least) {
        buf_addz(out, " or more");
    }
}

void config_document(struct buf *out)
{
    buf_addz(out, head);
    for (const struct key_row *k = config_keys; k->path; k++) {
        const char *quote = *k->fallback ? "`" : "";
        buf_addf(out, "| `%s` | ", k->path);
        add_form(out, k);
        buf_addf(out, " | %s%s%s | %s%s |\n", quote, k->fallback, quote, k->prose,
                 k->idle ? " (read, but nothing in this version acts on it)" : "");
    }
    buf_addz(out, "\nSizes are bytes, or end in KiB, MiB, GiB; durations end in ms, s, m, h, d.\n");
    buf_addz(out, sources);
    for (const struct later_row *k = config_later; k->path; k++) {
        struct span value, key = span_cut(span_of(k->path), '=', &value);
        buf_addf(out, "`%.*s%s%.*s`, ", SPAN_ARG(key), value.n ? ": " : "", SPAN_ARG(value));
    }
    buf_addz(out, "a table's `mode` and `history`.\n");
}
