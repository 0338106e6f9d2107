/* config: sluice.yaml, read, checked and resolved into one immutable value.
 *
 * Every key is a descriptor row (config/keys.c: name, type, unit, default, range, prose) which parses, validates,
 * and makes docs/configuration.md. A mistake is reported with file, line, column, key and what would be right.
 * Paths are relative to the file. `${VAR:-default}` works in any value but a secret. Literal secrets are refused.
 * A running server replaces it as a whole: whoever works with one for a while holds it, and the last one frees it.
 * Threads: immutable; config_hold and config_free from any. Life: config_load -> use -> config_free. All pointers borrow the
 * config. */
#pragma once
#include "core/address.h"
#include "core/codec.h"
#include <stdatomic.h>
#include "sources/manifest.h"

struct secret_ref {
    enum { SECRET_FILE, SECRET_ENV } kind;
    const char *at;         /* absolute path, or the variable's name */
    uint64_t retire_at_us;  /* 0: never */
};
struct config_value { /* one field of the source's `config:` */
    const char *name;
    bool secret;
    const char *text;      /* not secret; switches are "true" or "false" */
    struct secret_ref ref; /* secret */
};
struct table_config {
    const char *name;
    struct column_rule *columns; /* the user's own: DROP, HASH, RENAME; after the manifest's, before staging */
    size_t n_columns;
    uint64_t every_us; /* pull schedule, 0: none */
    bool flag_deletes; /* deletes: flag */
};
struct source_config {
    const char *name; /* the name in the URL */
    struct manifest *manifest;
    struct secret_ref *secrets;
    size_t n_secrets;
    struct config_value *values; /* with the manifest's defaults filled in */
    size_t n_values;
    const char *base_url;   /* replaces the provider's, or NULL */
    const char *public_url; /* or NULL */
    bool all_tables;
    struct table_config *tables; /* selected tables; with all_tables: only those with settings */
    size_t n_tables;
    bool unverified;    /* verification: none */
    bool webhook_off;
    bool accounts_many;
    uint64_t backfill_from_us;
    uint64_t secrets_until_us; /* until then unsigned handshakes may bring further secrets; 0: only the first */
    uint64_t fingerprint; /* of manifest and columns: names the transform */
};
struct objects_config { /* staging.objects, but for a folder */
    const char *bucket;             /* of s3://bucket/prefix; NULL: the store is a folder */
    const char *prefix;             /* "" or ends with / */
    const char *endpoint;           /* NULL: Amazon's */
    const char *region;
    unsigned style;                 /* enum objects_style, not STYLE_AUTO */
    bool v2;                        /* signature: v2 */
    bool gzip;                      /* compression: gzip, not zstd */
    uint64_t compact_us;            /* small objects are joined when a table and day were quiet so long; 0: never */
    bool archive;                   /* sealed segments of the journal go there, too */
    struct secret_ref access_key, secret_key, session_token; /* at NULL: looked for where AWS' tools look */
    const char *encryption, *encryption_key; /* server-side: "", AES256, aws:kms */
    const char *ca_file;            /* or NULL: the system's */
};
enum objects_style { STYLE_AUTO, STYLE_PATH, STYLE_VIRTUAL };
struct kafka_property { /* one setting of librdkafka */
    const char *name;
    const char *text;      /* NULL: what ref holds */
    struct secret_ref ref;
};
struct kafka_config { /* staging.kafka */
    const char *brokers; /* NULL: there is no Kafka sink */
    const char *topic;   /* a template of {source} and {table}: config_kafka_topic */
    bool transactional, cloudevents;
    const char *positions; /* the topic under whose name transactions keep the position */
    struct kafka_property *properties; /* in the file's order */
    size_t n_properties;
};
struct kubernetes_config { /* where secrets that the program gets or makes are stored; "" or NULL: left out */
    const char *secret;    /* the Secret's name; left out: in their files */
    const char *namespace_, *api, *account;
};
enum alarms_format { ALARMS_AUTO, ALARMS_SLACK, ALARMS_STANDARD };
struct listen_addr {
    const char *host; /* "127.0.0.1" */
    uint16_t port;    /* 0: any free one */
};
struct config {
    struct arena *arena;
    atomic_uint holders;              /* beside its first owner */
    const char *file, *dir; /* absolute */
    const char **watched;   /* files and folders that it came from, those that may come to be included, too */
    size_t n_watched;
    struct hash128 digest;  /* of the bytes of its files; manifests by the sources' fingerprints */
    struct listen_addr listen, admin; /* admin.host NULL: none */
    struct secret_ref admin_token;    /* at NULL: none */
    const char *data_dir; /* absolute */
    const char *public_url;
    struct source_config *sources;
    size_t n_sources;
    const char *objects_dir; /* of staging.objects.url file://…; NULL: objects says where */
    struct objects_config objects;
    uint64_t cut_bytes, cut_age_us;
    struct kafka_config kafka;
    bool ack_kafka; /* ack: kafka */
    uint64_t ack_us;
    uint64_t secret_grace_us;
    const char *merge_db; /* of merge.target sqlite:…; NULL: none */
    uint64_t merge_every_us;
    struct secret_ref alarms_post, alarms_secret; /* at NULL: nothing is posted; not signed */
    unsigned alarms_format;           /* enum alarms_format */
    uint64_t alarms_learn_us, alarms_unshipped_us, alarms_check_us;
    bool catch_up;                    /* catch_up: auto */
    uint64_t retain_raw_us;
    uint32_t rejected_max;         /* retention.rejected: last rejected requests kept for each source */
    uint32_t deliveries_max;       /* retention.deliveries: the length of the list of the last deliveries of each source */
    uint64_t retain_runs_us;       /* retention.runs */
    uint64_t journal_max_bytes, journal_reserve_bytes, segment_bytes;
    uint64_t body_bytes_max;       /* limits.body */
    uint32_t header_bytes_max;     /* limits.headers */
    uint32_t connections_max;      /* limits.connections */
    uint32_t per_address_max;      /* limits.per_address; 0: no limit */
    uint64_t idle_us, request_us;  /* limits.idle, limits.request */
    uint64_t head_us, body_us;     /* limits.head, limits.body_time */
    unsigned threads;              /* limits.threads: epoll workers */
    uint64_t drain_us, stop_us;    /* drain_delay, stop_within */
    struct address_block *proxies; /* whose X-Forwarded-For is believed */
    size_t n_proxies;
    const char *tls_cert, *tls_key; /* absolute paths; both NULL: the listener speaks HTTP */
    bool log_json;
    unsigned log_level;            /* its place among info debug warn error */
    struct kubernetes_config kubernetes;
    const char **idle_keys; /* keys in the file that nothing in this version acts on; config_warnings tells of them */
    size_t n_idle_keys;
};

/* `file` NULL: ./sluice.yaml, then /etc/sluice/sluice.yaml. Mistakes in the report; then ERR_CONFIG. */
struct config *config_load(const char *file, struct report *r, struct err *err);
/* One holder less; the last one frees it. Accepts NULL inside. */
void config_free(struct config **c);
/* One more holder, for whom config_drop is config_free. */
const struct config *config_hold(const struct config *c);
void config_drop(const struct config **c);
/* Makes `next` fit to replace a configuration in a running process that began with `first`: keys that only a start can change get
 * first's values, which next borrows; those that differed are named in ret, with commas. */
void config_follow(struct config *next, const struct config *first, struct buf *ret);
/* Whether nothing of the source is other than before. */
bool config_same_source(const struct source_config *a, const struct source_config *b);
/* The file that config_load would read: `named`, or the first that is there. ERR_CONFIG says what to do. Borrows. */
bool config_find(const char *named, const char **ret, struct err *err);
/* What is not wrong but risky, one line each: no secret, a secret that others can read, verification: none, … */
void config_warnings(const struct config *c, struct report *r);
const struct source_config *config_source(const struct config *c, struct span name); /* NULL when absent */
/* Is this table of the source in use? (`events` counts as a table.) */
bool source_has_table(const struct source_config *s, struct span table);
const struct table_config *source_table_config(const struct source_config *s, struct span table); /* may be NULL */

/* A secret's bytes now: a file's content without trailing newlines, or the variable. Owns: *ret malloc'ed;
 * release with secret_free, which wipes.
 * ERR_CONFIG names the file or variable and what is wrong: absent, empty, no regular file, larger than 64 KiB. */
bool secret_read(const struct secret_ref *ref, char **ret, size_t *ret_n, struct err *err);
void secret_free(char **secret, size_t n);
/* A rotation keeps the secret to come beside the file of the present one, as FILE.next, and both verify. Its path into `path`
 * (cleared); false: there is none. */
#define SECRET_NEXT ".next"
bool secret_next(const struct secret_ref *ref, struct buf *path);
/* The files of the secrets that handshakes brought to a source, oldest first: <data_dir>/secrets/<source>/. None where the
 * folder is not there. Owns: the list and its texts are malloc'ed; release with secrets_delivered_free. */
bool secrets_delivered(const char *data_dir, const char *source, char ***ret, size_t *ret_n, struct err *err);
void secrets_delivered_free(char ***paths, size_t n);
/* How a call ended that made a provider bring a secret by handshake (server_secret_settle). */
struct settlement {
    bool made;        /* there is an endpoint */
    struct span told; /* the secret, as the call's answer has it; empty: it does not */
    bool alone;       /* there was none of ours before */
};
bool secret_is_open(const struct secret_ref *ref); /* a file that group or others may read or write */
/* The id by which a secret is shown: first 6 hex digits of SHA-256 over "sluice secret " + the secret. */
#define SECRET_ID_MAX 8
void secret_id(struct span secret, char out[SECRET_ID_MAX]);
/* The source's config values as scope pairs, secrets read. Owns: release with config_pairs_free. */
bool config_pairs(const struct source_config *s, struct scope_pair **ret, size_t *ret_n, struct err *err);
void config_pairs_free(struct scope_pair **pairs, size_t n);

/* Appends the topic of a source's table. */
void config_kafka_topic(struct buf *out, const char *pattern, const char *source, const char *table);

/* The configuration, or one of its sources, as JSON. Of secrets it tells where they are, never what they are. */
void config_show(struct buf *out, const struct config *c);
void config_show_source(struct buf *out, const struct source_config *s);

/* docs/configuration.md as text: the descriptor rows as a page. */
void config_document(struct buf *out);
