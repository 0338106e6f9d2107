/* The keys outside of sources, as rows; reading them by their rows. */
#include "config/internal.h"
#include "core/clock.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define AT(field) offsetof(struct config, field), sizeof(((struct config *)0)->field)
#define NOWHERE 0, 0
#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define MS UINT64_C(1000)
#define SECOND (1000 * MS)
#define DAY (86400 * SECOND)
#define BODY_MAX (256 * MIB)

const struct key_row config_keys[] = {
    {"listen", KEY_ADDRESS, AT(listen), "127.0.0.1:8080", 0, 0, NULL, "where providers post to; port 0 takes a free one", false},
    {"public_url", KEY_URL, AT(public_url), "", 0, 0, NULL,
     "the address under which providers reach this listener; for schemes that sign the URL, and for registration", false},
    {"admin.listen", KEY_ADDRESS, AT(admin), "", 0, 0, NULL, 
     "where GET /metrics, /livez, /readyz and the API (api.yaml) are served; none, where left out; beyond this machine only with "
     "a token", false},
    {"admin.token_file", KEY_SECRET, AT(admin_token), "", 0, 0, NULL,
     "the file with the token that /metrics and the API ask for, as Authorization: Bearer; /livez and /readyz never do. Without "
     "it there is no API. A replaced token counts within a second", false},
    {"data_dir", KEY_PATH, AT(data_dir), "./data", 0, 0, NULL,
     "the journal and the state; one process at a time writes it", false},
    {"ack", KEY_WORD, AT(ack_kafka), "journal", 0, 0, "journal kafka",
     "a 2xx is sent after the journal's fdatasync, or (`kafka`) once all in-sync replicas have the event's rows, too", false},
    {"staging.objects.url", KEY_URL, AT(objects_dir), "file://./data/staging", 0, 0, NULL,
     "where staged objects go: file://folder or s3://bucket/prefix; see [staging.md](staging.md)", false},
    {"staging.objects.endpoint", KEY_URL, AT(objects.endpoint), "", 0, 0, NULL,
     "the address of the S3 store, such as https://minio.example.com:9000; Amazon's of the region, where left out", false},
    {"staging.objects.region", KEY_TEXT, AT(objects.region), "", 0, 0, NULL,
     "the bucket's region; where left out AWS_REGION, AWS_DEFAULT_REGION, us-east-1; another one that the store names is taken",
     false},
    {"staging.objects.style", KEY_WORD, AT(objects.style), "auto", 0, 0, "auto path virtual",
     "whether the bucket stands in the path or in the host's name; auto: in the host's name at Amazon, in the path elsewhere",
     false},
    {"staging.objects.signature", KEY_WORD, AT(objects.v2), "v4", 0, 0, "v4 v2",
     "how requests are signed; v2 for stores that know nothing newer: it has no session tokens", false},
    {"staging.objects.access_key", KEY_REF, AT(objects.access_key), "", 0, 0, NULL,
     "the access key; with neither it nor secret_key the credentials are looked for where AWS' tools look: environment, web "
     "identity, ~/.aws/credentials, a container's endpoint", false},
    {"staging.objects.secret_key", KEY_REF, AT(objects.secret_key), "", 0, 0, NULL, "its secret key", false},
    {"staging.objects.session_token", KEY_REF, AT(objects.session_token), "", 0, 0, NULL,
     "the session token of temporary keys; their files are read again when the store says that they are over", false},
    {"staging.objects.encryption", KEY_TEXT, AT(objects.encryption), "", 0, 0, NULL,
     "encryption by the store (x-amz-server-side-encryption): AES256 or aws:kms", false},
    {"staging.objects.encryption_key", KEY_TEXT, AT(objects.encryption_key), "", 0, 0, NULL,
     "with aws:kms: the id of the key, where it is not the account's own", false},
    {"staging.objects.ca", KEY_PATH, AT(objects.ca_file), "", 0, 0, NULL,
     "certificates that the store's TLS is checked against, PEM; the system's, where left out", false},
    {"staging.objects.compression", KEY_WORD, AT(objects.gzip), "zstd", 0, 0, "zstd gzip",
     "of objects that are written; both are read, by the object's name", false},
    {"staging.objects.archive", KEY_WORD, AT(objects.archive), "false", 0, 0, "false true",
     "sealed segments of the journal go to the objects before retention.raw removes them; `sluice events replay` reads them",
     false},
    {"staging.objects.compact", KEY_DURATION, AT(objects.compact_us), "0s", 0, 30 * DAY, NULL,
     "small objects of a table and day that was quiet for so long are joined into one; 0s: never. Readers other than Sluice must "
     "honour the manifest ([staging.md](staging.md))", false},
    {"staging.objects.cut_bytes", KEY_SIZE, AT(cut_bytes), "64MiB", KIB, 0, NULL,
     "an object is cut when this much text is in it, before compression", false},
    {"staging.objects.cut_age", KEY_DURATION, AT(cut_age_us), "60s", MS, DAY, NULL,
     "or when its oldest entry is this old", false},
    {"staging.kafka.brokers", KEY_TEXT, AT(kafka.brokers), "", 0, 0, NULL,
     "host:port, several with commas: rows are also sent to Apache Kafka ([kafka.md](kafka.md)); none, where left out", false},
    {"staging.kafka.topic", KEY_TEXT, AT(kafka.topic), "sluice.{source}.{table}", 0, 0, NULL,
     "the topic of a row, by its source and table; without them one topic takes all", false},
    {"staging.kafka.transactional", KEY_WORD, AT(kafka.transactional), "false", 0, 0, "false true",
     "rows and position in one Kafka transaction: readers with `read_committed` see each entry exactly once, also after kill -9",
     false},
    {"staging.kafka.positions", KEY_TEXT, AT(kafka.positions), "sluice.positions", 0, 0, NULL,
     "with `transactional`: the topic, without messages, by whose offsets the position is kept; several nodes may share it",
     false},
    {"staging.kafka.cloudevents", KEY_WORD, AT(kafka.cloudevents), "false", 0, 0, "false true",
     "CloudEvents 1.0 headers as well (binary mode)", false},
    {"staging.kafka.properties", KEY_PROPERTIES, NOWHERE, "", 0, 0, NULL,
     "settings of librdkafka by their own names, such as `{compression.type: zstd}`; secrets as {file: …} or {env: …}", false},
    {"merge.target", KEY_URL, AT(merge_db), "sqlite:./data/tables.db", 0, 0, NULL,
     "the tables: sqlite:file; `none`: another process merges what this one stages", false},
    {"merge.every", KEY_DURATION, AT(merge_every_us), "1s", MS, DAY, NULL, "how often staged objects are looked for", false},
    {"alarms.post", KEY_REF, AT(alarms_post), "", 0, 0, NULL,
     "the URL that alarms are posted to, which is a secret; none, where left out ([alarms.md](alarms.md))", false},
    {"alarms.format", KEY_WORD, AT(alarms_format), "auto", 0, 0, "auto slack standard",
     "`slack`: a line of text; `standard`: a Standard Webhook; auto: by the URL's host", false},
    {"alarms.secret", KEY_REF, AT(alarms_secret), "", 0, 0, NULL,
     "what Standard Webhooks of alarms are signed with (`whsec_` and base64); not signed, where left out", false},
    {"alarms.learn", KEY_DURATION, AT(alarms_learn_us), "7d", SECOND, 90 * DAY, NULL,
     "how long a source is watched before its silence can be unusual; a week has a week-end in it", false},
    {"alarms.unshipped", KEY_DURATION, AT(alarms_unshipped_us), "15m", SECOND, 30 * DAY, NULL,
     "the age of the oldest entry that a sink has not taken, at which an alarm is raised; at least three times "
     "staging.objects.cut_age", false},
    {"alarms.check", KEY_DURATION, AT(alarms_check_us), "1h", SECOND, 30 * DAY, NULL,
     "how often it is asked whether the endpoints that were registered at providers are as they were", false},
    {"catch_up", KEY_WORD, AT(catch_up), "off", 0, 0, "off auto",
     "`auto`: after a downtime, a silence or an endpoint that was lost, the provider's log of events is pulled from where it "
     "was left", false},
    {"retention.raw", KEY_DURATION, AT(retain_raw_us), "7d", 0, 0, NULL,
     "how long raw entries stay in the journal once they are staged; shorter when it is nearly full", false},
    {"retention.rejected", KEY_NUMBER, AT(rejected_max), "100", 0, 100000, NULL,
     "how many of the last rejected requests are kept for each source; at most 4 MiB of them; 0 keeps none", false},
    {"retention.deliveries", KEY_NUMBER, AT(deliveries_max), "1000", 0, 100000, NULL,
     "how many of the last deliveries are listed for each source (`sluice deliveries`); 0 lists none", false},
    {"retention.runs", KEY_DURATION, AT(retain_runs_us), "90d", 0, 0, NULL, "how long the history of pulls is kept", true},
    {"journal.max", KEY_SIZE, AT(journal_max_bytes), "20GiB", MIB, 0, NULL,
     "the journal's size at which deliveries are answered 503", false},
    {"journal.reserve", KEY_SIZE, AT(journal_reserve_bytes), "256MiB", 0, 0, NULL,
     "free disk below which deliveries are answered 503", false},
    {"journal.segment", KEY_SIZE, AT(segment_bytes), "64MiB", 64 * KIB, 4096 * MIB, NULL,
     "a new segment file begins at this size", false},
    {"limits.body", KEY_SIZE, AT(body_bytes_max), "26MiB", KIB, BODY_MAX, NULL, "largest body of a delivery (413 above)", false},
    {"limits.headers", KEY_SIZE, AT(header_bytes_max), "32KiB", 4 * KIB, MIB, NULL,
     "memory for the headers of one request (431 above)", false},
    {"limits.connections", KEY_NUMBER, AT(connections_max), "4096", 1, 100000, NULL, "open connections in all", false},
    {"limits.per_address", KEY_NUMBER, AT(per_address_max), "256", 0, 100000, NULL,
     "open connections of one address, so that one sender cannot take all; an IPv6 /64 is one address. One of `proxies` has no "
     "limit: there it is the open requests of one forwarded address (503 above). 0: no limit", false},
    {"limits.idle", KEY_DURATION, AT(idle_us), "30s", SECOND, 3600 * SECOND, NULL,
     "a connection that sends nothing is closed after this", false},
    {"limits.head", KEY_DURATION, AT(head_us), "10s", SECOND, 3600 * SECOND, NULL,
     "longest time of a request's head from its first byte, with TLS the handshake has as long, from the connection on: "
     "who drips is cut off",
     false},
    {"limits.body_time", KEY_DURATION, AT(body_us), "60s", SECOND, 3600 * SECOND, NULL,
     "longest time of a request's body from the end of its head", false},
    {"limits.request", KEY_DURATION, AT(request_us), "60s", SECOND, 3600 * SECOND, NULL,
     "longest time of one whole request, head and body together", false},
    {"secret_grace", KEY_DURATION, AT(secret_grace_us), "24h", 0, 90 * DAY, NULL,
     "how long a secret that was replaced in its file still verifies deliveries", false},
    {"kubernetes.secret", KEY_TEXT, AT(kubernetes.secret), "", 0, 0, NULL,
     "the Kubernetes Secret into which `webhook register` and `secret rotate` write, under the names of the sources' secret "
     "files, "
     "which it is mounted as; left out: they write the files", false},
    {"kubernetes.namespace", KEY_TEXT, AT(kubernetes.namespace_), "", 0, 0, NULL, "its namespace; left out: the pod's", false},
    {"kubernetes.api", KEY_TEXT, AT(kubernetes.api), "", 0, 0, NULL,
     "the API server; left out: as the pod's environment says", false},
    {"kubernetes.account", KEY_PATH, AT(kubernetes.account), "/var/run/secrets/kubernetes.io/serviceaccount", 0, 0, NULL,
     "the folder of the service account: token, ca.crt, namespace", false},
    {"limits.ack", KEY_DURATION, AT(ack_us), "4s", 100 * MS, 600 * SECOND, NULL,
     "`ack: kafka`: how long a delivery waits for Kafka; then it is answered 503, and the sender's next try waits for the same "
     "rows", false},
    {"limits.threads", KEY_NUMBER, AT(threads), "0", 0, 64, NULL, "epoll workers; 0: as many as cores, at most 4", false},
    {"drain_delay", KEY_DURATION, AT(drain_us), "0s", 0, 600 * SECOND, NULL,
     "how long requests are still taken after SIGTERM; /readyz says 503 meanwhile", false},
    {"stop_within", KEY_DURATION, AT(stop_us), "30s", SECOND, 3600 * SECOND, NULL,
     "longest time of an orderly stop, behind drain_delay; then the process ends with exit code 1", false},
    {"proxies", KEY_BLOCKS, AT(proxies), "", 0, 0, NULL,
     "whose `X-Forwarded-For` is believed: the rightmost address in it that is no such proxy is the client; from anybody else "
     "the header is kept with the event and means nothing", false},
    {"tls.cert", KEY_PATH, AT(tls_cert), "", 0, 0, NULL,
     "the certificate and those between it and the root, PEM; with it the listener speaks TLS 1.2 and 1.3 only. Replaced files "
     "are taken up within ten seconds, open connections go on", false},
    {"tls.key", KEY_PATH, AT(tls_key), "", 0, 0, NULL, "its private key, PEM without a password; mode 0600", false},
    {"log.level", KEY_WORD, AT(log_level), "info", 0, 0, "info debug warn error",
     "the least that is told; `debug` has one line for each request", false},
    {"log.format", KEY_WORD, AT(log_json), "logfmt", 0, 0, "logfmt json", "the form of log lines on stderr", false},
    {NULL, 0, 0, 0, NULL, 0, 0, NULL, NULL, false},
};

const struct later_row config_later[] = {
    {NULL, NULL},
};

static bool digits(const char *z, uint64_t *ret)
{
    return clock_parse_digits(span_of(z), 'u', ret);
}

static void set_address(struct loading *l, const struct yaml_node *n, const char *text, struct listen_addr *at)
{
    if (!*text)
        return; /* the fallback of what is optional */
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    struct span host = {text, colon ? (size_t)(colon - text) : 0};
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct span){host.p + 1, host.n - 2};
    else if (memchr(host.p, ':', host.n))
        host.n = 0; /* an IPv6 address without its brackets: where the port begins is a guess */
    bool odd = !host.n || memchr(host.p, ' ', host.n) || memchr(host.p, '/', host.n);
    if (odd || !digits(colon + 1, &port) || port > 65535) {
        report_at(l->r, n, "'%s' is no address; write host:port, such as 127.0.0.1:8080 or [::1]:8080",
                  config_shown(l, n, text));
        return;
    }
    at->host = arena_dup(l->c->arena, host);
    at->port = (uint16_t)port;
}

static void set_url(struct loading *l, const struct yaml_node *n, const struct key_row *k, const char *text,
                    const char **at)
{
    struct span s = span_of(text);
    const char *shown = config_shown(l, n, text);
    if (k->offset == offsetof(struct config, objects_dir)) {
        if (span_starts(s, SPAN_LIT("file://")) && s.n > 7)
            *at = config_path(l, span_skip(s, 7));
        else if (span_starts(s, SPAN_LIT("s3://")))
            (void)config_read_bucket(l, n, text);
        else
            report_at(l->r, n, "'%s' is no place for objects; write file://./data/staging or s3://bucket/prefix", shown);
    } else if (k->offset == offsetof(struct config, merge_db)) {
        if (span_starts(s, SPAN_LIT("sqlite:")) && s.n > 7)
            *at = config_path(l, span_skip(s, 7));
        else if (!span_eqz(s, "none"))
            report_at(l->r, n, "'%s': this version merges into SQLite only; write sqlite:./data/tables.db, or none", shown);
    } else if (config_is_url(text)) {
        *at = text;
    } else if (s.n) {
        report_at(l->r, n, "'%s' is no URL; write https://host", shown);
    }
}

static bool in_range(struct loading *l, const struct yaml_node *n, const struct key_row *k, const char *text,
                     uint64_t v)
{
    if (v >= k->least && (!k->most || v <= k->most))
        return true;
    struct buf b;
    buf_init(&b, 256);
    buf_addz(&b, v < k->least ? "at least " : "at most ");
    config_quantity(&b, k->type, v < k->least ? k->least : k->most);
    report_at(l->r, n, "%s is too %s: %s (default %s)", config_shown(l, n, text),
              v < k->least ? "small" : "large", buf_z(&b), k->fallback);
    buf_release(&b);
    return false;
}

static void set_number(struct loading *l, const struct yaml_node *n, const struct key_row *k, const char *text, void *at)
{
    static const char *const what[] = {
        [KEY_SIZE] = "size; write bytes or KiB, MiB, GiB",
        [KEY_DURATION] = "duration; write ms, s, m, h or d",
        [KEY_NUMBER] = "whole number",
    };
    uint64_t v = 0;
    struct span s = span_of(text);
    bool ok = k->type == KEY_SIZE       ? clock_parse_size(s, &v)
              : k->type == KEY_DURATION ? clock_parse_duration(s, &v)
                                        : digits(text, &v);
    if (!ok) {
        report_at(l->r, n, "'%s' is no %s (default %s)", config_shown(l, n, text), what[k->type], k->fallback);
        return;
    }
    if (!in_range(l, n, k, text, v))
        return;
    if (k->width == sizeof(uint32_t))
        *(uint32_t *)at = (uint32_t)v;
    else
        *(uint64_t *)at = v;
}

static void set_word(struct loading *l, const struct yaml_node *n, const struct key_row *k, const char *text, void *at)
{
    const char *words[8];
    size_t count = 0, i;
    for (struct span rest = span_of(k->words); rest.p && count < 7;)
        words[count++] = arena_dup(l->c->arena, span_cut(rest, ' ', &rest));
    words[count] = NULL;
    for (const struct later_row *later = config_later; later->path; later++) {
        struct span word, path = span_cut(span_of(later->path), '=', &word);
        if (span_eqz(path, k->path) && word.n && span_eqz(word, text)) {
            report_at(l->r, n, "'%s' is not in this version: %s", text, later->prose);
            return;
        }
    }
    if (!n || !config_word(l, n, words, &i) || !k->width)
        return; /* where the key is left out: the first word */
    if (k->width == sizeof(bool))
        *(bool *)at = i == 1;
    else
        *(unsigned *)at = (unsigned)i;
}

static void set_key(struct loading *l, const struct yaml_node *n, const struct key_row *k, const char *text)
{
    void *at = (char *)l->c + k->offset;
    switch (k->type) {
    case KEY_ADDRESS:
        set_address(l, n, text, at);
        break;
    case KEY_PATH:
        *(const char **)at = *text ? config_path(l, span_of(text)) : NULL;
        break;
    case KEY_SECRET:
        if (*text)
            *(struct secret_ref *)at = (struct secret_ref){.kind = SECRET_FILE, .at = config_path(l, span_of(text))};
        break;
    case KEY_URL:
        set_url(l, n, k, text, at);
        break;
    case KEY_WORD:
        set_word(l, n, k, text, at);
        break;
    case KEY_SIZE:
    case KEY_DURATION:
    case KEY_NUMBER:
        set_number(l, n, k, text, at);
        break;
    case KEY_TEXT:
        *(const char **)at = *text ? text : NULL;
        break;
    case KEY_BLOCKS:     /* a list: read_proxies */
    case KEY_REF:        /* a map: config_read_secret_ref */
    case KEY_PROPERTIES: /* a map: config_read_kafka */
        break;
    }
}

static void read_proxies(struct loading *l, const struct yaml_node *list)
{
    struct config *c = l->c;
    size_t count = yaml_count(list);
    if (yaml_kind(list) != YAML_LIST) {
        report_at(l->r, list, "must be a list, such as [10.0.0.0/8, ::1]");
        return;
    }
    c->proxies = arena_alloc(c->arena, (count + 1) * sizeof *c->proxies);
    for (size_t i = 0; i < count; i++) {
        const struct yaml_node *n = yaml_item(list, i);
        struct err err = {0};
        const char *text;
        if (!config_scalar(l, n, &text))
            continue;
        if (block_parse(span_of(text), &c->proxies[c->n_proxies], &err))
            c->n_proxies++;
        else
            report_at(l->r, n, "'%s' %s", config_shown(l, n, text), err.msg);
    }
}

/* The node at a dotted path, or NULL. */
static const struct yaml_node *node_at(struct loading *l, const struct yaml_node *n, struct span path)
{
    while (n && path.n) {
        const char *name = arena_dup(l->c->arena, span_cut(path, '.', &path));
        n = yaml_kind(n) == YAML_MAP ? yaml_get(n, name) : NULL;
    }
    return n;
}

/* The word that follows "prefix." in a row's path, or an empty span. */
static struct span next_word(const char *path, struct span prefix)
{
    struct span rest, s = span_of(path);
    if (!span_starts(s, prefix) || memchr(s.p, '=', s.n))
        return (struct span){NULL, 0};
    s = span_skip(s, prefix.n);
    if (prefix.n) {
        if (!s.n || s.p[0] != '.')
            return (struct span){NULL, 0};
        s = span_skip(s, 1);
    }
    return span_cut(s, '.', &rest);
}

static void add_name(struct loading *l, const char **names, size_t *n, struct span name)
{
    for (size_t i = 0; i < *n; i++)
        if (span_eqz(name, names[i]))
            return;
    if (name.n && *n < 31)
        names[(*n)++] = arena_dup(l->c->arena, name);
    names[*n] = NULL;
}

/* Which keys may stand in the map at `prefix`, by the rows. */
static void check_map(struct loading *l, const struct yaml_node *root, struct span prefix)
{
    const struct yaml_node *n = node_at(l, root, prefix);
    const char *names[32] = {NULL};
    size_t count = 0;
    if (yaml_kind(n) == YAML_NULL)
        return;
    for (const struct key_row *k = config_keys; k->path; k++)
        add_name(l, names, &count, next_word(k->path, prefix));
    if (yaml_kind(n) != YAML_MAP) {
        report_at(l->r, n, "must be a map, such as %.*s: {%s: …}", SPAN_ARG(prefix), names[0]);
        return;
    }
    if (!prefix.n) {
        add_name(l, names, &count, SPAN_LIT("sources"));
        add_name(l, names, &count, SPAN_LIT("include"));
    }
    for (const struct later_row *k = config_later; k->path; k++)
        add_name(l, names, &count, next_word(k->path, prefix));
    report_unknown_keys(l->r, n, names);
}

static void check_maps(struct loading *l, const struct yaml_node *root)
{
    check_map(l, root, SPAN_LIT(""));
    for (const struct key_row *k = config_keys; k->path; k++)
        for (const char *dot = strchr(k->path, '.'); dot; dot = strchr(dot + 1, '.')) {
            struct span prefix = {k->path, (size_t)(dot - k->path)};
            bool seen = false;
            for (const struct key_row *b = config_keys; b < k && !seen; b++)
                seen = next_word(b->path, prefix).n > 0;
            if (!seen)
                check_map(l, root, prefix);
        }
    for (const struct later_row *k = config_later; k->path; k++) {
        const struct yaml_node *n = strchr(k->path, '=') ? NULL : node_at(l, root, span_of(k->path));
        if (n)
            report_at(l->r, n, "not in this version: %s", k->prose);
    }
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}

/* What metrics tell of a business is nobody else's: without a token they do not leave the machine. */
static void check_admin(struct loading *l, const struct yaml_node *n)
{
    const struct config *c = l->c;
    if (n && c->admin.host && !c->admin_token.at && !is_loopback(c->admin.host))
        report_at(l->r, n, "%s can be reached from other machines: write admin.token_file, or listen on 127.0.0.1 only",
                  config_shown(l, n, c->admin.host));
}

void config_read_keys(struct loading *l, const struct yaml_node *root)
{
    struct config *c = l->c;
    size_t rows = sizeof(config_keys) / sizeof(config_keys[0]);
    c->idle_keys = arena_alloc(c->arena, rows * sizeof(*c->idle_keys));
    check_maps(l, root);
    for (const struct key_row *k = config_keys; k->path; k++) {
        const struct yaml_node *n = node_at(l, root, span_of(k->path));
        const char *text = k->fallback;
        if (k->type == KEY_BLOCKS) {
            if (n)
                read_proxies(l, n);
            continue;
        }
        if (k->type == KEY_PROPERTIES)
            continue;
        if (k->type == KEY_REF) {
            struct secret_ref *ref = (struct secret_ref *)(void *)((char *)c + k->offset);
            if (n && config_read_secret_ref(l, n, ref) && ref->retire_at_us)
                report_at(l->r, n, "retire_at is for what verifies: the list `secrets`");
            continue;
        }
        if (n && !config_scalar(l, n, &text))
            continue;
        if (n && !*text && *k->fallback) {
            report_at(l->r, n, "is empty; leave it out for %s", k->fallback);
            continue;
        }
        set_key(l, n, k, text);
        if (n && k->idle)
            c->idle_keys[c->n_idle_keys++] = k->path;
    }
    config_read_kafka(l, node_at(l, root, SPAN_LIT("staging.kafka")), yaml_get(root, "ack"));
    if (!c->threads) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        c->threads = cores < 1 ? 1 : cores > 4 ? 4 : (unsigned)cores;
    }
    check_admin(l, node_at(l, root, SPAN_LIT("admin.listen")));
    config_check_objects(l, node_at(l, root, SPAN_LIT("staging.objects")));
    const struct yaml_node *cert = node_at(l, root, SPAN_LIT("tls.cert")), *key = node_at(l, root, SPAN_LIT("tls.key"));
    if (!c->tls_cert != !c->tls_key)
        report_at(l->r, cert ? cert : key, "tls needs both: {cert: FILE, key: FILE}");
    const struct yaml_node *max = node_at(l, root, SPAN_LIT("journal.max"));
    const struct yaml_node *segment = node_at(l, root, SPAN_LIT("journal.segment"));
    if ((max || segment) && c->journal_max_bytes && c->segment_bytes && c->journal_max_bytes / 2 < c->segment_bytes)
        report_at(l->r, max ? max : segment, "journal.max must hold at least two segments of journal.segment");
}
