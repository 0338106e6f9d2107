/* staging.kafka: librdkafka's settings by its own list, the topics by the tables. */
#include "config/internal.h"
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPIC_MAX 249 /* Kafka's */
#define PROPERTIES_MAX 256

/* What librdkafka masks in its own logs, by the words of its names. */
bool config_kafka_is_secret(struct span property)
{
    static const char *const words[] = {"password", "secret", "key.pem", "oauthbearer.config", "sasl.oauthbearer.extensions"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (property.n && memmem(property.p, property.n, words[i], strlen(words[i])))
            return true;
    return false;
}

/* The names that librdkafka knows, as it lists them itself. Owns through the arena; NULL-ended. */
static const char **known_names(struct loading *l)
{
    char *text = NULL;
    size_t n = 0, count = 0;
    FILE *f = open_memstream(&text, &n);
    const char **names = arena_alloc(l->c->arena, (PROPERTIES_MAX + 1) * sizeof *names);
    if (!f)
        return names;
    rd_kafka_conf_properties_show(f);
    fclose(f);
    for (struct span rest = {text, n}; rest.p && rest.n && count < PROPERTIES_MAX;) {
        struct span after, line = span_cut(rest, '\n', &rest), name = span_cut(line, ' ', &after);
        if (!after.p || !memchr(after.p, '|', after.n) || !memchr(name.p, '.', name.n))
            if (!span_eqz(name, "acks") && !span_eqz(name, "debug") && !span_eqz(name, "partitioner"))
                continue;
        names[count++] = arena_dup(l->c->arena, name);
    }
    free(text);
    return names;
}

/* What the sink decides itself, and how else it is said. */
static const struct {
    const char *name, *allowed, *words;
} decided[] = {
    {"bootstrap.servers", NULL, "write staging.kafka.brokers"},
    {"metadata.broker.list", NULL, "write staging.kafka.brokers"},
    {"transactional.id", NULL, "it is this node's name; write staging.kafka.transactional: true"},
    {"enable.idempotence", "true", "the sink's producer is idempotent: leave it out"},
    {"acks", "all -1", "a row counts as delivered when all in-sync replicas have it: leave it out"},
    {"request.required.acks", "all -1", "a row counts as delivered when all in-sync replicas have it: leave it out"},
    {"enable.gapless.guarantee", "false", "the sink sends again what failed: leave it out"},
};

static bool is_decided(struct loading *l, const struct yaml_node *key, const struct yaml_node *value)
{
    for (size_t i = 0; i < sizeof decided / sizeof decided[0]; i++) {
        if (!span_eqz(yaml_text(key), decided[i].name))
            continue;
        for (struct span rest = span_of(decided[i].allowed); rest.p;)
            if (span_eq(span_cut(rest, ' ', &rest), yaml_text(value)))
                return false;
        report_at(l->r, value, "is the sink's own: %s", decided[i].words);
        return true;
    }
    return false;
}

static bool is_known(struct loading *l, const struct yaml_node *key, const char *const *names)
{
    struct span text = yaml_text(key);
    for (size_t i = 0; names[i]; i++)
        if (span_eqz(text, names[i]))
            return true;
    const char *near = nearest_word(text, names);
    char words[256] = "No such configuration property";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, arena_dup(l->c->arena, text), "", words, sizeof words);
    rd_kafka_conf_destroy(conf);
    report_at(l->r, key, "librdkafka says: %s%s%s%s", words, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    return false;
}

static void read_property(struct loading *l, const struct yaml_node *key, const struct yaml_node *value, rd_kafka_conf_t *conf,
                          const char *const *names)
{
    struct kafka_config *k = &l->c->kafka;
    struct kafka_property p = {.name = arena_dup(l->c->arena, yaml_text(key))};
    char words[512];
    if (!is_known(l, key, names) || is_decided(l, key, value))
        return;
    if (yaml_kind(value) == YAML_MAP || config_kafka_is_secret(yaml_text(key))) {
        if (config_read_secret_ref(l, value, &p.ref))
            k->properties[k->n_properties++] = p;
        return;
    }
    if (!config_scalar(l, value, &p.text))
        return;
    if (rd_kafka_conf_set(conf, p.name, p.text, words, sizeof words) != RD_KAFKA_CONF_OK)
        report_at(l->r, value, "librdkafka says: %s", words);
    else
        k->properties[k->n_properties++] = p;
}

static void read_properties(struct loading *l, const struct yaml_node *map)
{
    struct kafka_config *k = &l->c->kafka;
    if (!map || yaml_kind(map) == YAML_NULL)
        return;
    if (yaml_kind(map) != YAML_MAP) {
        report_at(l->r, map, "must be a map, such as {compression.type: zstd}");
        return;
    }
    const char **names = known_names(l);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    k->properties = arena_alloc(l->c->arena, (yaml_count(map) + 1) * sizeof *k->properties);
    for (size_t i = 0; i < yaml_count(map); i++)
        read_property(l, yaml_key(map, i), yaml_value(map, i), conf, names);
    rd_kafka_conf_destroy(conf);
}

void config_read_kafka(struct loading *l, const struct yaml_node *kafka, const struct yaml_node *ack)
{
    struct config *c = l->c;
    if (c->ack_kafka && !kafka)
        report_at(l->r, ack, "kafka needs the sink: write staging: {kafka: {brokers: \"host:9092\"}}");
    if (!kafka)
        return;
    if (yaml_kind(kafka) == YAML_MAP) {
        if (!yaml_get(kafka, "brokers"))
            report_at(l->r, kafka, "needs brokers: \"host:9092\", several with commas");
        read_properties(l, yaml_get(kafka, "properties"));
    } else if (yaml_kind(kafka) == YAML_NULL) {
        report_at(l->r, kafka, "has no value; write {brokers: \"host:9092\"}, or leave it out");
    }
    if (c->kafka.brokers && !strchr(c->kafka.brokers, ':') && yaml_kind(kafka) == YAML_MAP)
        report_at(l->r, yaml_get(kafka, "brokers"), "'%s' has no port; write host:9092, several with commas",
                  config_shown(l, yaml_get(kafka, "brokers"), c->kafka.brokers));
}

void config_kafka_topic(struct buf *out, const char *pattern, const char *source, const char *table)
{
    for (struct span rest = span_of(pattern); rest.n;) {
        bool is_source = span_starts(rest, SPAN_LIT("{source}"));
        if (is_source || span_starts(rest, SPAN_LIT("{table}"))) {
            buf_addz(out, is_source ? source : table);
            rest = span_skip(rest, is_source ? 8 : 7);
        } else {
            buf_addc(out, rest.p[0]);
            rest = span_skip(rest, 1);
        }
    }
}

static bool is_topic(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return false;
    }
    return s.n && s.n <= TOPIC_MAX && !span_eqz(s, ".") && !span_eqz(s, "..");
}

void config_check_topics(struct loading *l, const struct yaml_node *staging)
{
    const struct config *c = l->c;
    const struct yaml_node *kafka = yaml_kind(staging) == YAML_MAP ? yaml_get(staging, "kafka") : NULL;
    const struct yaml_node *at = kafka ? yaml_get(kafka, "topic") : NULL;
    struct buf topic;
    buf_init(&topic, 1 << 16);
    for (size_t i = 0; c->kafka.brokers && i < c->n_sources; i++) {
        const struct manifest *m = c->sources[i].manifest;
        for (size_t t = 0; t <= m->n_tables; t++) {
            buf_clear(&topic);
            config_kafka_topic(&topic, c->kafka.topic, c->sources[i].name,
                               t < m->n_tables ? m->tables[t].name : manifest_events_table.name);
            if (is_topic(buf_span(&topic)))
                continue;
            report_at(l->r, at ? at : kafka, "'%.120s' is no topic: letters, digits, '.', '_' and '-', at most %d; {source} and "
                      "{table} are replaced", buf_z(&topic), TOPIC_MAX);
            buf_release(&topic);
            return;
        }
    }
    buf_release(&topic);
}
