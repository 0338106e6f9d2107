/* The members of a large object, listed. */
#include "core/json_next.h"

bool JSON_NAME(json_list)(struct json obj, struct known_containers *k, struct json_memo_object *ret)
{
    struct json_iter it = json_iter(obj);
    for (ret->n = 0; next_value(&it, &ret->members[ret->n].key, &ret->members[ret->n].value, k);)
        if (++ret->n == JSON_MEMO_MEMBERS)
            return false;
    return true;
}
