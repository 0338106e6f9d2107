/* librdkafka's settings: the sink's own, then the configuration's. */
#include "staging/kafka/internal.h"

/* What differs from librdkafka's defaults; the configuration may change each. */
static const struct {
    const char *name, *value;
    bool only_plain; /* not with transactions, which have a time of their own */
} usual[] = {
    {"client.id", "sluice", false},
    {"compression.type", "zstd", false},
    {"partitioner", "murmur2_random", false}, /* as Java's clients do it */
    {"queue.buffering.max.kbytes", "65536", false},
    {"topic.metadata.propagation.max.ms", "5000", false},
    {"reconnect.backoff.max.ms", "2000", false},
    {"message.timeout.ms", "0", true}, /* the journal keeps them anyway */
};

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, struct err *err)
{
    char words[512];
    if (rd_kafka_conf_set(conf, name, value, words, sizeof words) == RD_KAFKA_CONF_OK)
        return true;
    return err_set(err, ERR_CONFIG, "staging.kafka.properties.%s: librdkafka does not take it", name);
}

static bool set_configured(rd_kafka_conf_t *conf, const struct kafka_config *k, struct err *err)
{
    for (size_t i = 0; i < k->n_properties; i++) {
        const struct kafka_property *p = &k->properties[i];
        char *secret = NULL;
        size_t n = 0;
        if (!p->text && !secret_read(&p->ref, &secret, &n, err))
            return err_prefix(err, "staging.kafka.properties.%s", p->name);
        bool ok = set(conf, p->name, p->text ? p->text : secret, err);
        secret_free(&secret, n);
        if (!ok)
            return false;
    }
    return true;
}

bool settings_make(const struct config *c, const char *transactional_id, rd_kafka_conf_t **ret, struct err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool ok = set(conf, "bootstrap.servers", c->kafka.brokers, err) && set(conf, "enable.idempotence", "true", err);
    for (size_t i = 0; ok && i < sizeof usual / sizeof usual[0]; i++)
        ok = (usual[i].only_plain && transactional_id) || set(conf, usual[i].name, usual[i].value, err);
    if (ok && c->ack_kafka)
        ok = set(conf, "linger.ms", "0", err);
    ok = ok && set_configured(conf, &c->kafka, err) && set(conf, "acks", "all", err) &&
         (!transactional_id || set(conf, "transactional.id", transactional_id, err));
    if (!ok) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    *ret = conf;
    return true;
}

static void say_nothing(const rd_kafka_t *rk, int level, const char *facility, const char *words)
{
    (void)rk, (void)level, (void)facility, (void)words;
}

bool settings_reader(const struct config *c, const char *group, rd_kafka_conf_t **ret, struct err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool ok = set(conf, "bootstrap.servers", c->kafka.brokers, err) && set_configured(conf, &c->kafka, err) &&
              set(conf, "group.id", group, err) && set(conf, "enable.auto.commit", "false", err);
    if (!ok) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    rd_kafka_conf_set_log_cb(conf, say_nothing);
    *ret = conf;
    return true;
}

bool kafka_settings_check(const struct config *c, struct err *err)
{
    rd_kafka_conf_t *conf;
    char words[512];
    if (!c->kafka.brokers)
        return true;
    if (!settings_make(c, c->kafka.transactional ? "check" : NULL, &conf, err))
        return false;
    rd_kafka_conf_set_log_cb(conf, say_nothing);
    /* Without brokers nothing is connected to. */
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", "", words, sizeof words);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, words, sizeof words);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return err_set(err, ERR_CONFIG, "staging.kafka: librdkafka says: %s", words);
    }
    rd_kafka_destroy(rk);
    return true;
}
