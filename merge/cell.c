#include "merge/cell.h"
#include "core/codec.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER_BYTES_MAX 400
#define DIGITS_MAX 24
#define DIGITS_ALWAYS_EXACT 15 /* any decimal of so many digits comes back from a double (DBL_DIG) */

struct decimal { /* 0.<digits> * 10^exponent, without zeros at either end; n 0: zero */
    char digits[DIGITS_MAX];
    size_t n;
    long exponent;
    bool too_long;
};

/* `s` has the syntax of a JSON number. */
static struct decimal decimal_of(struct span s)
{
    struct decimal d = {.n = 0};
    bool point = false;
    size_t i = 0, zeros = 0;
    for (; i < s.n; i++) {
        char c = s.p[i];
        if (c == '-')
            continue;
        if (c == '.') {
            point = true;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        if (!point)
            d.exponent++;
        if (c == '0') {
            if (d.n == 0)
                d.exponent--;
            else
                zeros++;
            continue;
        }
        if (d.n + zeros + 1 > DIGITS_MAX) {
            d.too_long = true;
            continue;
        }
        for (; zeros; zeros--)
            d.digits[d.n++] = '0';
        d.digits[d.n++] = c;
    }
    if (i < s.n) {
        char text[16] = {0};
        struct span e = span_skip(s, i + 1);
        if (e.n >= sizeof(text)) {
            d.too_long = true;
            return d;
        }
        memcpy(text, e.p, e.n);
        d.exponent += strtol(text, NULL, 10);
    }
    return d;
}

/* Whether a double holds the spelled value, so that nothing is lost by storing it as one. */
static bool real_of(struct span spelled, double *ret)
{
    char text[NUMBER_BYTES_MAX + 1];
    if (spelled.n > NUMBER_BYTES_MAX)
        return false;
    struct decimal want = decimal_of(spelled);
    if (want.too_long)
        return false;
    if (want.n == 0) {
        *ret = 0;
        return true;
    }
    memcpy(text, spelled.p, spelled.n);
    text[spelled.n] = '\0';
    double v = strtod(text, NULL);
    if (!isnormal(v))
        return false;
    if (want.n > DIGITS_ALWAYS_EXACT) {
        int n = snprintf(text, sizeof(text), "%.17g", v);
        struct decimal got = decimal_of(span_make(text, (size_t)n));
        if (got.n != want.n || got.exponent != want.exponent || memcmp(got.digits, want.digits, got.n) != 0)
            return false;
    }
    *ret = v;
    return true;
}

static void cell_number(struct span raw, struct json v, bool is_key, struct cell *c)
{
    if (json_int64(v, &c->i)) {
        c->type = CELL_INT;
    } else if (real_of(raw, &c->d)) {
        c->type = CELL_REAL;
        if (is_key && c->d >= -9.2e18 && c->d <= 9.2e18 && c->d == floor(c->d)) {
            c->type = CELL_INT;
            c->i = (int64_t)c->d;
        }
    } else {
        c->type = CELL_TEXT;
        c->text = raw;
    }
}

bool cell_of(struct json v, bool is_key, struct buf *scratch, struct cell *ret, struct err *err)
{
    struct cell c = {.type = CELL_NULL};
    switch (v.type) {
    case JSON_NONE:
    case JSON_NULL:
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        c.type = CELL_INT;
        c.i = v.type == JSON_TRUE;
        break;
    case JSON_NUMBER:
        cell_number(v.raw, v, is_key, &c);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        c.type = CELL_TEXT;
        c.text = v.raw;
        break;
    case JSON_STRING:
        c.type = CELL_TEXT;
        c.text = json_inner(v);
        if (c.text.n && memchr(c.text.p, '\\', c.text.n)) {
            size_t at = scratch->n;
            if (!json_unescape(scratch, c.text))
                return err_set(err, ERR_INPUT, "a text of the row has a wrong escape");
            if (!buf_ok(scratch))
                return err_set(err, ERR_NOMEM, "out of memory for a row's text");
            c.text = (struct span){scratch->p + at, scratch->n - at};
        }
        break;
    }
    *ret = c;
    return true;
}

int cell_bind(sqlite3_stmt *st, int at, const struct cell *c)
{
    switch (c->type) {
    case CELL_INT:
        return sqlite3_bind_int64(st, at, c->i);
    case CELL_REAL:
        return sqlite3_bind_double(st, at, c->d);
    case CELL_TEXT:
        return sqlite3_bind_text64(st, at, c->text.n ? c->text.p : "", c->text.n, SQLITE_STATIC, SQLITE_UTF8);
    case CELL_NULL:
        break;
    }
    return sqlite3_bind_null(st, at);
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

uint64_t cell_hash(uint64_t seed, const struct cell *c)
{
    uint64_t value = 0;
    if (c->type == CELL_INT)
        value = (uint64_t)c->i;
    else if (c->type == CELL_REAL)
        memcpy(&value, &c->d, sizeof(value));
    else if (c->type == CELL_TEXT)
        value = hash64(c->text);
    return mix(mix(seed + (uint64_t)c->type) ^ value);
}

static struct span column_text(sqlite3_stmt *st, int i)
{
    const void *p = sqlite3_column_text(st, i);
    return span_make(p, p ? (size_t)sqlite3_column_bytes(st, i) : 0);
}

bool cell_is_column(const struct cell *c, sqlite3_stmt *st, int i)
{
    switch (sqlite3_column_type(st, i)) {
    case SQLITE_INTEGER:
        return c->type == CELL_INT && c->i == sqlite3_column_int64(st, i);
    case SQLITE_FLOAT:
        return c->type == CELL_REAL && c->d == sqlite3_column_double(st, i);
    case SQLITE_TEXT:
        return c->type == CELL_TEXT && span_eq(c->text, column_text(st, i));
    default:
        return c->type == CELL_NULL;
    }
}

bool cell_eq(const struct cell *a, const struct cell *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case CELL_INT:
        return a->i == b->i;
    case CELL_REAL:
        return a->d == b->d;
    case CELL_TEXT:
        return span_eq(a->text, b->text);
    case CELL_NULL:
        break;
    }
    return true;
}

static void write_real(struct buf *out, double v)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_addz(out, text);
    if (!strpbrk(text, ".e"))
        buf_addz(out, ".0");
}

void cell_write_json(struct buf *out, const struct cell *c)
{
    switch (c->type) {
    case CELL_INT:
        buf_addf(out, "%lld", (long long)c->i);
        break;
    case CELL_REAL:
        write_real(out, c->d);
        break;
    case CELL_TEXT:
        json_write_string(out, c->text);
        break;
    case CELL_NULL:
        buf_addz(out, "null");
        break;
    }
}

void column_write_json(struct buf *out, sqlite3_stmt *st, int i)
{
    struct cell c = {.type = CELL_NULL};
    switch (sqlite3_column_type(st, i)) {
    case SQLITE_INTEGER:
        c = (struct cell){.type = CELL_INT, .i = sqlite3_column_int64(st, i)};
        break;
    case SQLITE_FLOAT:
        c = (struct cell){.type = CELL_REAL, .d = sqlite3_column_double(st, i)};
        break;
    case SQLITE_TEXT:
        c = (struct cell){.type = CELL_TEXT, .text = column_text(st, i)};
        break;
    default:
        break;
    }
    cell_write_json(out, &c);
}
