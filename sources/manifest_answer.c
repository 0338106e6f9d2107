#include "sources/reader.h"

void manifest_read_answer(struct reader *rd, const struct yaml_node *n)
{
    static const char *const keys[] = {"bad_signature", "missing", "malformed", "empty", NULL};
    struct answer_rule *a = &rd->m->answer;
    *a = (struct answer_rule){.bad_signature = 401, .missing = 401, .malformed = 400};
    if (!read_map(rd, n, keys))
        return;
    read_u32(rd, yaml_get(n, "bad_signature"), 400, 499, &a->bad_signature);
    read_u32(rd, yaml_get(n, "missing"), 400, 499, &a->missing);
    read_u32(rd, yaml_get(n, "malformed"), 400, 499, &a->malformed);
    read_bool(rd, yaml_get(n, "empty"), &a->empty);
}
