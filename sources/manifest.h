/* manifest: one provider as data: how it signs, what its events mean, which tables it has and how they are pulled.
 *
 * Read from YAML (docs/manifests.md describes the language), checked as a whole, then immutable: every reader
 * (verification, transform, puller) works from this struct and nothing else knows a provider's name.
 * Threads: immutable after manifest_parse; share freely. Life: manifest_parse -> use -> manifest_free. All
 * pointers borrow the manifest's arena. */
#pragma once
#include "sources/path.h"

/* ---- configuration fields a source asks its user for ---- */
enum field_type { FIELD_TEXT, FIELD_SWITCH, FIELD_SELECT };
struct field_rule {
    const char *name;
    enum field_type type;
    bool secret, required;
    const char *fallback; /* default, or NULL */
    const char *pattern;  /* POSIX extended regex, or NULL */
    const char *help;
    const char **options; /* FIELD_SELECT, NULL-ended */
};

/* ---- verification ---- */
enum algorithm { ALG_HMAC_SHA256, ALG_HMAC_SHA1, ALG_HMAC_SHA512, ALG_ED25519, ALG_TOKEN, ALG_BASIC };
enum encoding { ENC_HEX, ENC_BASE64, ENC_UTF8 };
enum time_unit { UNIT_NONE, UNIT_S, UNIT_MS, UNIT_ISO8601 };

struct signature_rule {
    const char **headers; /* alternatives in order of precedence, NULL-ended; or NULL when `query` is used */
    const char *query;    /* the signature is this query parameter (algorithm token) */
    const char *prefix;   /* must stand in front, is cut off; or NULL */
    char list;            /* separator of several entries in the header, 0: the header is one signature */
    const char *pick;     /* the key (list ","; k=v) or the tag with its comma (list " "; "v1,") of entries that count */
    enum encoding encoding;
};
struct key_rule {
    enum encoding encoding; /* how the secret's text becomes the key; ENC_UTF8: verbatim */
    const char *strip;      /* an optional prefix to cut off first (whsec_), or NULL */
};
struct time_rule {
    bool present;
    struct path from; /* header.X, signature.t, body.x */
    enum time_unit unit;
    uint64_t past_us, future_us; /* how far away the provider's time may be; 0: not limited on that side */
    bool has_past, has_future;
    bool is_signed; /* an unsigned time never rejects */
};
struct scheme {
    const char *name; /* "stripe-v1" */
    enum algorithm algorithm;
    struct signature_rule signature;
    struct key_rule key;
    struct time_rule time;
    struct template signed_text;
    struct condition *when; /* the scheme is tried only where these hold */
    size_t n_when;
    const char **require; /* headers that must be there (missing_header), NULL-ended or NULL */
    const char *enabled;  /* config switch that must be on, or NULL */
};
struct header_rule {
    const char *name;
    struct template value;
};
struct answer_member { /* of a JSON body: its value is `raw` (a number, true, false, null), else the rendered text as a string */
    const char *name, *raw;
    struct template text;
};
struct shape_rule { /* the whole text at the path matches */
    struct path path;
    const char *pattern; /* POSIX extended */
};
struct handshake_rule {
    struct condition *when; /* judged after verification when `verified` */
    size_t n_when;
    bool verified;
    struct condition *must; /* where these do not hold, the answer is `refuse`, and a secret or a fetch is none */
    size_t n_must;
    struct shape_rule *shapes; /* the same */
    size_t n_shapes;
    uint32_t refuse;        /* 403 */
    bool has_secret;
    struct path secret;     /* becomes a secret of the source */
    bool has_fetch;
    struct path fetch;      /* a URL that is fetched once; only on one of `hosts` */
    const char **hosts;     /* host names, * within a label; NULL-ended */
    uint32_t status;
    struct template text;   /* the answer's body, unless there are members */
    struct answer_member *json;
    size_t n_json;
    struct header_rule *headers;
    size_t n_headers;
    const char *content_type;
};
struct answer_rule {
    uint32_t bad_signature; /* status for bad_signature and expired; default 401 */
    uint32_t missing;       /* status for missing_header; default 401 */
    uint32_t malformed;     /* default 400 */
    bool empty;             /* bodies of answers must be empty */
};

/* ---- what an event is ---- */
struct event_rule {
    bool has_each;
    struct path each; /* several events in one delivery */
    struct template id; /* n_parts 0: none */
    bool id_is_body_hash;
    struct template type;
    bool has_time, has_object, has_kind, has_account;
    struct path time, object, kind, account;
    enum time_unit time_unit;
    struct condition *only; /* others are ignored, counted */
    size_t n_only;
    struct condition *must; /* others go to the dead letters */
    size_t n_must;
    struct path api_version; /* shown in the envelope */
    bool has_api_version;
};

/* ---- pulling ---- */
enum page_style { PAGE_NONE, PAGE_CURSOR, PAGE_LINK };
struct page_rule {
    enum page_style style;
    bool records_is_root; /* the body itself is the array */
    struct path records;
    const char *size_query; /* parameter of the page size, or NULL */
    uint32_t size_max;
    const char *next_query; /* PAGE_CURSOR: parameter that carries the cursor */
    struct path next_value; /* PAGE_CURSOR: record.id (of the last record) or body.next_cursor */
    bool has_more;
    struct path more;       /* PAGE_CURSOR: false, null, "" or absent ends */
    const char *link_rel;   /* PAGE_LINK: "next" */
    uint32_t cap;           /* most pages, 0: none */
};
enum since_kind { SINCE_NONE, SINCE_QUERY, SINCE_STOP };
struct since_rule {
    enum since_kind kind;
    const char *query;      /* "created[gte]" */
    const char *field;      /* the record's field that the filter speaks of */
    enum time_unit unit;
    uint64_t overlap_us;
    bool sees_creations_only; /* updates are not seen by this filter: they come from the feed, or a full pull */
};
struct query_param {
    const char *name;
    struct template value;
};
struct error_rule {
    uint32_t status;          /* 0: any */
    struct condition *when;   /* body.error.code: … */
    size_t n_when;
    const char *cause;        /* auth scope busy limit gone version cap other */
    const char *say;          /* advice, a template text over {table.scope}, or NULL */
    struct template advice;
    bool retry;
};
struct api_rule {
    bool present;
    struct template base;
    struct template bearer;      /* auth: {bearer: config.api_key}; n_parts 0: none */
    struct template basic;       /* auth: {basic: "{config.user}:{config.password}"}; n_parts 0: none */
    const char *auth_header;     /* auth: {header: X, value: config.token} */
    struct template auth_value;
    struct query_param *headers; /* extra headers */
    size_t n_headers;
    struct page_rule page;
    const char *order_field;     /* "created" */
    bool order_desc;
    struct since_rule since;
    uint32_t per_second;         /* own pace, 0: none */
    const char *wait_header;     /* Retry-After */
    const char *left_header, *reset_header; /* remaining calls and when they are full again */
    enum time_unit reset_unit;   /* UNIT_S: seconds from now; UNIT_ISO8601 unused; epoch when reset_is_epoch */
    bool reset_is_epoch;
    uint64_t lag_us;             /* staleness margin of a page: a replica may lag by this; default 5 s */
    struct error_rule *errors;
    size_t n_errors;
};
struct feed_rule { /* the provider's log of past events: each record is what the webhook would have carried */
    bool present;
    struct template path;
    struct query_param *query;
    size_t n_query;
    uint64_t keep_us;
    struct since_rule since;
};

/* ---- tables ---- */
enum lacks_kind { LACKS_NOTHING, LACKS_LIST, LACKS_OTHERS };
struct lacks_rule {
    enum lacks_kind kind;
    const char **columns; /* NULL-ended; LACKS_OTHERS: all that `columns` of the table does not name */
};
enum column_action { COLUMN_DROP, COLUMN_HASH, COLUMN_RENAME, COLUMN_FROM, COLUMN_CONST };
struct column_rule {
    const char *from;  /* dotted path inside the row, "customer.email" */
    struct span *steps; /* from, split */
    size_t n_steps;
    enum column_action action;
    const char *to;    /* RENAME: new top-level name; FROM: the column that is set */
    struct path path;  /* FROM */
    const char *text;  /* CONST: JSON text */
};
struct key_map {
    const char *column;
    struct path path;
};
struct delete_rule {
    const char **types; /* globs, NULL-ended; NULL: any */
    struct condition *when;
    size_t n_when;
    bool has_each;
    struct path each;
    struct key_map *key; /* where the key comes from when not from the object */
    size_t n_key;
};
struct table_rule {
    const char *name;
    /* which events */
    const char *kind;   /* equals event.kind; or NULL */
    const char **types; /* event types (globs), NULL-ended; or NULL */
    struct condition *when;
    size_t n_when;
    bool has_object, has_each;
    struct path object, each; /* each wins over object */
    struct delete_rule *deletes;
    size_t n_deletes;
    struct condition *keep; /* records and objects that do not hold are no row of this table */
    size_t n_keep;
    /* identity and order */
    const char **key; /* column names, NULL-ended, at least one */
    size_t n_key;
    const char **version; /* monotonic fields, NULL-ended; or NULL */
    enum time_unit version_unit; /* UNIT_NONE: numbers compare as numbers, ISO times as instants, else as text */
    const char *rank_field;
    const char **rank; /* lowest first, NULL-ended */
    const char *partition; /* a stable creation time, or NULL */
    struct lacks_rule lacks_push, lacks_pull;
    struct column_rule *columns;
    size_t n_columns;
    /* pull */
    bool has_path; /* else: no list API */
    struct template path;
    const char *for_each; /* parent table, or NULL */
    struct query_param *query;
    size_t n_query;
    struct key_map *carry; /* columns taken from a parent's record (or config) */
    size_t n_carry;
    struct page_rule page; /* own or the api's */
    const char *order_field;
    bool order_desc;
    struct since_rule since; /* own or the api's */
    const char *scope; /* permission the token needs, for messages */
};

/* ---- webhook management ---- */
enum body_mark { BODY_MAP, BODY_LIST, BODY_END, BODY_TEXT, BODY_RAW, BODY_TYPES, BODY_EACH };
struct body_part { /* a JSON body, read from left to right: what a container holds follows it, up to its BODY_END */
    enum body_mark mark;  /* BODY_EACH: a list of its one item, once for each event type */
    const char *name;     /* of a member; NULL: an item of a list */
    const char *raw;      /* BODY_RAW: a number, true, false, null */
    struct template text; /* BODY_TEXT */
};
struct manage_call {
    const char *method; /* "POST"; NULL: the provider has no such call */
    struct template path;
    struct query_param *query, *headers, *form; /* a form's name that ends in [] comes once for each event type */
    size_t n_query, n_headers, n_form;
    struct body_part *json;
    size_t n_json;
    struct page_rule page;              /* of a list */
    struct path records, id, secret;    /* in the answer; text NULL: not there */
    struct path at, error;              /* of the newest delivery: when, and what was wrong */
    struct condition *ok;               /* which deliveries were taken */
    size_t n_ok;
};
struct endpoint_rule { /* where in a record of the list what is; text NULL: not there */
    struct path id, url, types, type_name, version, error, last;
    struct condition *enabled;
    size_t n_enabled;
};
enum secret_way { SECRET_BY_HAND, SECRET_CHOSEN, SECRET_TOLD, SECRET_HANDSHAKE };
enum rotate_way { ROTATE_BY_HAND, ROTATE_CALL, ROTATE_SECOND_ENDPOINT };
struct event_names { /* what a table's events are called when an endpoint is asked for them */
    const char *table; /* or "events" */
    const char **types;
};
struct type_flag { /* providers that have a switch for each type */
    const char *type, *field;
};
struct webhook_rule {
    bool present, managed; /* managed: there are calls */
    bool per_type;         /* an endpoint carries one event type */
    struct template *clicks; /* what a person does instead */
    size_t n_clicks;
    const char *by_hand;   /* the same as one text, or NULL */
    const char *secret_at; /* where a person finds the secret, or NULL */
    const char *scope;     /* the permission that the calls need, or NULL */
    const char *all;       /* the name that stands for all events, or NULL */
    uint32_t cap;          /* most endpoints, 0: not known */
    struct template version; /* what endpoints are pinned to; n_parts 0: nothing */
    enum secret_way secret;
    enum rotate_way rotate;
    struct event_names *names;
    size_t n_names;
    struct type_flag *flags;
    size_t n_flags;
    struct error_rule *errors; /* before the api's */
    size_t n_errors;
    struct endpoint_rule read;
    struct manage_call list, create, update, remove, reveal, roll, deliveries;
    struct manage_call confirm, enable; /* after a create; for one that was disabled */
};

struct manifest {
    struct arena *arena;
    const char *file;   /* for messages */
    const char *name, *title, *status, *docs, *notes;
    uint64_t fingerprint; /* of the file's bytes: part of the transform's fingerprint */
    struct field_rule *fields;
    size_t n_fields;
    bool generic;       /* verification comes from the configuration */
    struct scheme *schemes;
    size_t n_schemes;
    struct handshake_rule *handshakes;
    size_t n_handshakes;
    struct answer_rule answer;
    bool body_is_form;
    struct event_rule event;
    struct api_rule api;
    struct feed_rule feed;
    struct table_rule *tables;
    size_t n_tables;
    struct webhook_rule webhook;
};

/* Reads and checks; every mistake goes to the report, then NULL. `file` is what messages say. */
struct manifest *manifest_parse(const char *file, struct span bytes, struct report *r);
/* Adds the verification block of a configuration (manifest: generic) to a manifest of its own. */
bool manifest_add_schemes(struct manifest *m, const struct yaml_node *verify, struct report *r);
void manifest_free(struct manifest **m);

const struct table_rule *manifest_table(const struct manifest *m, struct span name); /* NULL when absent */
const struct field_rule *manifest_field(const struct manifest *m, struct span name);
/* The table `events`, which every source has: id, type, account, received_at, body. */
extern const struct table_rule manifest_events_table;
/* Whether a handshake of this provider brings a secret. */
bool manifest_delivers_secrets(const struct manifest *m);
/* Whether the host is one of `hosts`: label by label, so that a * never stands for a dot. */
bool manifest_host_is_pinned(const char *const *hosts, struct span host);

/* Finds NAME: `<dir>/sources/NAME.yaml` first (dir: the configuration's folder, may be NULL), then the embedded ones.
 * Unknown: ERR_CONFIG naming the nearest known one. Mistakes: in the report, ERR_CONFIG. */
struct manifest *manifest_load(const char *dir, struct span name, struct report *r, struct err *err);

/* The manifest in one file, whatever it is called. Mistakes: in the report, ERR_CONFIG. */
struct manifest *manifest_load_file(const char *file, struct report *r, struct err *err);

/* The name of the i-th manifest inside the binary, for lists. false: there are no more. */
bool manifest_embedded_name(size_t i, const char **ret);

/* The shapes a table keeps an upsert register for. */
enum shape { SHAPE_FULL = 0, SHAPE_PULL, SHAPE_PUSH, SHAPE_COUNT };
enum shape table_shape(const struct table_rule *t, bool pulled); /* FULL unless `lacks` names that door */
const char *shape_name(enum shape s); /* full pull push */
bool shape_parse(struct span text, enum shape *ret);
bool shape_carries(const struct table_rule *t, enum shape s, struct span column);
bool table_many_shapes(const struct table_rule *t);
