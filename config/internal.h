/* internal: what the files of config/ share while one configuration is being read. Private to config/.
 * Threads: the one that loads. Life: of config_load. */
#pragma once
#include "config/config.h"

enum key_type {
    KEY_ADDRESS, KEY_PATH, KEY_SECRET, KEY_URL, KEY_SIZE, KEY_DURATION, KEY_NUMBER, KEY_WORD, KEY_BLOCKS,
    KEY_REF, /* {file|env: …}, a secret */
    KEY_TEXT, KEY_PROPERTIES
};

/* One key of the file outside of sources, a scalar, (KEY_BLOCKS) a list or (KEY_PROPERTIES) a map: parsed, checked and documented
 * by its row. */
struct key_row {
    const char *path;     /* "staging.objects.cut_age" */
    enum key_type type;
    size_t offset, width; /* the field of struct config; width 0: nothing is kept */
    const char *fallback; /* as it would stand in the file; "": not set */
    uint64_t least, most; /* of sizes, durations (microseconds) and numbers; most 0: not limited */
    const char *words;    /* KEY_WORD: "a b c"; a bool field is true for the second, a number is its place */
    const char *prose;
    bool idle;            /* checked and kept, but nothing in this version acts on it: config_warnings says so */
};
extern const struct key_row config_keys[]; /* ends with path NULL */

/* Keys and words of later versions: refused with words of their own. Paths as above; `ack=kafka` is a value. */
struct later_row {
    const char *path, *prose;
};
extern const struct later_row config_later[]; /* ends with path NULL */

#define CONFIG_FILES_MAX 64

struct loading {
    struct config *c;
    struct report *r;
    struct yaml *files[CONFIG_FILES_MAX]; /* the main file, then the included ones: nodes are read until the end */
    const char *paths[CONFIG_FILES_MAX];  /* absolute, as realpath has them */
    const char *names[CONFIG_FILES_MAX];  /* as messages call them */
    size_t n_files;
    const char **places; /* "file:line" of each source of c */
};

/* scalar.c. A scalar with ${VAR:-default} resolved; false after a message. Owns through the arena. */
bool config_scalar(struct loading *l, const struct yaml_node *n, const char **ret);
/* What a message may show of it: what stands in the file, not what a variable holds. */
const char *config_shown(struct loading *l, const struct yaml_node *n, const char *text);
/* The place of a scalar in `words` (NULL-ended). false: absent, or after a message. */
bool config_word(struct loading *l, const struct yaml_node *n, const char *const *words, size_t *ret);
/* A path relative to the configuration's folder, made absolute. */
const char *config_path(struct loading *l, struct span path);
bool config_is_url(const char *text);
bool config_is_variable(struct span name);
/* "64MiB", "7d", "4096": as it would stand in the file. */
void config_quantity(struct buf *out, enum key_type type, uint64_t v);

/* objects.c. s3://bucket/prefix into c->objects; false after a message. What keys of staging.objects do not go together. */
bool config_read_bucket(struct loading *l, const struct yaml_node *n, const char *text);
void config_check_objects(struct loading *l, const struct yaml_node *objects);
/* keys.c. The keys of config_keys that stand in the file, and the defaults of the others. */
void config_read_keys(struct loading *l, const struct yaml_node *root);

/* hide.c. Literal secrets never reach a message. Hides what could be one; false after messages: something in the file
 * is a credential by its looks, and nothing else of the file may be spoken of. */
bool config_hide_secrets(struct loading *l, const struct yaml_node *root);
/* The messages of a file that has no tree, with the values in its lines blanked. */
void config_add_blanked(struct report *to, const struct report *from);

/* sources.c. `sources:` of one file, added to what is there. `file`: its place in l->files. */
extern const char *const config_source_keys[];
void config_read_sources(struct loading *l, const struct yaml_node *sources, size_t file);
/* kafka.c. staging.kafka as a whole, once its scalars are read: properties by librdkafka's own list, topics by the tables. */
bool config_kafka_is_secret(struct span property);
void config_read_kafka(struct loading *l, const struct yaml_node *kafka, const struct yaml_node *ack);
void config_check_topics(struct loading *l, const struct yaml_node *kafka);
/* secret.c. {file|env, retire_at}; false after a message. */
bool config_read_secret_ref(struct loading *l, const struct yaml_node *n, struct secret_ref *ret);
/* delivered.c. Adds the secrets that handshakes brought to those of the file. */
void config_add_delivered(struct config *c);
/* tables.c */
void config_read_tables(struct loading *l, struct source_config *s, const struct yaml_node *tables);
uint64_t config_fingerprint(const struct source_config *s);
