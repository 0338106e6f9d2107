/* reader: typed values out of YAML nodes, with the mistakes in the report. Private to sources.
 *
 * Every read_… takes a node that may be NULL (absent): then the output keeps its default and nothing is said. A
 * mistake is reported, and the output keeps its default too, so that reading goes on and finds the other mistakes.
 * Threads: as the report. Life: a struct reader is the state of one manifest_parse. */
#pragma once
#include "sources/manifest.h"

#define ROOT(name) (1u << ROOT_##name)
/* What a path may begin with, by the place where it stands. */
#define ROOTS_VERIFY (ROOT(BODY) | ROOT(FORM) | ROOT(HEADER) | ROOT(QUERY) | ROOT(METHOD) | ROOT(URL) | ROOT(CONFIG) | \
                      ROOT(SECRET) | ROOT(SIGNATURE) | ROOT(TIME))
#define ROOTS_REQUEST (ROOT(BODY) | ROOT(FORM) | ROOT(HEADER) | ROOT(QUERY) | ROOT(METHOD) | ROOT(URL) | ROOT(CONFIG))
#define ROOTS_PROOF (ROOT(BODY) | ROOT(FORM) | ROOT(HEADER) | ROOT(QUERY)) /* what the sender brings */
#define ROOTS_EVENT (ROOTS_REQUEST | ROOT(EVENT) | ROOT(OBJECT))
#define ROOTS_TABLE (ROOTS_EVENT | ROOT(RECORD) | ROOT(ITEM) | ROOT(PARENT))
#define ROOTS_CONFIG ROOT(CONFIG)
#define ROOTS_ANSWER (ROOT(BODY) | ROOT(HEADER) | ROOT(RECORD))
#define ROOTS_ADVICE (ROOT(BODY) | ROOT(HEADER) | ROOT(CONFIG) | ROOT(WORD))
#define ROOTS_CALL (ROOT(CONFIG) | ROOT(PARENT) | ROOT(WORD))
#define ROOTS_MANAGE (ROOT(CONFIG) | ROOT(WORD) | ROOT(URL) | ROOT(SECRET)) /* what a call on webhooks may say */

struct reader {
    struct arena *arena;
    struct report *report;
    struct manifest *m;          /* fields are read first: paths into config are checked against them */
    const char *const *parents;  /* tables whose names are roots here, NULL-ended, or NULL */
    unsigned roots;              /* ROOTS_…: of the paths that are read now */
    bool secrets;                /* a path may lead to a secret field */
    bool shaking;                /* this is an answer to a handshake: HMACs, joined paths, secrets only in digests */
};

bool read_map(struct reader *rd, const struct yaml_node *n, const char *const *keys); /* is a map of known keys */
void read_text(struct reader *rd, const struct yaml_node *n, const char **ret);
void read_bool(struct reader *rd, const struct yaml_node *n, bool *ret);
void read_u32(struct reader *rd, const struct yaml_node *n, uint32_t low, uint32_t high, uint32_t *ret);
void read_duration(struct reader *rd, const struct yaml_node *n, uint64_t *ret_us);
/* The place of the word in `words`, which ends with NULL. false: absent or a mistake. */
bool read_word(struct reader *rd, const struct yaml_node *n, const char *const *words, unsigned *ret);
void read_unit(struct reader *rd, const struct yaml_node *n, enum time_unit *ret); /* s ms iso8601 */
/* A text or a list of texts, NULL-ended. */
void read_strings(struct reader *rd, const struct yaml_node *n, const char ***ret);
/* The same with {a,b} expanded. */
void read_types(struct reader *rd, const struct yaml_node *n, const char ***ret);
/* header.X, or a list of them: the names, NULL-ended. */
void read_header(struct reader *rd, const struct yaml_node *n, const char **ret);
void read_headers(struct reader *rd, const struct yaml_node *n, const char ***ret);
/* `each`: the path must end in [] (and only then may have it). */
bool read_path(struct reader *rd, const struct yaml_node *n, bool each, struct path *ret);
bool read_template(struct reader *rd, const struct yaml_node *n, struct template *ret);
/* A template where braces are, else a path. */
bool read_path_or_template(struct reader *rd, const struct yaml_node *n, struct template *ret);
void read_conditions(struct reader *rd, const struct yaml_node *n, struct condition **ret, size_t *ret_n);
/* A map of name: text or template. */
void read_params(struct reader *rd, const struct yaml_node *n, struct query_param **ret, size_t *ret_n);
void read_key_map(struct reader *rd, const struct yaml_node *n, struct key_map **ret, size_t *ret_n);
/* "created desc" */
void read_order(struct reader *rd, const struct yaml_node *n, const char **ret_field, bool *ret_desc);
size_t strings_count(const char *const *list);
bool strings_have(const char *const *list, struct span word);

/* The blocks, one file each. */
void manifest_read_fields(struct reader *rd, const struct yaml_node *n);    /* manifest_fields.c */
void manifest_read_schemes(struct reader *rd, const struct yaml_node *n);   /* manifest_verify.c */
void manifest_read_handshakes(struct reader *rd, const struct yaml_node *n); /* manifest_handshake.c */
void manifest_read_answer(struct reader *rd, const struct yaml_node *n);    /* manifest_answer.c */
void manifest_read_event(struct reader *rd, const struct yaml_node *n);     /* manifest_event.c */
void manifest_read_api(struct reader *rd, const struct yaml_node *n);       /* manifest_api.c */
void manifest_read_errors(struct reader *rd, const struct yaml_node *n, struct error_rule **ret, size_t *ret_n);
void manifest_read_feed(struct reader *rd, const struct yaml_node *n);
void manifest_read_page(struct reader *rd, const struct yaml_node *n, struct page_rule *page); /* *page: what is inherited */
/* `order`: the field of a descending order, or NULL: what `stop` goes by. */
void manifest_read_since(struct reader *rd, const struct yaml_node *n, const char *order, struct since_rule *since);
void manifest_read_tables(struct reader *rd, const struct yaml_node *tables, const struct yaml_node *defaults);
void manifest_read_deletes(struct reader *rd, const struct yaml_node *n, struct table_rule *t); /* manifest_rows.c */
void manifest_read_columns(struct reader *rd, const struct yaml_node *n, struct table_rule *t);
void manifest_read_lacks(struct reader *rd, const struct yaml_node *n, struct table_rule *t);
void manifest_read_rank(struct reader *rd, const struct yaml_node *n, struct table_rule *t);
void manifest_read_webhook(struct reader *rd, const struct yaml_node *n);   /* manifest_webhook.c */
/* `more`: the keys that this call may have beside method, query, headers, form and json; NULL-ended. */
/* manifest_call.c */
void manifest_read_call(struct reader *rd, const struct yaml_node *n, const char *const *more, struct manage_call *ret);
