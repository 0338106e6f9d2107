/* Broken configurations, and the first line of what is said about each. */
#include "harness.h"

#define DEMO "sources: {demo: {secrets: [{file: ./s}]}}\n"
#define IN_DEMO(text) "sources:\n  demo:\n    secrets: [{file: ./s}]\n" text
#define STRIPE(text) "sources:\n  stripe:\n    secrets: [{file: ./s}]\n" text

static const struct {
    const char *text, *said;
} rows[] = {
    /* the file as a whole */
    {"", "sluice.yaml: must be a map; `sluice init SOURCE` writes one to begin with"},
    {"- a\n", "sluice.yaml: must be a map; `sluice init SOURCE` writes one to begin with"},
    {"listen: 127.0.0.1:1\n", "sluice.yaml: no sources; write `sources: {stripe: {secrets: [{file: ./secrets/stripe}]}}`"},
    {"listen: a:1\nlisten: b:1\n" DEMO, "sluice.yaml:2:1: listen: the key is there twice, first in line 1"},
    {"data_dir: &d ./x\n" DEMO, "sluice.yaml:1:12: anchors are not understood here: write the value out where it is used"},
    {"listn: 127.0.0.1:1\n" DEMO, "sluice.yaml:1:1: no such key 'listn' (did you mean listen?)"},
    {"limits: {bodi: 1MiB}\n" DEMO, "sluice.yaml:1:10: limits: no such key 'bodi' (did you mean body?)"},
    {"staging: {objects: {cut_agee: 1s}}\n" DEMO, "sluice.yaml:1:21: staging.objects: no such key 'cut_agee' (did you mean cut_age?)"},
    {"limits: 7\n" DEMO, "sluice.yaml:1:9: limits: must be a map, such as limits: {body: …}"},
    {"staging: {objects: [1]}\n" DEMO, "sluice.yaml:1:11: staging.objects: must be a map, such as staging.objects: {url: …}"},
    /* values */
    {"listen: 8080\n" DEMO, "sluice.yaml:1:9: listen: '8080' is no address; write host:port, such as 127.0.0.1:8080 or [::1]:8080"},
    {"listen: \"h:+80\"\n" DEMO, "sluice.yaml:1:9: listen: 'h:+80' is no address; write host:port, such as 127.0.0.1:8080 or [::1]:8080"},
    {"listen: h:65536\n" DEMO, "sluice.yaml:1:9: listen: 'h:65536' is no address; write host:port, such as 127.0.0.1:8080 or [::1]:8080"},
    {"listen: ::1:80\n" DEMO, "sluice.yaml:1:9: listen: '::1:80' is no address; write host:port, such as 127.0.0.1:8080 or [::1]:8080"},
    {"listen: [a]\n" DEMO, "sluice.yaml:1:1: listen: must be a single value"},
    {"listen:\n" DEMO, "sluice.yaml:1:1: listen: has no value"},
    {"data_dir: \"\"\n" DEMO, "sluice.yaml:1:11: data_dir: is empty; leave it out for ./data"},
    {"public_url: hooks.example.com\n" DEMO, "sluice.yaml:1:13: public_url: 'hooks.example.com' is no URL; write https://host"},
    {"limits: {body: 1XiB}\n" DEMO, "sluice.yaml:1:16: limits.body: '1XiB' is no size; write bytes or KiB, MiB, GiB (default 26MiB)"},
    {"limits: {body: 1}\n" DEMO, "sluice.yaml:1:16: limits.body: 1 is too small: at least 1KiB (default 26MiB)"},
    {"limits: {body: 1GiB}\n" DEMO, "sluice.yaml:1:16: limits.body: 1GiB is too large: at most 256MiB (default 26MiB)"},
    {"limits: {idle: 30}\n" DEMO, "sluice.yaml:1:16: limits.idle: '30' is no duration; write ms, s, m, h or d (default 30s)"},
    {"limits: {connections: many}\n" DEMO, "sluice.yaml:1:23: limits.connections: 'many' is no whole number (default 4096)"},
    {"limits: {connections: 0}\n" DEMO, "sluice.yaml:1:23: limits.connections: 0 is too small: at least 1 (default 4096)"},
    {"journal: {max: 64MiB}\n" DEMO, "sluice.yaml:1:16: journal.max: journal.max must hold at least two segments of journal.segment"},
    {"admin: {listen: \"0.0.0.0:9\"}\n" DEMO, "sluice.yaml:1:17: admin.listen: 0.0.0.0 can be reached from other machines: write "
     "admin.token_file, or listen on 127.0.0.1 only"},
    {"admin: {listen: \"192.168.1.7:9\"}\n" DEMO, "sluice.yaml:1:17: admin.listen: 192.168.1.7 can be reached from other machines: write "
     "admin.token_file, or listen on 127.0.0.1 only"},
    {"admin: {listen: \"[::]:9\"}\n" DEMO, "sluice.yaml:1:17: admin.listen: :: can be reached from other machines: write "
     "admin.token_file, or listen on 127.0.0.1 only"},
    {"admin: {listen: \"[2001:db8::1]:9\"}\n" DEMO, "sluice.yaml:1:17: admin.listen: 2001:db8::1 can be reached from other machines: write "
     "admin.token_file, or listen on 127.0.0.1 only"},
    {"admin: {listen: \"admin.example.com:9\"}\n" DEMO, "sluice.yaml:1:17: admin.listen: admin.example.com can be reached from other machines: write "
     "admin.token_file, or listen on 127.0.0.1 only"},
    {"admin: {listen: \"128.0.0.1:9\"}\n" DEMO, "sluice.yaml:1:17: admin.listen: 128.0.0.1 can be reached from other machines: write "
     "admin.token_file, or listen on 127.0.0.1 only"},
    {"stop_within: 0s\n" DEMO, "sluice.yaml:1:14: stop_within: 0s is too small: at least 1s (default 30s)"},
    {"log: {format: jsn}\n" DEMO, "sluice.yaml:1:15: log.format: 'jsn' is not one of logfmt, json (did you mean json?)"},
    {"staging: {objects: {url: \"s3://b/p\"}}\n" DEMO,
     "sluice.yaml:1:26: staging.objects.url: 's3://b/p' names no bucket: 3 to 63 of a-z, 0-9, - and ., such as s3://my-bucket/sluice"},
    {"merge: {target: \"delta:./x\"}\n" DEMO,
     "sluice.yaml:1:17: merge.target: 'delta:./x': this version merges into SQLite only; write sqlite:./data/tables.db, or none"},
    /* not in this version */
    /* a bucket */
#define BUCKET(more) "staging: {objects: {url: \"s3://bucket/p\"" more "}}\n" DEMO
    {"staging: {objects: {url: \"s3://bucket/a//b\"}}\n" DEMO,
     "sluice.yaml:1:26: staging.objects.url: 's3://bucket/a//b' has no usable prefix: at most 256 of letters, digits, . _ = - and "
     "single /"},
    {"staging: {objects: {url: \"gs://bucket\"}}\n" DEMO,
     "sluice.yaml:1:26: staging.objects.url: 'gs://bucket' is no place for objects; write file://./data/staging or s3://bucket/prefix"},
    {"staging: {objects: {region: eu-west-1}}\n" DEMO,
     "sluice.yaml:1:29: staging.objects.region: region is for a bucket; write staging.objects.url: s3://bucket/prefix, or leave it out"},
    {BUCKET(", region: Europe"), "sluice.yaml:1:11: staging.objects: the region 'Europe' is none: a-z, 0-9 and -, such as eu-central-1"},
    {BUCKET(", access_key: {env: A}"),
     "sluice.yaml:1:11: staging.objects: access_key and secret_key belong together; write both, or neither"},
    {BUCKET(", session_token: {env: A}"), "sluice.yaml:1:11: staging.objects: session_token needs access_key and secret_key"},
    {BUCKET(", encryption: rot13"), "sluice.yaml:1:11: staging.objects: encryption 'rot13' is none; write AES256 or aws:kms"},
    {BUCKET(", encryption: AES256, encryption_key: k"), "sluice.yaml:1:11: staging.objects: encryption_key is for encryption: aws:kms"},
    {BUCKET(", endpoint: \"http://h/?a\""),
     "sluice.yaml:1:11: staging.objects: endpoint is the store's address alone, such as https://minio.example.com:9000"},
    {BUCKET(", style: host"), "sluice.yaml:1:50: staging.objects.style: 'host' is not one of auto, path, virtual"},
    {BUCKET(", compression: lz4"), "sluice.yaml:1:56: staging.objects.compression: 'lz4' is not one of zstd, gzip"},
    {BUCKET(", secret_key: abc"),
     "sluice.yaml:1:55: staging.objects.secret_key: a secret is not written into the file; write {file: ./secrets/name} or {env: NAME}"},
    {"ack: disk\n" DEMO, "sluice.yaml:1:6: ack: 'disk' is not one of journal, kafka"},
    /* Kafka */
    {"ack: kafka\n" DEMO, "sluice.yaml:1:6: ack: kafka needs the sink: write staging: {kafka: {brokers: \"host:9092\"}}"},
    {"staging: {kafka: }\n" DEMO, "sluice.yaml:1:11: staging.kafka: has no value; write {brokers: \"host:9092\"}, or leave it out"},
    {"staging: {kafka: {topic: a}}\n" DEMO, "sluice.yaml:1:11: staging.kafka: needs brokers: \"host:9092\", several with commas"},
    {"staging: {kafka: {brokers: a}}\n" DEMO,
     "sluice.yaml:1:28: staging.kafka.brokers: 'a' has no port; write host:9092, several with commas"},
    {"staging: {kafka: {brokers: \"a:1\", topics: t}}\n" DEMO,
     "sluice.yaml:1:35: staging.kafka: no such key 'topics' (did you mean topic?)"},
    {"staging: {kafka: {brokers: \"a:1\", topic: \"{sorce}\"}}\n" DEMO,
     "sluice.yaml:1:42: staging.kafka.topic: '{sorce}' is no topic: letters, digits, '.', '_' and '-', at most 249; {source} and "
     "{table} are replaced"},
    {"staging: {kafka: {brokers: \"a:1\", properties: {compresion.type: zstd}}}\n" DEMO,
     "sluice.yaml:1:48: staging.kafka.properties.compresion.type: librdkafka says: No such configuration property: \"compresion.type\" "
     "(did you mean compression.type?)"},
    {"staging: {kafka: {brokers: \"a:1\", properties: {compression.type: zst}}}\n" DEMO,
     "sluice.yaml:1:66: staging.kafka.properties.compression.type: librdkafka says: Invalid value \"zst\" for configuration property "
     "\"compression.codec\""},
    {"staging: {kafka: {brokers: \"a:1\", properties: {acks: 1}}}\n" DEMO,
     "sluice.yaml:1:54: staging.kafka.properties.acks: is the sink's own: a row counts as delivered when all in-sync replicas have "
     "it: leave it out"},
    {"staging: {kafka: {brokers: \"a:1\", properties: {sasl.password: word}}}\n" DEMO,
     "sluice.yaml:1:63: staging.kafka.properties.sasl.password: a secret is not written into the file; write {file: "
     "./secrets/name} or {env: NAME}"},
    {"staging: {kafka: {brokers: \"a:1\", properties: [a]}}\n" DEMO,
     "sluice.yaml:1:35: staging.kafka.properties: must be a map, such as {compression.type: zstd}"},
    /* TLS and proxies */
    {"tls: {cert: a}\n" DEMO, "sluice.yaml:1:13: tls.cert: tls needs both: {cert: FILE, key: FILE}"},
    {"tls: {key: a}\n" DEMO, "sluice.yaml:1:12: tls.key: tls needs both: {cert: FILE, key: FILE}"},
    {"tls: a\n" DEMO, "sluice.yaml:1:6: tls: must be a map, such as tls: {cert: …}"},
    {"proxies: 10.0.0.0/8\n" DEMO, "sluice.yaml:1:10: proxies: must be a list, such as [10.0.0.0/8, ::1]"},
    {"proxies: [a]\n" DEMO,
     "sluice.yaml:1:11: proxies[0]: 'a' is no address or block of addresses; write 10.0.0.0/8, fd00::/8 or 192.0.2.7"},
    {"proxies: [\"::1\", 10.1.0.0/8]\n" DEMO,
     "sluice.yaml:1:18: proxies[1]: '10.1.0.0/8' has bits behind its prefix; write 10.0.0.0/8, or the address alone"},
    {"proxies: [10.0.0.0/64]\n" DEMO,
     "sluice.yaml:1:11: proxies[0]: '10.0.0.0/64' what follows the / is the number of leading bits, 0 to 32"},
    {"limits: {head: 1ms}\n" DEMO, "sluice.yaml:1:16: limits.head: 1ms is too small: at least 1s (default 10s)"},
    /* variables */
    {"listen: ${SLUICE_TEST_UNSET}\n" DEMO,
     "sluice.yaml:1:9: listen: the environment variable SLUICE_TEST_UNSET is not set; ${SLUICE_TEST_UNSET:-default} gives it a default"},
    {"listen: ${SLUICE_TEST_EMPTY}\n" DEMO,
     "sluice.yaml:1:9: listen: the environment variable SLUICE_TEST_EMPTY is empty; ${SLUICE_TEST_EMPTY:-default} gives it a default"},
    {"listen: ${SLUICE_TEST_UNSET\n" DEMO, "sluice.yaml:1:9: listen: '${' without its '}'"},
    {"listen: \"${A B}\"\n" DEMO, "sluice.yaml:1:9: listen: 'A B' is no variable's name; write ${NAME} or ${NAME:-default}"},
    {"listen: ${SLUICE_TEST_WORD}\n" DEMO,
     "sluice.yaml:1:9: listen: '${SLUICE_TEST_WORD}' is no address; write host:port, such as 127.0.0.1:8080 or [::1]:8080"},
    {"log: {format: \"${SLUICE_TEST_WORD}\"}\n" DEMO,
     "sluice.yaml:1:15: log.format: what ${SLUICE_TEST_WORD} holds is not one of logfmt, json"},
    /* sources */
    {"sources: [demo]\n", "sluice.yaml:1:1: sources: must be a map: {stripe: {secrets: [{file: ./secrets/stripe}]}}"},
    {"sources: {Demo: {}}\n", "sluice.yaml:1:11: sources.Demo: 'Demo' is no source name: a-z first, then a-z, 0-9, _; at most 31"},
    {"sources: {dmo: {}}\n", "sluice.yaml:1:11: sources.dmo: there is no manifest 'dmo' (did you mean demo?)"},
    {"sources: {x: {manifest: strpe}}\n", "sluice.yaml:1:25: sources.x.manifest: there is no manifest 'strpe' (did you mean stripe?)"},
    {"sources: {demo: 7}\n", "sluice.yaml:1:17: sources.demo: must be a map, such as {secrets: [{file: ./secrets/demo}]}"},
    {IN_DEMO("    secrts: []\n"), "sluice.yaml:4:5: sources.demo: no such key 'secrts' (did you mean secrets?)"},
    {IN_DEMO("    verification: off\n"), "sluice.yaml:4:19: sources.demo.verification: 'off' is not one of none"},
    {IN_DEMO("    verification: none\n"),
     "sluice.yaml:4:19: sources.demo.verification: none, but there are secrets: leave out the one that is not meant"},
    {IN_DEMO("    webhook: of\n"), "sluice.yaml:4:14: sources.demo.webhook: 'of' is not one of off, on (did you mean off?)"},
    {IN_DEMO("    accounts: mny\n"), "sluice.yaml:4:15: sources.demo.accounts: 'mny' is not one of many, one (did you mean many?)"},
    {IN_DEMO("    backfill_from: 2024-13-01\n"),
     "sluice.yaml:4:20: sources.demo.backfill_from: is no day and no instant; write 2024-05-01 or 2024-05-01T00:00:00Z"},
    {IN_DEMO("    secrets_until: 2024-05-01\n"), "sluice.yaml:4:20: sources.demo.secrets_until: demo brings no secrets by handshake"},
    {IN_DEMO("    secrets_untill: 2024-05-01\n"), "sluice.yaml:4:5: sources.demo: no such key 'secrets_untill' (did you mean secrets_until?)"},
    {IN_DEMO("    base_url: ftp://x\n"), "sluice.yaml:4:15: sources.demo.base_url: 'ftp://x' is no URL; write https://host"},
    {IN_DEMO("    verify: {a: {}}\n"),
     "sluice.yaml:4:5: sources.demo.verify: only `manifest: generic` takes its verification from here; demo has its own"},
    {"sources: {acme: {manifest: generic}}\n",
     "sluice.yaml:1:11: sources.acme: `manifest: generic` needs `verify:` here (docs/manifests.md), or verification: none"},
    /* config */
    {STRIPE(""), "sluice.yaml:2:3: sources.stripe: lacks config.api_version: one version for webhooks and pulls, like 2026-07-29; other "
                 "events go to the dead letters"},
    {STRIPE("    config: {api_version: v, api_kye: {env: K}}\n"),
     "sluice.yaml:4:30: sources.stripe.config: no such key 'api_kye' (did you mean api_key?)"},
    {STRIPE("    config: {api_version: v, live: yes}\n"), "sluice.yaml:4:36: sources.stripe.config.live: 'yes' is not one of true, false"},
    {STRIPE("    config: {api_version: v, api_key: {file: ./k, retire_at: 2026-12-01T00:00:00Z}}\n"),
     "sluice.yaml:4:30: sources.stripe.config.api_key: retire_at is for what verifies: the list `secrets`"},
    {STRIPE("    config: {api_version: {env: SLUICE_TEST_UNSET}}\n"),
     "sluice.yaml:4:14: sources.stripe.config.api_version: the environment variable SLUICE_TEST_UNSET is not set"},
    {"sources: {own: {verification: none, config: {site: A!, plan: goldd}}}\n",
     "sluice.yaml:1:52: sources.own.config.site: 'A!' does not match ^[a-z]+$: the part before .example"},
    {"sources: {own: {verification: none, config: {site: a, plan: goldd}}}\n",
     "sluice.yaml:1:61: sources.own.config.plan: 'goldd' is not one of silver, gold (did you mean gold?)"},
    /* secrets */
    {"sources: {demo: {secrets: {file: ./s}}}\n", "sluice.yaml:1:18: sources.demo.secrets: must be a list: [{file: ./secrets/name}]"},
    {"sources: {demo: {secrets: [{}]}}\n", "sluice.yaml:1:28: sources.demo.secrets[0]: needs file: or env:"},
    {"sources: {demo: {secrets: [{file: ./s, env: S}]}}\n",
     "sluice.yaml:1:28: sources.demo.secrets[0]: needs one of file: and env:, not both"},
    {"sources: {demo: {secrets: [{fil: ./s}]}}\n",
     "sluice.yaml:1:28: sources.demo.secrets[0]: one of its keys is unknown (did you mean file?)"},
    {"sources: {demo: {secrets: [{file: ./s, retire_at: tomorrow}]}}\n",
     "sluice.yaml:1:51: sources.demo.secrets[0].retire_at: is no instant; write 2026-12-01T00:00:00Z"},
    {"sources: {demo: {secrets: [{file: \"./${USER}\"}]}}\n",
     "sluice.yaml:1:35: sources.demo.secrets[0].file: variables are not replaced where a secret is; {env: NAME} reads one"},
    {"sources: {demo: {secrets: [{env: A-B}]}}\n",
     "sluice.yaml:1:34: sources.demo.secrets[0].env: is no variable's name: letters, digits and _"},
    /* tables */
    {IN_DEMO("    tables: [custmers]\n"),
     "sluice.yaml:4:14: sources.demo.tables[0]: 'custmers' is not one of customers, invoices, subscriptions, events (did you mean customers?)"},
    {IN_DEMO("    tables: {custmers: {}}\n"),
     "sluice.yaml:4:14: sources.demo.tables.custmers: 'custmers' is not one of customers, invoices, subscriptions, events (did you mean "
     "customers?)"},
    {IN_DEMO("    tables: [customers, customers]\n"), "sluice.yaml:4:25: sources.demo.tables[1]: customers is there twice"},
    {IN_DEMO("    tables: []\n"),
     "sluice.yaml:4:5: sources.demo.tables: must be a list of tables, or a map of tables with settings; all are in use where it is left out"},
    {IN_DEMO("    tables: {customers: {column: {a: drop}}}\n"),
     "sluice.yaml:4:26: sources.demo.tables.customers: no such key 'column' (did you mean columns?)"},
    {IN_DEMO("    tables: {customers: {columns: {id: drop}}}\n"),
     "sluice.yaml:4:36: sources.demo.tables.customers.columns.id: is the key of customers: rows would lose their identity or order; it can't "
     "be changed"},
    {IN_DEMO("    tables: {customers: {columns: {id.x: hash}}}\n"),
     "sluice.yaml:4:36: sources.demo.tables.customers.columns.id.x: is the key of customers: rows would lose their identity or order; it "
     "can't be changed"},
    {IN_DEMO("    tables: {customers: {columns: {updated_at: drop}}}\n"),
     "sluice.yaml:4:36: sources.demo.tables.customers.columns.updated_at: is the version of customers: rows would lose their identity or "
     "order; it can't be changed"},
    {IN_DEMO("    tables: {invoices: {columns: {status: st}}}\n"),
     "sluice.yaml:4:35: sources.demo.tables.invoices.columns.status: is the rank of invoices: rows would lose their identity or order; it "
     "can't be changed"},
    {IN_DEMO("    tables: {invoices: {columns: {created: hash}}}\n"),
     "sluice.yaml:4:35: sources.demo.tables.invoices.columns.created: is the partition of invoices: rows would lose their identity or order; "
     "it can't be changed"},
    {IN_DEMO("    tables: {customers: {columns: {a: id}}}\n"),
     "sluice.yaml:4:39: sources.demo.tables.customers.columns.a: 'id' is the key of customers: no other column can take its name"},
    {IN_DEMO("    tables: {customers: {columns: {a: x, b: x}}}\n"),
     "sluice.yaml:4:45: sources.demo.tables.customers.columns.b: 'x' is the new name of a already"},
    {IN_DEMO("    tables: {customers: {columns: {a: _sluice_x}}}\n"),
     "sluice.yaml:4:39: sources.demo.tables.customers.columns.a: names that begin with _sluice_ are taken"},
    {IN_DEMO("    tables: {customers: {columns: {a..b: drop}}}\n"),
     "sluice.yaml:4:36: sources.demo.tables.customers.columns.a..b: is no path of a column; write name or name.inner"},
    {IN_DEMO("    tables: {customers: {columns: {a: x.y}}}\n"),
     "sluice.yaml:4:39: sources.demo.tables.customers.columns.a: must be drop, hash or a new name (at most 63 letters, digits and _)"},
    {IN_DEMO("    tables: {customers: {every: soon}}\n"),
     "sluice.yaml:4:33: sources.demo.tables.customers.every: 'soon' is no duration of a second or more; write 15m, 1h, 1d"},
    {IN_DEMO("    tables: {events: {every: 1h}}\n"), "sluice.yaml:4:30: sources.demo.tables.events.every: events has no list API to pull from"},
    {IN_DEMO("    tables: {customers: {deletes: flg}}\n"),
     "sluice.yaml:4:35: sources.demo.tables.customers.deletes: 'flg' is not one of flag, remove (did you mean flag?)"},
    {IN_DEMO("    tables: {customers: {history: true}}\n"),
     "sluice.yaml:4:35: sources.demo.tables.customers.history: not in this version: a table holds the newest state of each row"},
    {IN_DEMO("    tables: {all: {every: 1h}}\n"),
     "sluice.yaml:4:14: sources.demo.tables.all: takes no settings: it says that the tables without any are in use too"},
    /* includes */
    {DEMO "include: {a: b}\n", "sluice.yaml:2:1: include: must be a single value"},
    {DEMO "include: twice.yaml\n", "twice.yaml:2:3: sources.demo: the source is there already, in sluice.yaml:1"},
    {DEMO "include: [other.yaml]\n", "other.yaml:1:1: no such key 'listen'"},
    {DEMO "include: broken.yaml\n", "broken.yaml:1:1: not valid YAML: flow mapping with invalid extra closing brace"},
};

static void write_neighbours(struct world *w)
{
    world_write(w, "twice.yaml", "sources:\n  demo: {secrets: [{file: ./s}]}\n");
    world_write(w, "other.yaml", "listen: a:1\n");
    world_write(w, "broken.yaml", "}\n");
    world_write(w, "sources/own.yaml",
                "sluice: 1\nname: own\nverify: none\nevent: {id: body.id, type: body.type}\n"
                "config:\n  site: {pattern: \"^[a-z]+$\", help: the part before .example}\n"
                "  plan: {type: select, options: [silver, gold]}\n");
}

START_TEST(each_mistake_has_its_place_and_words)
{
    struct world w;
    world_open(&w);
    write_neighbours(&w);
    setenv("SLUICE_TEST_EMPTY", "", 1);
    setenv("SLUICE_TEST_WORD", "a-value-of-the-environment", 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(!world_load(&w, rows[i].text), "loaded:\n%s", rows[i].text);
        const char *said = world_said(&w);
        ck_assert_msg(strncmp(said, rows[i].said, strlen(rows[i].said)) == 0, "of:\n%s\nexpected: %s\nsaid:     %s", rows[i].text,
                      rows[i].said, said);
        ck_assert_int_eq(w.err.cls, ERR_CONFIG);
        ck_assert_ptr_null(strstr(said, "a-value-of-the-environment"));
    }
    world_close(&w);
}
END_TEST

START_TEST(mistakes_are_collected)
{
    struct world w;
    world_open(&w);
    ck_assert(!world_load(&w, "listn: a\nlimits: {body: x, idle: y}\nsources: {demo: {webhook: o, tables: [a, b]}}\n"));
    ck_assert_uint_eq(w.report.count, 6);
    struct buf many;
    buf_init(&many, 0);
    for (int i = 0; i < 60; i++)
        buf_addf(&many, "unknown%d: x\n", i);
    ck_assert(!world_load(&w, buf_z(&many)));
    ck_assert_ptr_nonnull(strstr(world_said(&w), "unknown19"));
    ck_assert_ptr_null(strstr(world_said(&w), "unknown20"));
    buf_release(&many);
    world_close(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("config mistakes");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    tcase_add_test(t, each_mistake_has_its_place_and_words);
    tcase_add_test(t, mistakes_are_collected);
    return run(s);
}
