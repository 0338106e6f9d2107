#include "sources/reader.h"

/* The calls that manage webhooks are kept as written; here their form is checked, so that a manifest is wrong now
 * rather than on the day it is needed. */

static const char *const verbs[] = {"get", "post", "put", "patch", "delete", NULL};

static bool is_verb(struct span s)
{
    return strings_have(verbs, s);
}

#define VALUES_DEEP_MAX 8

/* Every text with braces must be a template, however deep in form or json it stands. */
static void check_values(struct reader *rd, const struct yaml_node *root)
{
    struct {
        const struct yaml_node *n;
        size_t i;
    } stack[VALUES_DEEP_MAX] = {{root, 0}};
    struct template ignored;
    for (size_t depth = 1; depth > 0;) {
        const struct yaml_node *at = stack[depth - 1].n;
        size_t i = stack[depth - 1].i++;
        if (i >= yaml_count(at)) {
            depth--;
            continue;
        }
        const struct yaml_node *n = yaml_kind(at) == YAML_MAP ? yaml_value(at, i) : yaml_item(at, i);
        struct span text = yaml_text(n);
        if (yaml_kind(n) == YAML_SCALAR && memchr(text.p, '{', text.n))
            (void)read_template(rd, n, &ignored);
        if (yaml_count(n) && depth < VALUES_DEEP_MAX) {
            stack[depth].n = n;
            stack[depth++].i = 0;
        } else if (yaml_count(n)) {
            report_at(rd->report, n, "nested too deep");
        }
    }
}

static void check_call(struct reader *rd, const struct yaml_node *n)
{
    static const char *const keys[] = {"get",  "post",    "put",    "patch",   "delete", "form",
                                       "json", "records", "secret", "headers", "read",   NULL};
    const struct yaml_node *path = NULL;
    unsigned calls = 0;
    if (!n || !read_map(rd, n, keys))
        return;
    for (size_t i = 0; i < yaml_count(n); i++) {
        if (is_verb(yaml_text(yaml_key(n, i)))) {
            path = yaml_value(n, i);
            calls++;
        }
    }
    if (calls != 1)
        report_at(rd->report, n, "must have one call: get, post, put, patch or delete, with its path");
    else if (yaml_kind(path) != YAML_SCALAR || (yaml_text(path).n && yaml_text(path).p[0] != '/'))
        report_at(rd->report, path, "must be a path that begins with /");
    check_values(rd, n);
}

void manifest_read_webhook(struct reader *rd, const struct yaml_node *n)
{
    static const char *const keys[] = {"per",    "create", "list",      "update",     "delete",  "secret",
                                       "rotate", "by_hand", "redeliver", "deliveries", NULL};
    static const char *const rotations[] = {"call", "second-endpoint", "by_hand", NULL};
    static const char *const calls[] = {"create", "list", "update", "delete", "redeliver", "deliveries", NULL};
    unsigned rotate;
    struct path per;
    struct template text;
    if (!read_map(rd, n, keys))
        return;
    rd->roots = ROOTS_MANAGE;
    rd->secrets = true;
    rd->m->webhook.present = true;
    if (read_template(rd, yaml_get(n, "by_hand"), &text))
        rd->m->webhook.by_hand = text.text;
    const struct yaml_node *r = yaml_get(n, "rotate");
    if (yaml_kind(r) == YAML_MAP) {
        check_call(rd, r);
        rd->m->webhook.rotate = rotations[0];
    } else if (read_word(rd, r, rotations, &rotate)) {
        rd->m->webhook.rotate = rotations[rotate];
    }
    for (size_t i = 0; calls[i]; i++)
        check_call(rd, yaml_get(n, calls[i]));
    if (yaml_get(n, "per"))
        (void)read_path(rd, yaml_get(n, "per"), false, &per);
    const struct yaml_node *secret = yaml_get(n, "secret");
    if (secret && !span_eqz(yaml_text(secret), "chosen"))
        (void)read_path(rd, secret, false, &per);
}
