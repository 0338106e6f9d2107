/* json_loops: the loops over whole texts that JSON's cost lies in. Private to core/json*.c.
 *
 * core/json_blocks.c, core/json_list.c and core/json_prove.c are compiled for any processor, and on x86-64 once more for those
 * with AVX2, where each name ends in _wide (CMakeLists.txt). Which is called is decided by what the processor has.
 * Threads: pure functions. */
#pragma once
#include "core/json.h"

#ifdef __x86_64__
#define JSON_HAS_WIDE 1
#define JSON_LOOP(name) (json_can_wide() ? name##_wide : name##_plain)
static inline bool json_can_wide(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("pclmul");
}
#else
#define JSON_LOOP(name) name##_plain
#endif
#ifdef JSON_WIDE
#define JSON_NAME(name) name##_wide
#else
#define JSON_NAME(name) name##_plain
#endif

/* What ends plain text in a string, 32 times each: a quote, a backslash, a space (signed, what is below it). In memory, because
 * what a compiler knows it makes anew for each string. */
extern _Alignas(32) const char json_marks[3][32];

struct json_proof {
    struct json_container *containers; /* filled with those of the text, or NULL */
    uint32_t n, max;                   /* n stays below max, where there are as many or more */
    const char *end;                   /* behind the value, once it is proven */
    const char *at;                    /* else: where something else was expected, */
    const char *what;                  /* and what */
};
/* Whether the text from p to `end` begins with one well-formed value. Its containers' offsets count from p. */
bool json_prove_plain(const char *p, const char *end, struct json_proof *proof);
bool json_prove_wide(const char *p, const char *end, struct json_proof *proof);

/* Behind the end of the proven container whose opening bracket is at p; `end` may lie further on. */
const char *json_skip_plain(const char *p, const char *end);
const char *json_skip_wide(const char *p, const char *end);

struct known_containers { /* what a walk over a proven container knows of those that it comes to */
    const char *text;
    const struct json_container *list; /* NULL: nothing */
    uint32_t next;
};
/* The members of a proven object; false: there are too many. */
bool json_list_plain(struct json obj, struct known_containers *k, struct json_memo_object *ret);
bool json_list_wide(struct json obj, struct known_containers *k, struct json_memo_object *ret);

/* Writes the proven text without insignificant white space. Up to JSON_SLACK bytes behind what it writes are overwritten, too.
 * Returns how many it wrote. */
#define JSON_SLACK 64
size_t json_squeeze_plain(char *out, const char *p, const char *end);
size_t json_squeeze_wide(char *out, const char *p, const char *end);
