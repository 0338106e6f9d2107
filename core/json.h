/* json: JSON read in place. A struct json is a slice of the text it came from, so a row's bytes can be
 * the received bytes: no number is re-rendered, no key reordered.
 *
 * json_parse validates the whole text once (RFC 8259, UTF-8 well-formed, depth bounded); after that the
 * getters skip quickly and cannot fail on syntax. Using them on unvalidated text is a bug.
 * Of doubled keys the last wins. No recursion.
 * Threads: pure functions. Life: slices borrow the text. */
#pragma once
#include "core/buf.h"
#include "core/err.h"
#include <stdint.h>

enum json_type { JSON_NONE, JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_type type;
    struct span raw; /* the value's text: strings with their quotes, numbers as written */
};

#define JSON_DEPTH_MAX 128

/* Fails (ERR_INPUT) naming the byte offset and what was expected. Surrounding white space is allowed. */
bool json_parse(struct span text, struct json *ret, struct err *err);

/* Member by name (compared after unescaping); type JSON_NONE when absent or `obj` is no object. */
struct json json_get(struct json obj, struct span key);
/* What is known of a text that is asked for again and again: where its containers end, from its proof, and the members of some of
 * its objects, found by one walk over each. Holds slices: json_memo_clear before their bytes change or go. Large objects alone
 * gain by it; small ones, and those of very many members, are looked at as by json_get. */
#define JSON_MEMO_MEMBERS 128
#define JSON_MEMO_OBJECTS 4
#define JSON_MEMO_CONTAINERS 1024
struct json_container { /* offsets in the text, and places in the list, which is in the order of opening brackets */
    uint32_t from, end;
    uint32_t parent, after; /* the first that is not inside */
};
struct json_memo_object {
    struct span raw; /* p NULL: free */
    size_t n;
    struct {
        struct span key;
        struct json value;
    } members[JSON_MEMO_MEMBERS];
};
struct json_memo {
    const char *text;      /* whose containers are listed */
    uint32_t n_containers; /* 0: none are, or there are too many */
    struct json_container containers[JSON_MEMO_CONTAINERS];
    struct json_memo_object objects[JSON_MEMO_OBJECTS];
    unsigned next;
};
void json_memo_clear(struct json_memo *m);
bool json_parse_memo(struct json_memo *m, struct span text, struct json *ret, struct err *err); /* json_parse, and fills m */
/* All members of an object, in order; NULL: it is small, or has very many. Valid until m is asked for another object. */
const struct json_memo_object *json_members(struct json_memo *m, struct json obj);
struct json json_get_memo(struct json_memo *m, struct json obj, struct span key); /* m NULL: json_get */
struct json json_at(struct json array, size_t index);
size_t json_count(struct json container); /* members or elements */

struct json_iter {
    const char *p, *end;
    bool object;
};
struct json_iter json_iter(struct json container);
/* false at the end. For objects *key is the raw text between the quotes (escapes kept; see json_unescape). */
bool json_next(struct json_iter *it, struct span *key, struct json *value);

struct span json_inner(struct json string);                 /* between the quotes, escapes kept */
bool json_unescape(struct buf *out, struct span inner);     /* escapes resolved; lone surrogates -> U+FFFD */
/* Decoded text of a string, or the raw text of a number, true, false; false for null, containers, none. */
bool json_text(struct json v, struct buf *out);
bool json_int64(struct json v, int64_t *ret);               /* integers that fit; 1.0 and 1e3 are not integers */
bool json_eqz(struct json v, const char *z);                /* a string (decoded) or scalar spelled z */

void json_write_string(struct buf *out, struct span text);  /* quotes and escapes; invalid UTF-8 -> U+FFFD */
void json_write_key(struct buf *out, const char *key);      /* "key": */
/* A further member of an object: ,"name":value */
void json_add_count(struct buf *out, const char *name, uint64_t n);
void json_add_text(struct buf *out, const char *name, const char *text);
void json_add_time(struct buf *out, const char *name, uint64_t us); /* as clock_iso_us; 0: null */
void json_minify(struct buf *out, struct span proven);      /* without insignificant white space; ends at tokens */
bool utf8_valid(struct span s);
