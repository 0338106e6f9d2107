/* columns: which column a member of a row goes to, and what it is called.
 *
 * Two names for each: the physical one in the table of registers, a function of the name alone (SQLite compares names
 * without case, so a name with capitals carries a hash there), and the public one in the view, a function of the set of
 * names. So neither depends on which row came first. */
#include "core/codec.h"
#include "merge/sqlite.h"
#include <stdio.h>
#include <stdlib.h>

void sql_name(struct buf *out, const char *name)
{
    buf_addc(out, '"');
    for (; *name; name++) {
        if (*name == '"')
            buf_addc(out, '"');
        buf_addc(out, *name);
    }
    buf_addc(out, '"');
}

/* Usable as an identifier as it stands. */
static bool name_is_plain(struct span name)
{
    return name.n > 0 && name.n <= NAME_BYTES_MAX && !memchr(name.p, '\0', name.n) &&
           !(name.n >= 8 && strncasecmp(name.p, "_sluice_", 8) == 0);
}

static bool has_capitals(struct span name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] >= 'A' && name.p[i] <= 'Z')
            return true;
    }
    return false;
}

/* name + "_" + hex digits of its hash, malloc'ed. */
static char *name_suffixed(struct span name, int digits)
{
    size_t keep = name.n > NAME_BYTES_MAX ? NAME_BYTES_MAX : name.n;
    while (keep < name.n && keep > 0 && ((unsigned char)name.p[keep] & 0xc0) == 0x80)
        keep--;
    char *text = malloc(keep + 20);
    if (!text)
        return NULL;
    for (size_t i = 0; i < keep; i++)
        text[i] = name.p[i] ? name.p[i] : '_';
    snprintf(text + keep, 20, "_%0*llx", digits, (unsigned long long)(hash64(name) >> (64 - 4 * digits)));
    return text;
}

/* ---- the map ---- */

static size_t find_column(const struct tab *tab, struct span name)
{
    if (!tab->n_slots)
        return SIZE_MAX;
    size_t mask = tab->n_slots - 1;
    for (size_t at = hash64(name) & mask; tab->slots[at]; at = (at + 1) & mask) {
        const struct column *c = &tab->columns[tab->slots[at] - 1];
        if (c->n == name.n && memcmp(c->name, name.p, name.n) == 0)
            return tab->slots[at] - 1;
    }
    return SIZE_MAX;
}

static bool grow_map(struct tab *tab)
{
    if (tab->n_slots >= 2 * (tab->n + 1))
        return true;
    size_t n = tab->n_slots ? 2 * tab->n_slots : 64;
    uint32_t *slots = calloc(n, sizeof(*slots));
    if (!slots)
        return false;
    for (size_t i = 0; i < tab->n; i++) {
        size_t at = hash64(span_make(tab->columns[i].name, tab->columns[i].n)) & (n - 1);
        while (slots[at])
            at = (at + 1) & (n - 1);
        slots[at] = (uint32_t)i + 1;
    }
    free(tab->slots);
    tab->slots = slots;
    tab->n_slots = n;
    return true;
}

static bool physical_taken(const struct tab *tab, const char *physical)
{
    for (size_t i = 0; i < tab->n; i++) {
        if (strcasecmp(tab->columns[i].physical, physical) == 0)
            return true;
    }
    return false;
}

static char *choose_physical(const struct tab *tab, struct span name, bool is_key)
{
    char *text = NULL;
    if (name_is_plain(name) && (is_key || !has_capitals(name)))
        text = strndup(name.p, name.n);
    for (int digits = 8; !text || physical_taken(tab, text); digits = 16) {
        free(text);
        text = name_suffixed(name, digits);
        if (!text || digits == 16)
            break;
    }
    return text;
}

static unsigned carriers_of(const struct table_rule *rule, struct span name)
{
    unsigned mask = 0;
    for (unsigned s = 0; s < SHAPE_COUNT; s++) {
        if (shape_carries(rule, (enum shape)s, name))
            mask |= 1u << s;
    }
    return mask;
}

bool tab_add_column(struct tab *tab, struct span name, const char *physical, bool is_key, struct err *err)
{
    if (tab->n == tab->cap) {
        size_t cap = tab->cap ? 2 * tab->cap : 32;
        struct column *grown = realloc(tab->columns, cap * sizeof(*grown));
        if (!grown)
            return err_set(err, ERR_NOMEM, "out of memory for the columns of %s", tab->public);
        tab->columns = grown;
        tab->cap = cap;
    }
    struct column c = {.n = name.n, .seed = hash64(name), .next = SIZE_MAX};
    c.carriers = carriers_of(tab->rule, name);
    c.physical = physical ? strdup(physical) : choose_physical(tab, name, is_key);
    c.name = malloc(name.n + 1);
    if (!c.name || !c.physical || !grow_map(tab)) {
        free(c.name);
        free(c.physical);
        return err_set(err, ERR_NOMEM, "out of memory for the columns of %s", tab->public);
    }
    if (name.n)
        memcpy(c.name, name.p, name.n);
    c.name[name.n] = '\0';
    size_t at = hash64(name) & (tab->n_slots - 1);
    while (tab->slots[at])
        at = (at + 1) & (tab->n_slots - 1);
    tab->columns[tab->n++] = c;
    tab->slots[at] = (uint32_t)tab->n;
    return true;
}

/* ---- public names ---- */

static int by_name(const void *a, const void *b, void *ctx)
{
    const struct column *columns = ctx;
    const struct column *x = &columns[*(const size_t *)a], *y = &columns[*(const size_t *)b];
    int order = memcmp(x->name, y->name, x->n < y->n ? x->n : y->n);
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

static int by_folded_name(const void *a, const void *b, void *ctx)
{
    const struct column *columns = ctx;
    const struct column *x = &columns[*(const size_t *)a], *y = &columns[*(const size_t *)b];
    int order = strcasecmp(x->name, y->name);
    return order ? order : by_name(a, b, ctx);
}

static bool sorted(const struct tab *tab, int (*order)(const void *, const void *, void *), size_t **ret, struct err *err)
{
    size_t n = tab->n - tab->n_keys, *list = malloc((n + 1) * sizeof(*list));
    if (!list)
        return err_set(err, ERR_NOMEM, "out of memory for the columns of %s", tab->public);
    for (size_t i = 0; i < n; i++)
        list[i] = tab->n_keys + i;
    qsort_r(list, n, sizeof(*list), order, tab->columns);
    *ret = list;
    return true;
}

bool tab_by_name(const struct tab *tab, size_t **ret, struct err *err)
{
    return sorted(tab, by_name, ret, err);
}

static bool is_key_name(const struct tab *tab, const char *name)
{
    for (size_t i = 0; i < tab->n_keys; i++) {
        if (strcasecmp(tab->columns[i].physical, name) == 0)
            return true;
    }
    return false;
}

static bool public_taken(const struct tab *tab, char *const *names, const char *name)
{
    for (size_t i = 0; i < tab->n - tab->n_keys; i++) {
        if (names[i] && strcasecmp(names[i], name) == 0)
            return true;
    }
    return is_key_name(tab, name);
}

/* Of the names that differ by case alone, the first in byte order keeps its spelling; the others get a suffix. */
static bool name_all(const struct tab *tab, const size_t *order, char **names)
{
    size_t n = tab->n - tab->n_keys;
    const struct column *plain = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct column *c = &tab->columns[order[i]];
        if (!name_is_plain(span_make(c->name, c->n)) || (plain && strcasecmp(plain->name, c->name) == 0) ||
            is_key_name(tab, c->name))
            continue;
        plain = c;
        if (!(names[order[i] - tab->n_keys] = strdup(c->name)))
            return false;
    }
    for (size_t i = 0; i < n; i++) {
        const struct column *c = &tab->columns[order[i]];
        char **name = &names[order[i] - tab->n_keys];
        for (int digits = 4; !*name; digits *= 2) {
            char *text = name_suffixed(span_make(c->name, c->n), digits);
            if (!text)
                return false;
            if (digits < 16 && public_taken(tab, names, text))
                free(text);
            else
                *name = text;
        }
    }
    return true;
}

bool tab_public_names(const struct tab *tab, char ***ret, struct err *err)
{
    size_t *order = NULL, n = tab->n - tab->n_keys;
    if (!sorted(tab, by_folded_name, &order, err))
        return false;
    char **names = calloc(n + 1, sizeof(*names));
    bool ok = names && name_all(tab, order, names);
    free(order);
    if (!ok) {
        names_free(names, n);
        return err_set(err, ERR_NOMEM, "out of memory for the columns of %s", tab->public);
    }
    *ret = names;
    return true;
}

void names_free(char **names, size_t n)
{
    for (size_t i = 0; names && i < n; i++)
        free(names[i]);
    free(names);
}

void tab_free(struct tab *tab)
{
    for (size_t i = 0; i < tab->n; i++) {
        free(tab->columns[i].name);
        free(tab->columns[i].physical);
    }
    free(tab->columns);
    free(tab->slots);
    sqlite3_finalize(tab->find);
    sqlite3_finalize(tab->insert);
    sqlite3_finalize(tab->update);
    sqlite3_finalize(tab->mark);
    for (size_t i = 0; i < SHAPE_COUNT; i++)
        sqlite3_finalize(tab->read[i]);
    free(tab->physical);
    free(tab->public);
    free(tab);
}

/* ---- the row at hand ---- */

static bool refused(struct sqlite_target *t)
{
    t->refused = true;
    return false;
}
#define refuse(t, err, ...) (err_set(err, ERR_INPUT, __VA_ARGS__) || refused(t))

bool surplus_add(struct sqlite_target *t, struct span name, struct span value, unsigned from, struct err *err)
{
    if (t->n_surplus == SURPLUS_MAX)
        return refuse(t, err, "the row has more than %d members", COLUMNS_MAX + SURPLUS_MAX);
    if (t->n_surplus == t->cap_surplus) {
        size_t cap = t->cap_surplus ? 2 * t->cap_surplus : 64;
        struct surplus *grown = realloc(t->surplus, cap * sizeof(*grown));
        if (!grown)
            return err_set(err, ERR_NOMEM, "out of memory for a row of many members");
        t->surplus = grown;
        t->cap_surplus = cap;
    }
    t->surplus[t->n_surplus++] = (struct surplus){name, value, from};
    return true;
}

static int by_surplus(const void *a, const void *b)
{
    const struct surplus *x = a, *y = b;
    int order = memcmp(x->name.p, y->name.p, x->name.n < y->name.n ? x->name.n : y->name.n);
    if (!order)
        order = (x->name.n > y->name.n) - (x->name.n < y->name.n);
    return order ? order : (x->from > y->from) - (x->from < y->from);
}

bool surplus_write(struct sqlite_target *t, struct err *err)
{
    if (t->n_surplus)
        qsort(t->surplus, t->n_surplus, sizeof(*t->surplus), by_surplus);
    buf_clear(&t->more);
    for (size_t i = 0; i < t->n_surplus; i++) {
        if (i + 1 < t->n_surplus && span_eq(t->surplus[i].name, t->surplus[i + 1].name))
            continue;
        buf_addc(&t->more, t->more.n ? ',' : '{');
        json_write_string(&t->more, t->surplus[i].name);
        buf_addc(&t->more, ':');
        buf_adds(&t->more, t->surplus[i].value);
    }
    if (t->n_surplus)
        buf_addc(&t->more, '}');
    return buf_ok(&t->more) || err_set(err, ERR_NOMEM, "out of memory for a row of many members");
}

/* A member's name, escapes resolved: into scratch, since surplus keeps it until the row is done. */
static bool decode_name(struct sqlite_target *t, struct span *name, struct err *err)
{
    if (!name->n || !memchr(name->p, '\\', name->n))
        return true;
    size_t at = t->scratch.n;
    if (!json_unescape(&t->scratch, *name))
        return refuse(t, err, "a column's name has a wrong escape");
    if (!buf_ok(&t->scratch))
        return err_set(err, ERR_NOMEM, "out of memory for a column's name");
    *name = span_make(t->scratch.p + at, t->scratch.n - at);
    return true;
}

bool take_key(struct sqlite_target *t, struct tab *tab, const struct row *row, struct err *err)
{
    struct json key = {JSON_OBJECT, row->key};
    buf_clear(&t->scratch);
    if (!row->key.n || row->key.p[0] != '{')
        return refuse(t, err, "the row's key is no object");
    if (!buf_reserve(&t->scratch, 2 * (row->key.n + row->row.n) + 64))
        return err_set(err, ERR_NOMEM, "out of memory for a row of %zu bytes", row->row.n);
    for (size_t i = 0; i < tab->n_keys; i++) {
        struct column *c = &tab->columns[i];
        if (!cell_of(json_get(key, span_make(c->name, c->n)), true, &t->scratch, &c->cell, err))
            return refused(t);
        if (c->cell.type == CELL_NULL)
            return refuse(t, err, "the row's key has no value for '%s'", c->name);
    }
    return true;
}

/* The column of a name; a new one is made while there is room, else SIZE_MAX. */
static bool place(struct sqlite_target *t, struct tab *tab, struct span name, size_t before, size_t *ret, struct err *err)
{
    size_t guess = before < tab->n ? tab->columns[before].next : SIZE_MAX;
    if (guess < tab->n && tab->columns[guess].n == name.n && memcmp(tab->columns[guess].name, name.p, name.n) == 0) {
        *ret = guess;
        return true;
    }
    size_t at = find_column(tab, name);
    if (at == SIZE_MAX && tab->n - tab->n_keys < COLUMNS_MAX) {
        if (!tab_add_column(tab, name, NULL, false, err) ||
            !tab_alter(t, tab, tab->columns[tab->n - 1].physical, err))
            return false;
        at = tab->n - 1;
    }
    if (before < tab->n)
        tab->columns[before].next = at;
    *ret = at;
    return true;
}

/* Equal for rows that say the same in the columns that every shape carries. */
static uint64_t content_of(const struct sqlite_target *t, const struct tab *tab)
{
    uint64_t sum = 0;
    const unsigned all = (1u << SHAPE_COUNT) - 1;
    for (size_t i = tab->n_keys; i < tab->n; i++) {
        const struct column *c = &tab->columns[i];
        if (c->seen == t->serial && c->carriers == all && c->cell.type != CELL_NULL)
            sum += cell_hash(c->seed, &c->cell);
    }
    return sum;
}

bool take_row(struct sqlite_target *t, struct tab *tab, const struct row *row, struct err *err)
{
    t->serial++;
    t->n_surplus = 0;
    buf_clear(&t->more);
    if (!row->row.n || row->row.p[0] != '{')
        return refuse(t, err, "the row of an upsert is no object");
    struct json_iter it = json_iter((struct json){JSON_OBJECT, row->row});
    struct span name;
    struct json value;
    unsigned place_in_row = 0;
    size_t before = SIZE_MAX, at;
    while (json_next(&it, &name, &value)) {
        place_in_row++;
        if (!decode_name(t, &name, err) || !place(t, tab, name, before, &at, err))
            return false;
        if (at == SIZE_MAX) {
            if (!surplus_add(t, name, value.raw, place_in_row, err))
                return false;
            continue;
        }
        before = at;
        if (at < tab->n_keys)
            continue;
        if (!cell_of(value, false, &t->scratch, &tab->columns[at].cell, err))
            return refused(t);
        tab->columns[at].seen = t->serial;
    }
    t->content = (int64_t)content_of(t, tab);
    if (!t->n_surplus)
        return true;
    return surplus_write(t, err) && tab_note_more(t, tab, err);
}
