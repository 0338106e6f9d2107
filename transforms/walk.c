#include "transforms/walk.h"

bool walk_begin(struct walk *w, const struct path *path, const struct scope *scope, struct buf *scratch,
                struct json *ret_found)
{
    struct path head = *path;
    if (path->root_each) {
        head.n_steps = 0;
    } else {
        for (size_t i = 0; i < path->n_steps; i++) {
            if (path->steps[i].each) {
                head.n_steps = i + 1;
                break;
            }
        }
    }
    struct value v = path_eval(&head, scope, scratch);
    *w = (struct walk){.path = path};
    *ret_found = v.kind == VALUE_JSON ? v.json : (struct json){0};
    if (ret_found->type != JSON_ARRAY)
        return false;
    w->list[0] = json_iter(*ret_found);
    w->step[0] = head.n_steps;
    w->depth = 1;
    return true;
}

bool walk_next(struct walk *w, struct json *ret)
{
    while (w->depth) {
        struct span key;
        struct json value;
        size_t top = w->depth - 1, step = w->step[top];
        if (!json_next(&w->list[top], &key, &value)) {
            w->depth--;
            continue;
        }
        bool opened = false;
        for (; step < w->path->n_steps; step++) {
            value = json_get(value, w->path->steps[step].name);
            if (w->path->steps[step].each) {
                if (value.type == JSON_ARRAY && w->depth < WALK_LISTS_MAX) {
                    w->list[w->depth] = json_iter(value);
                    w->step[w->depth] = step + 1;
                    w->depth++;
                }
                opened = true;
                break;
            }
        }
        if (opened)
            continue;
        *ret = value;
        return true;
    }
    return false;
}
