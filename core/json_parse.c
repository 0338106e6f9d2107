/* From text to a proven value. */
#include "core/json_loops.h"
#include "core/json_scan.h"

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

bool json_parse(struct span text, struct json *ret, struct err *err)
{
    if (!text.n)
        return err_set(err, ERR_INPUT, "not JSON: the text is empty");
    const char *end = text.p + text.n, *from = scan_space(text.p, end);
    struct json_proof proof;
    if (JSON_LOOP(json_prove)(from, end, &proof)) {
        proof.at = scan_space(proof.end, end);
        proof.what = proof.at == end ? NULL : "the end";
    }
    if (proof.what)
        return err_set(err, ERR_INPUT, "not JSON: at byte %zu expected %s", (size_t)(proof.at - text.p), proof.what);
    *ret = (struct json){type_of(*from), {from, (size_t)(proof.end - from)}};
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
