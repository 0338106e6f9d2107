/* A call that manages webhooks: its method and path, its body, and where in the answer what stands. */
#include "sources/reader.h"
#include <stdlib.h>

#define DEEP_MAX 8
#define PARTS_MAX 128

static const char *const verbs[] = {"get", "post", "put", "patch", "delete", NULL};
static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

/* ---- a JSON body ---- */

struct body_reader {
    struct reader *rd;
    struct body_part parts[PARTS_MAX];
    size_t n;
};

static void add(struct body_reader *b, const struct yaml_node *at, struct body_part part)
{
    if (b->n < PARTS_MAX)
        b->parts[b->n] = part;
    else if (b->n == PARTS_MAX)
        report_at(b->rd->report, at, "a body of more than %d parts", PARTS_MAX);
    b->n++;
}

static bool is_raw(const struct yaml_node *n)
{
    struct span s = yaml_text(n);
    if (yaml_quoted(n) || !s.n)
        return false;
    struct json number;
    return span_eqz(s, "true") || span_eqz(s, "false") || span_eqz(s, "null") ||
           (json_parse(s, &number, NULL) && number.type == JSON_NUMBER);
}

static void add_scalar(struct body_reader *b, const struct yaml_node *n, const char *name)
{
    struct body_part part = {.mark = BODY_TEXT, .name = name};
    if (span_eqz(yaml_text(n), "{types}"))
        part.mark = BODY_TYPES;
    else if (yaml_kind(n) == YAML_NULL) {
        part.mark = BODY_RAW;
        part.raw = "null";
    } else if (is_raw(n)) {
        part.mark = BODY_RAW;
        part.raw = arena_dup(b->rd->arena, yaml_text(n));
    } else if (yaml_text(n).n && !read_template(b->rd, n, &part.text)) {
        return;
    }
    add(b, n, part);
}

/* {each: types, item: …}: a list of the item, once for each type. */
static bool is_each(const struct yaml_node *n)
{
    return yaml_kind(n) == YAML_MAP && yaml_count(n) == 2 && span_eqz(yaml_text(yaml_get(n, "each")), "types") &&
           yaml_get(n, "item");
}

struct body_place {
    const struct yaml_node *n;
    size_t i;
    bool each;
};

static bool enter(struct body_reader *b, struct body_place *stack, size_t *depth, const struct yaml_node *n, const char *name)
{
    bool each = is_each(n);
    add(b, n, (struct body_part){.mark = each ? BODY_EACH : yaml_kind(n) == YAML_MAP ? BODY_MAP : BODY_LIST, .name = name});
    if (*depth == DEEP_MAX) {
        report_at(b->rd->report, n, "nested too deep");
        return false;
    }
    stack[(*depth)++] = (struct body_place){n, each ? 1 : 0, each};
    return true;
}

static const struct yaml_node *next_value(struct reader *rd, struct body_place *at, const char **ret_name)
{
    size_t i = at->i++;
    *ret_name = NULL;
    if (at->each)
        return i == 1 ? yaml_get(at->n, "item") : NULL;
    if (i >= yaml_count(at->n))
        return NULL;
    if (yaml_kind(at->n) != YAML_MAP)
        return yaml_item(at->n, i);
    *ret_name = arena_dup(rd->arena, yaml_text(yaml_key(at->n, i)));
    return yaml_value(at->n, i);
}

static void read_json(struct reader *rd, const struct yaml_node *root, struct manage_call *ret)
{
    struct body_place stack[DEEP_MAX];
    size_t depth = 0;
    if (!root)
        return;
    if (yaml_kind(root) != YAML_MAP && yaml_kind(root) != YAML_LIST) {
        report_at(rd->report, root, "must be a map or a list");
        return;
    }
    struct body_reader *b = mem_alloc(sizeof *b);
    b->rd = rd;
    bool ok = enter(b, stack, &depth, root, NULL);
    while (ok && depth) {
        const char *name;
        const struct yaml_node *n = next_value(rd, &stack[depth - 1], &name);
        if (!n) {
            add(b, root, (struct body_part){.mark = BODY_END});
            depth--;
        } else if (yaml_kind(n) == YAML_MAP || yaml_kind(n) == YAML_LIST) {
            ok = enter(b, stack, &depth, n, name);
        } else {
            add_scalar(b, n, name);
        }
    }
    ret->n_json = b->n <= PARTS_MAX ? b->n : 0;
    ret->json = arena_alloc(rd->arena, (ret->n_json + 1) * sizeof *ret->json);
    memcpy(ret->json, b->parts, ret->n_json * sizeof *ret->json);
    free(b);
}

/* ---- a call ---- */

static void read_where(struct reader *rd, const struct yaml_node *n, struct manage_call *ret)
{
    struct reader own = *rd;
    own.roots = ROOT(BODY) | ROOT(HEADER);
    (void)read_path(&own, yaml_get(n, "records"), false, &ret->records);
    (void)read_path(&own, yaml_get(n, "id"), false, &ret->id);
    (void)read_path(&own, yaml_get(n, "secret"), false, &ret->secret);
    const struct yaml_node *page = yaml_get(n, "page");
    if (page)
        manifest_read_page(&own, page, &ret->page);
    own.roots = ROOT(RECORD);
    (void)read_path(&own, yaml_get(n, "at"), false, &ret->at);
    (void)read_path(&own, yaml_get(n, "error"), false, &ret->error);
    read_conditions(&own, yaml_get(n, "ok"), &ret->ok, &ret->n_ok);
}

static const struct yaml_node *the_verb(struct reader *rd, const struct yaml_node *n, struct manage_call *ret)
{
    const struct yaml_node *path = NULL;
    unsigned calls = 0;
    for (size_t i = 0; verbs[i]; i++) {
        const struct yaml_node *at = yaml_get(n, verbs[i]);
        if (!at)
            continue;
        path = at;
        ret->method = methods[i];
        calls++;
    }
    if (calls == 1)
        return path;
    report_at(rd->report, n, "must have one call: get, post, put, patch or delete, with its path");
    return NULL;
}

static void check_keys(struct reader *rd, const struct yaml_node *n, const char *const *more)
{
    const char *keys[24] = {"get", "post", "put", "patch", "delete", "query", "headers", "form", "json", NULL};
    size_t k = 9;
    for (size_t i = 0; more[i] && k < 23; i++)
        keys[k++] = more[i];
    keys[k] = NULL;
    report_unknown_keys(rd->report, n, keys);
}

void manifest_read_call(struct reader *rd, const struct yaml_node *n, const char *const *more, struct manage_call *ret)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(rd->report, n, "must be a call, like {post: /webhooks, json: {…}}");
        return;
    }
    check_keys(rd, n, more);
    const struct yaml_node *path = the_verb(rd, n, ret);
    if (path && (yaml_kind(path) != YAML_SCALAR || !yaml_text(path).n || yaml_text(path).p[0] != '/'))
        report_at(rd->report, path, "must be a path that begins with /");
    else if (path)
        (void)read_template(rd, path, &ret->path);
    read_params(rd, yaml_get(n, "query"), &ret->query, &ret->n_query);
    read_params(rd, yaml_get(n, "headers"), &ret->headers, &ret->n_headers);
    read_params(rd, yaml_get(n, "form"), &ret->form, &ret->n_form);
    if (yaml_get(n, "form") && yaml_get(n, "json"))
        report_at(rd->report, yaml_get(n, "json"), "a body is `form` or `json`, not both");
    read_json(rd, yaml_get(n, "json"), ret);
    read_where(rd, n, ret);
}
