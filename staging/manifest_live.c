#include "staging/manifest_live.h"
#include "core/mem.h"
#include <stdlib.h>

#define TEXT_MAX ((size_t)16 << 20)

void live_init(struct live *l)
{
    *l = (struct live){0};
    buf_init(&l->text, TEXT_MAX);
}

static void forget(struct live *l)
{
    buf_clear(&l->text);
    free(l->dead);
    free(l->listed);
    l->dead = l->listed = NULL;
    l->n_dead = l->n_listed = 0;
    l->joined = (struct json){0};
    l->tag[0] = l->folder[0] = '\0';
}

void live_release(struct live *l)
{
    forget(l);
    buf_release(&l->text);
}

bool live_is_joined(const char *key)
{
    struct object_name n;
    return object_name_parse(span_of(key), &n) && span_starts(n.lane, SPAN_LIT("joined-"));
}

static int by_hash(const void *a, const void *b)
{
    const struct hash128 *x = a, *y = b;
    return x->hi != y->hi ? (x->hi > y->hi) - (x->hi < y->hi) : (x->lo > y->lo) - (x->lo < y->lo);
}

static bool holds(const struct hash128 *sorted, size_t n, const char *key)
{
    struct hash128 wanted = hash128(span_of(key));
    return n && bsearch(&wanted, sorted, n, sizeof(wanted), by_hash) != NULL;
}

static struct hash128 name_hash(struct json object)
{
    return hash128(json_inner(json_get(object, SPAN_LIT("object")))); /* keys need no escapes */
}

static bool index_parts(struct live *l)
{
    struct json one, part;
    struct span key;
    size_t n = 0, joins = json_count(l->joined);
    for (struct json_iter i = json_iter(l->joined); json_next(&i, &key, &one);)
        n += json_count(json_get(one, SPAN_LIT("parts")));
    l->dead = calloc(n + 1, sizeof(*l->dead));
    l->listed = calloc(joins + 1, sizeof(*l->listed));
    if (!l->dead || !l->listed)
        return false;
    for (struct json_iter i = json_iter(l->joined); json_next(&i, &key, &one);) {
        l->listed[l->n_listed++] = name_hash(one);
        for (struct json_iter k = json_iter(json_get(one, SPAN_LIT("parts"))); json_next(&k, &key, &part);)
            l->dead[l->n_dead++] = name_hash(part);
    }
    qsort(l->dead, l->n_dead, sizeof(*l->dead), by_hash);
    qsort(l->listed, l->n_listed, sizeof(*l->listed), by_hash);
    return true;
}

static size_t folder_of(const char *key, char folder[STORE_KEY_MAX + 1])
{
    const char *slash = strrchr(key, '/');
    size_t n = slash ? (size_t)(slash + 1 - key) : 0;
    n = n <= STORE_KEY_MAX ? n : 0;
    memcpy(folder, key, n);
    folder[n] = '\0';
    return n;
}

bool live_load(struct live *l, struct store *s, const char *key, struct err *err)
{
    char path[STORE_KEY_MAX + sizeof(MANIFEST_NAME)];
    struct json root;
    int64_t format;
    forget(l);
    size_t n = folder_of(key, l->folder);
    memcpy(path, l->folder, n);
    memcpy(path + n, MANIFEST_NAME, sizeof(MANIFEST_NAME));
    if (!s->ops->load(s, path, &l->text, l->tag, err))
        return false;
    if (!l->tag[0])
        return true;
    bool ok = json_parse(buf_span(&l->text), &root, err) && json_int64(json_get(root, SPAN_LIT("format")), &format) &&
        format == 1;
    if (!ok) {
        forget(l);
        return err_set(err, ERR_CONFIG, "%s is damaged, or of a newer version: nothing in its folder is read", path);
    }
    l->joined = json_get(root, SPAN_LIT("joined"));
    return index_parts(l) || err_set(err, ERR_NOMEM, "out of memory for %s", path);
}

bool live_see(struct live *l, struct store *s, const char *key, bool *ret, struct err *err)
{
    char folder[STORE_KEY_MAX + 1];
    size_t n = folder_of(key, folder);
    struct object_name name;
    *ret = false;
    if (strcmp(key + n, MANIFEST_NAME) == 0)
        return live_load(l, s, key, err);
    if (!object_name_parse(span_of(key), &name))
        return true;
    if (strcmp(folder, l->folder) != 0) /* a folder without a manifest */
        forget(l);
    *ret = span_starts(name.lane, SPAN_LIT("joined-")) ? holds(l->listed, l->n_listed, key) && !holds(l->dead, l->n_dead, key)
                                                        : !holds(l->dead, l->n_dead, key);
    return true;
}

bool live_parts(const struct live *l, const char *key, bool (*each)(void *ctx, struct span part, uint64_t rows), void *ctx,
                bool *ret_found, struct err *err)
{
    struct json one, part;
    struct span name;
    int64_t rows;
    *ret_found = false;
    for (struct json_iter i = json_iter(l->joined); json_next(&i, &name, &one);) {
        if (!json_eqz(json_get(one, SPAN_LIT("object")), key))
            continue;
        *ret_found = true;
        for (struct json_iter k = json_iter(json_get(one, SPAN_LIT("parts"))); json_next(&k, &name, &part);) {
            if (!json_int64(json_get(part, SPAN_LIT("rows")), &rows) || rows < 0)
                return err_set(err, ERR_CONFIG, "%s" MANIFEST_NAME " is damaged: a part without its rows", l->folder);
            if (!each(ctx, json_inner(json_get(part, SPAN_LIT("object"))), (uint64_t)rows))
                return true;
        }
    }
    return true;
}
