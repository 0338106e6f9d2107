#include "cli/registry.h"

const struct command commands[] = {
    {"init", NULL, "SOURCE [--url URL]", "write sluice.yaml, secrets/ and .gitignore for a provider",
     "  Asks for what the provider's manifest needs; secrets are read without echo and stored 0600.\n"
     "  --url URL    the address under which providers reach this machine (public_url)\n"
     "  --dir DIR    the folder to write into (default: here)",
     LOCAL_ONLY, NULL, cmd_init},
    {"serve", NULL, "", "the endpoint, the sinks, the scheduled pulls and merges",
     "  Ends in order on SIGTERM or Ctrl-C: what is accepted is stored, staged and merged at the next start at the latest.\n"
     "  SIGHUP, or a change of the configuration's files, reloads it: sources come, change and go without a refused request.\n"
     "  It raises alarms (`sluice status`), posts them to alarms.post, and with catch_up: auto pulls what was missed.",
     NEEDS_CONFIG | LOCAL_ONLY, NULL, cmd_serve},
    {"backfill", NULL, "SOURCE [TABLE…]", "pull history from the provider's list APIs; resumable",
     "  --full           ignore watermarks and read everything again\n"
     "  --from DATE      only what was made or changed since then (2024-05-01 or a full instant)\n"
     "  --to DATE        only what was made or changed before then\n"
     "  --max-rows N     stop after the page that reaches N rows (exit 3)\n"
     "  --dry-run        ask for one page of each table, store nothing\n\n"
     "  Ctrl-C stops after a complete page; the same command continues there.",
     NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_backfill},
    {"merge", NULL, "[SOURCE [TABLE]]", "bring what is journalled into the tables",
     "  Stages what the journal still holds, then merges what is staged.\n"
     "  --follow         go on until Ctrl-C\n"
     "  --once           one pass (the default)",
     NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_merge},
    {"drain", NULL, "", "before a stop for good: bring what is journalled to every sink",
     "  /readyz says 503 from now on; deliveries are still taken. After drain_delay all that is journalled is staged, and sent\n"
     "  to Kafka where it is configured. The stop that follows does the same for what came in between. Nothing ends by it.\n"
     "  --within DURATION  give up after that long (default 60s; exit 1)",
     NEEDS_INSTANCE, NULL, cmd_drain},
    {"status", NULL, "[SOURCE]", "how each source and table is, why, and what to do",
     "  With SOURCE a line for each table, too: its last pull (running, completed, failed, paused, limited), watermark, next\n"
     "  pull, rows, what waits to be staged and merged, dead letters, missed events. --json has all of it for all sources.\n\n"
     "  Exits 1 when the books do not balance or a source is failing.", NEEDS_INSTANCE, NULL, cmd_status},
    {"source", "list", "", "the configured sources and the providers that are known", "", NEEDS_NOTHING | LOCAL_ONLY, NULL,
     cmd_source_list},
    {"source", "show", "NAME", "what a provider's manifest says: verification, tables, columns", "",
     NEEDS_NOTHING | LOCAL_ONLY, NULL, cmd_source_show},
    {"source", "check", "NAME|FILE", "check a manifest, with the place of every mistake", "", NEEDS_NOTHING | LOCAL_ONLY, NULL,
     cmd_source_check},
    {"table", "list", "[SOURCE]", "the merged tables, their rows and their freshness", "", NEEDS_INSTANCE, NULL,
     cmd_table_list},
    {"table", "head", "SOURCE TABLE", "the newest rows of a table", "  -n N         how many (default 10)", NEEDS_INSTANCE,
     NULL, cmd_table_head},
    {"table", "explain", "SOURCE TABLE KEY", "which entries made this row, which lost and why",
     "  KEY is the value of a single-column key, or a JSON object of the key's columns.", NEEDS_INSTANCE, NULL,
     cmd_table_explain},
    {"table", "pause", "SOURCE TABLE", "no pulls and no merge of a table; what comes in is kept and staged", "",
     NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_table_pause},
    {"table", "resume", "SOURCE TABLE", "let a paused table go on", "", NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_table_resume},
    {"table", "cancel", "SOURCE TABLE", "end the pull of a table; the next one begins anew", "", NEEDS_INSTANCE | NEEDS_WRITE,
     NULL, cmd_table_cancel},
    {"table", "pull", "SOURCE TABLE", "pull a table now, whatever its schedule",
     "  A running server does it; without one it is done here.", NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_table_pull},
    {"table", "reset", "SOURCE TABLE", "empty a table and pull it from its beginning",
     "  Says what goes, then asks, or takes --yes.",
     NEEDS_INSTANCE | NEEDS_WRITE | ASKS_FIRST, NULL, cmd_table_reset},
    {"table", "drop", "SOURCE TABLE", "empty a table",
     "  Says what goes, then asks, or takes --yes. What comes later is merged into it.",
     NEEDS_INSTANCE | NEEDS_WRITE | ASKS_FIRST, NULL, cmd_table_drop},
    {"table", "set", "SOURCE TABLE", "how a table is pulled",
     "  --mode MODE          full (every pull reads everything), incremental, or manifest\n"
     "  --incremental FIELD  the field that incremental pulls ask by, in place of the manifest's; `manifest` takes it back.\n"
     "                       Another field forgets how far the last pull came.",
     NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_table_set},
    {"table", "audit", "[SOURCE [TABLE]]", "who ordered what for which table, newest first",
     "  -n N         how many (default 20)",
     NEEDS_INSTANCE, NULL, cmd_table_audit},
    {"trace", NULL, "ENTRY", "where one event is now: journal, staging, table",
     "  ENTRY is the id of the response header Sluice-Entry: <node>/<lane>/<seq>.", NEEDS_INSTANCE, NULL, cmd_trace},
    {"deliveries", NULL, "SOURCE", "the last deliveries of a source, newest first: what became of each, size, time taken",
     "  -n N             how many (default 20)\n"
     "  --outcome WORD   accepted, duplicate, handshake, bad_signature, …, or rejected for all that were refused\n"
     "  --id ID          of this event\n"
     "  --type GLOB      of events of this type\n\n"
     "  retention.deliveries says how many are kept. Ids and types are those of stored events.",
     NEEDS_INSTANCE, NULL, cmd_deliveries},
    {"events", "list", "[SOURCE]", "the raw journal, newest last",
     "  -n N         how many (default 20)\n"
     "  --type GLOB  only events of this type\n"
     "  --lane LANE  events (default) or backfill\n"
     "  --from SEQ   start at this sequence number instead of the end",
     NEEDS_INSTANCE, NULL, cmd_events_list},
    {"events", "show", "ENTRY", "one entry: headers, how it was verified, body", "  --body       the raw body only",
     NEEDS_INSTANCE, NULL, cmd_events_show},
    {"events", "check", "", "read every checksum of the journal", "  Exits 1 when there is damage.", NEEDS_INSTANCE, NULL,
     cmd_events_check},
    {"events", "replay", "[SOURCE]", "stage entries of the archive and the journal once more, with the present transforms",
     "  --from TIME      received since then (2026-05-01 or a full instant)\n"
     "  --to TIME        received before then\n"
     "  --id ID          one entry or event\n"
     "  --type GLOB      only events of this type\n"
     "  --lane LANE      events (default) or backfill\n"
     "  --dry-run        only count them\n\n"
     "  The archive is there with staging.objects.archive: true. The same replay twice changes nothing.",
     NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_events_replay},
    {"dead", "list", "[SOURCE]", "entries that could not become rows, with the reason", "  -n N         how many (default 50)",
     NEEDS_INSTANCE, NULL, cmd_dead_list},
    {"dead", "show", "ID", "one dead letter with its entry", "", NEEDS_INSTANCE, NULL, cmd_dead_show},
    {"dead", "retry", "SOURCE [ID]", "run dead letters through the transform again", "", NEEDS_INSTANCE | NEEDS_WRITE, NULL,
     cmd_dead_retry},
    {"dead", "drop", "SOURCE [ID]", "forget dead letters (their raw entries stay in the journal)", "",
     NEEDS_INSTANCE | NEEDS_WRITE | ASKS_FIRST, NULL, cmd_dead_drop},
    {"secret", "list", "[SOURCE]", "which secrets verify deliveries: id, first seen, last used, until when; never a value",
     "  Beside a running server as it holds them, with those that were replaced and still have their grace.",
     NEEDS_INSTANCE, NULL, cmd_secret_list},
    {"secret", "add", "SOURCE --from FILE", "store the signing secret of a source, where it has none yet",
     "  --from FILE      what the provider showed (- is stdin)\n\n"
     "  It goes into the first file among the source's `secrets` (0600), or with kubernetes.secret into that Secret.\n"
     "  One that is there is not replaced: sluice secret rotate.",
     NEEDS_INSTANCE | NEEDS_WRITE, "--from", cmd_secret_add},
    {"secret", "rotate", "SOURCE", "another signing secret, without losing a delivery; resumable",
     "  --from FILE      the new secret, where a person gets it from the provider (- is stdin)\n"
     "  --grace TIME     how long the old secret verifies at most (default: secret_grace)\n"
     "  --unused TIME    it is retired when it was unused for so long and the new one is in use (default 1h)\n"
     "  --no-wait        return when the provider is moved; the same command goes on later (exit 3)\n\n"
     "  The new secret verifies beside the old one before the provider signs with it. By the provider's own call, by a second\n"
     "  endpoint, or, where it has neither, it says what a person does. Ctrl-C stops; the same command continues.",
     NEEDS_INSTANCE | NEEDS_WRITE, "--from", cmd_secret_rotate},
    {"webhook", "register", "SOURCE [--url URL]",
     "make the provider post to us: creates or updates the endpoint, stores its secret",
     "  --url URL    the address under which the provider reaches this machine (default: public_url)\n\n"
     "  The events are those that the tables in use need. Run twice it changes nothing. Where the provider has no API it says\n"
     "  what a person does (exit 3).",
     NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_webhook_register},
    {"webhook", "list", "SOURCE", "the endpoints that the provider has, ours marked", "", NEEDS_INSTANCE | NEEDS_WRITE, NULL,
     cmd_webhook_list},
    {"webhook", "info", "SOURCE", "is the endpoint there, enabled, with the events that are wanted; its last error and delivery",
     "  Exits 1 when something of it is not as it should be.", NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_webhook_info},
    {"webhook", "update", "SOURCE [--url URL]", "bring the endpoint to the wanted events and address, and enable it",
     "  --url URL    another address", NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_webhook_update},
    {"webhook", "delete", "SOURCE", "remove the endpoint at the provider",
     "  --force      also while tables live on its deliveries", NEEDS_INSTANCE | NEEDS_WRITE | ASKS_FIRST, NULL,
     cmd_webhook_delete},
    {"connect", NULL, "SOURCE [--url URL]", "check, register, backfill, status: what connects a source; resumable",
     "  --url URL        the address under which the provider reaches this machine (default: public_url)\n"
     "  --timeout TIME   how long to wait for the first signed delivery (default 10m)\n\n"
     "  What is done already is not done again. Where the provider has no API it prints what to click and waits.",
     NEEDS_INSTANCE | NEEDS_WRITE, NULL, cmd_connect},
    {"verify", NULL, "SOURCE", "is a captured request genuine, and if not, at which step not",
     "  --request FILE   one request as JSON (method, url, headers, body_base64, now_unix)\n"
     "  --last-rejected  the request of this source that the server refused last, at its time of receipt\n"
     "  -n N             with it: the last N, the newest first\n"
     "  --vectors FILE   a list of requests with the outcome expected of each\n"
     "  --manifest FILE  a manifest that is not installed\n\n"
     "  Without secrets in the file those of the configured source are used, as they are now.\n"
     "  Exits 1 when a request is not found genuine.",
     LOCAL_ONLY | ASKS_SERVER, "--request --vectors", cmd_verify},
    {"capture", NULL, "", "take one request on a port of its own and keep it as a file for verify",
     "  --listen ADDR:PORT  where (default 127.0.0.1:8787; port 0 takes a free one)\n"
     "  --out FILE          the file (default captured.json); never overwrites: captured-2.json, …\n"
     "  --timeout DURATION  how long to wait (default 10m)\n\n"
     "  Any method, any path, answered 200; nothing is journalled. The file holds the request as it came, credentials\n"
     "  included, and only its owner can read it (0600).",
     LOCAL_ONLY, NULL, cmd_capture},
    {"transform", NULL, "SOURCE", "which rows an event becomes",
     "  --data FILE      the event's body (- is stdin)\n"
     "  --header N:V     a header, may be given several times\n"
     "  --request FILE   instead of both: a request that `sluice capture` kept\n"
     "  --manifest FILE  a manifest that is not installed",
     LOCAL_ONLY, "--data --request", cmd_transform},
    {"send", NULL, "SOURCE", "sign an event as the provider would and post it to the running server",
     "  --data FILE      the body (- is stdin); without it a small example is made\n"
     "  --type TYPE      the example's event type\n"
     "  --url URL        where to (default: the configured listen address)\n"
     "  --count N        how many (default 1)",
     NEEDS_CONFIG | LOCAL_ONLY, "--data", cmd_send},
    {"prove", NULL, "", "kill a server under load on this disk, count what was acknowledged and what is there",
     "  --dir DIR          the folder to try (default: here); a scratch folder is made in it and removed\n"
     "  --kills N          how often the server is killed with -9 and started again (default 10)\n"
     "  --connections N    senders at once (default 64)\n\n"
     "  Exits 1 unless nothing acknowledged was lost, nothing is there twice, and nothing forged was accepted.",
     NEEDS_NOTHING | LOCAL_ONLY, NULL, cmd_prove},
    {"config", "check", "", "read the configuration and say what is wrong or risky", "", NEEDS_NOTHING | LOCAL_ONLY, NULL,
     cmd_config_check},
    {NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL},
};

const struct command *command_find(const char *name, const char *sub)
{
    for (const struct command *c = commands; c->name; c++)
        if (strcmp(c->name, name) == 0 && (sub ? c->sub && strcmp(c->sub, sub) == 0 : !c->sub))
            return c;
    return NULL;
}
