/* What holds the sink up, in words, and what to do about it. */
#include "staging/kafka/internal.h"
#include <stdarg.h>
#include <stdio.h>

static void set_locked(struct kafka_sink *s, const char *fmt, va_list ap)
{
    if (!s->in_trouble)
        s->trouble_us = s->o.io->world->now_us(s->o.io);
    s->in_trouble = true;
    s->trouble_kind = TROUBLE_OTHER;
    vsnprintf(s->trouble, sizeof s->trouble, fmt, ap);
}

static void say_locked(struct kafka_sink *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say_locked(struct kafka_sink *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_locked(s, fmt, ap);
    va_end(ap);
}

void trouble_set(struct kafka_sink *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    pthread_mutex_lock(&s->lock);
    set_locked(s, fmt, ap);
    pthread_mutex_unlock(&s->lock);
    va_end(ap);
}

void trouble_clear(struct kafka_sink *s)
{
    pthread_mutex_lock(&s->lock);
    s->in_trouble = false;
    s->reason[0] = 0;
    pthread_mutex_unlock(&s->lock);
}

bool kafka_sink_trouble(struct kafka_sink *s, char *ret_words, size_t n, uint64_t *ret_since_us)
{
    pthread_mutex_lock(&s->lock);
    bool any = s->in_trouble;
    if (any) {
        (void)snprintf(ret_words, n, "%s", s->trouble);
        *ret_since_us = s->trouble_us;
    }
    pthread_mutex_unlock(&s->lock);
    return any;
}

void trouble_of_error(struct kafka_sink *s, rd_kafka_resp_err_t why, const char *reason)
{
    const char *brokers = s->o.config->kafka.brokers;
    pthread_mutex_lock(&s->lock);
    switch (why) {
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        if (!s->in_trouble || s->trouble_kind == TROUBLE_DOWN) {
            say_locked(s, "none of the brokers %s can be reached%s%s; rows wait in the journal", brokers,
                       s->reason[0] ? ": " : "", s->reason);
            s->trouble_kind = TROUBLE_DOWN;
        }
        break;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        say_locked(s, "the brokers refuse the login: %.200s; set security.protocol, sasl.mechanism, sasl.username and "
                   "sasl.password in staging.kafka.properties; files are read again as it tries", reason);
        s->trouble_kind = TROUBLE_LOGIN;
        break;
    case RD_KAFKA_RESP_ERR__SSL:
        say_locked(s, "TLS to the brokers fails: %.200s; set ssl.ca.location in staging.kafka.properties", reason);
        s->trouble_kind = TROUBLE_DOWN;
        break;
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        say_locked(s, "the brokers do not let this user write idempotently; grant it: kafka-acls.sh --bootstrap-server %s --add "
                   "--allow-principal User:NAME --operation IdempotentWrite --cluster", brokers);
        break;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        say_locked(s, "the brokers do not let this user write: %.200s; grant it: kafka-acls.sh --bootstrap-server %s --add "
                   "--allow-principal User:NAME --operation Write --operation Describe --topic TOPIC", reason, brokers);
        break;
    default: /* of one broker of several: told when it matters */
        (void)snprintf(s->reason, sizeof s->reason, "%s", reason);
        break;
    }
    pthread_mutex_unlock(&s->lock);
}

void trouble_of_message_locked(struct kafka_sink *s, rd_kafka_resp_err_t why, const char *topic)
{
    const char *brokers = s->o.config->kafka.brokers;
    switch (why) {
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        say_locked(s, "the topic %s is not there, and the brokers do not make it: kafka-topics.sh --bootstrap-server %s "
                   "--create --topic %s --partitions 6; it is tried again and again", topic, brokers, topic);
        break;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        say_locked(s, "the brokers do not let this user write to the topic %s; grant it: kafka-acls.sh --bootstrap-server %s "
                   "--add --allow-principal User:NAME --operation Write --operation Describe --topic %s", topic, brokers, topic);
        break;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE: /* looked into message by message */
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR__FATAL:
        break;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
        say_locked(s, "messages to %s are not answered in time%s%s; they are sent again", topic, s->reason[0] ? ": " : "",
                   s->reason);
        break;
    default:
        say_locked(s, "the brokers refuse messages to %s: %s; they are sent again", topic, rd_kafka_err2str(why));
        break;
    }
}
