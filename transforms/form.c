#include "transforms/form.h"
#include "core/codec.h"
#include "core/json.h"

bool form_to_json(struct span body, struct buf *out)
{
    struct buf decoded = {0};
    bool ok = true, first = true;
    buf_addc(out, '{');
    while (body.n && ok) {
        struct span rest, value;
        struct span field = span_cut(body, '&', &rest);
        struct span name = span_cut(field, '=', &value);
        body = rest;
        if (!field.n)
            continue;
        if (!first)
            buf_addc(out, ',');
        first = false;
        buf_clear(&decoded);
        ok = percent_decode(&decoded, name, true);
        json_write_string(out, buf_span(&decoded));
        buf_addc(out, ':');
        buf_clear(&decoded);
        ok = ok && percent_decode(&decoded, value.p ? value : SPAN_LIT(""), true);
        json_write_string(out, buf_span(&decoded));
        out->failed |= decoded.failed;
    }
    buf_addc(out, '}');
    buf_release(&decoded);
    return ok;
}
