/* From text to a proven value. */
#include "core/json_loops.h"
#include "core/json_scan.h"

#define EIGHT(c) c, c, c, c, c, c, c, c
#define ALL(c) {EIGHT(c), EIGHT(c), EIGHT(c), EIGHT(c)}
_Alignas(32) const char json_marks[3][32] = {ALL('"'), ALL('\\'), ALL(' ')};

static enum json_type type_of(char c)
{
    switch (c) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

static bool parse(struct span text, struct json_proof *proof, struct json *ret, struct err *err)
{
    if (!text.n)
        return err_set(err, ERR_INPUT, "not JSON: the text is empty");
    const char *end = text.p + text.n, *from = scan_space(text.p, end);
    bool ok = JSON_LOOP(json_prove)(from, end, proof);
    if (ok) {
        proof->at = scan_space(proof->end, end);
        proof->what = "the end";
        ok = proof->at == end;
    }
    if (!ok)
        return err_set(err, ERR_INPUT, "not JSON: at byte %zu expected %s", (size_t)(proof->at - text.p), proof->what);
    *ret = (struct json){type_of(*from), {from, (size_t)(proof->end - from)}};
    return true;
}

bool json_parse(struct span text, struct json *ret, struct err *err)
{
    struct json_proof proof = {0};
    return parse(text, &proof, ret, err);
}

bool json_parse_memo(struct json_memo *m, struct span text, struct json *ret, struct err *err)
{
    struct json_proof proof = {.containers = text.n <= UINT32_MAX ? m->containers : NULL, .max = JSON_MEMO_CONTAINERS};
    m->n_containers = 0;
    if (!parse(text, &proof, ret, err))
        return false;
    m->text = ret->raw.p;
    m->n_containers = proof.n + 1 < proof.max ? proof.n : 0;
    return true;
}

bool utf8_valid(struct span s)
{
    const char *p = s.p, *end = p + s.n;
    while (p < end) {
        if (end - p >= 8 && !(scan_load(p) & SCAN_HIGHS)) {
            p += 8;
            continue;
        }
        size_t n = scan_utf8(p, end);
        if (!n)
            return false;
        p += n;
    }
    return true;
}
