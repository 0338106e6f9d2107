/* internal: what the files of config/ share while one configuration is being read. Private to config/.
 * Threads: the one that loads. Life: of config_load. */
#pragma once
#include "config/config.h"

enum key_type { KEY_TEXT, KEY_ADDRESS, KEY_PATH, KEY_URL, KEY_SIZE, KEY_DURATION, KEY_NUMBER, KEY_WORD };

/* One scalar key of the file outside of sources: parsed, checked and documented by its row. */
struct key_row {
    const char *path;     /* "staging.objects.cut_age" */
    enum key_type type;
    size_t offset;        /* into struct config; type says as what */
    const char *fallback; /* as it would stand in the file */
    uint64_t least, most; /* of sizes, durations (microseconds) and numbers; most 0: not limited */
    const char *words;    /* KEY_WORD: "a b c" */
    const char *prose;
};
extern const struct key_row config_keys[]; /* ends with path NULL */

struct loading {
    struct config *c;
    struct report *r;
    struct yaml **files; /* the main file, then the included ones: nodes are read until the end */
    size_t n_files;
};

/* A scalar with ${VAR:-default} resolved; false after a message. Owns through the arena. */
bool config_scalar(struct loading *l, const struct yaml_node *n, const char **ret);
/* A path relative to the configuration's folder, made absolute. */
const char *config_path(struct loading *l, struct span path);
/* The keys of config_keys that stand in the file, and the defaults of the others. */
void config_read_keys(struct loading *l, const struct yaml_node *root);
/* sources: of one file, added to what is there. */
void config_read_sources(struct loading *l, const struct yaml_node *sources);
bool config_read_secret_ref(struct loading *l, const struct yaml_node *n, struct secret_ref *ret);
void config_read_tables(struct loading *l, struct source_config *s, const struct yaml_node *tables);
uint64_t config_fingerprint(const struct source_config *s);
