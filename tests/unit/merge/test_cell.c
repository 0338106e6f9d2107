/* What a JSON value is in the table: nothing may be lost. */
#include "harness.h"

static const struct {
    const char *json;
    bool is_key;
    const char *expected; /* typeof:value */
} cases[] = {
    {"null", false, "null:null"},
    {"true", false, "int:1"},
    {"false", false, "int:0"},
    {"0", false, "int:0"},
    {"-0", false, "int:0"},
    {"9223372036854775807", false, "int:9223372036854775807"},
    {"-9223372036854775808", false, "int:-9223372036854775808"},
    {"9223372036854775808", false, "text:\"9223372036854775808\""},
    {"9007199254740993", false, "int:9007199254740993"},
    {"12345678901234567890", false, "text:\"12345678901234567890\""},
    {"0.1", false, "real:0.1"},
    {"1.0", false, "real:1.0"},
    {"1.0", true, "int:1"},
    {"1e3", true, "int:1000"},
    {"-0.0", true, "int:0"},
    {"1.5", true, "real:1.5"},
    {"1e18", true, "int:1000000000000000000"},
    {"19.99", false, "real:19.99"},
    {"-19.990", false, "real:-19.99"},
    {"0.30000000000000004", false, "real:0.30000000000000004"},
    {"0.30000000000000001", false, "text:\"0.30000000000000001\""},
    {"0.1000000000000000055511151231257827", false, "text:\"0.1000000000000000055511151231257827\""},
    {"123456789012345.678", false, "text:\"123456789012345.678\""},
    {"1e400", false, "text:\"1e400\""},
    {"1e-400", false, "text:\"1e-400\""},
    {"5e-324", false, "text:\"5e-324\""},
    {"0e99", false, "real:0.0"},
    {"1E2", false, "real:100.0"},
    {"100000000000000000000000", false, "real:1e+23"},
    {"\"\"", false, "text:\"\""},
    {"\"0012\"", false, "text:\"0012\""},
    {"\"1\"", true, "text:\"1\""},
    {"\"a\\u0000b\\n\\\"\\ud83d\\ude00\"", false, "text:\"a\\u0000b\\n\\\"\xf0\x9f\x98\x80\""},
    {"{\"a\": [1, 2.50]}", false, "text:\"{\\\"a\\\": [1, 2.50]}\""},
    {"[]", false, "text:\"[]\""},
};

START_TEST(values_keep_their_meaning)
{
    static const char *const types[] = {"null", "int", "real", "text"};
    struct buf scratch = {0}, out = {0};
    struct json v;
    struct cell c;
    struct err err = {0};
    ck_assert(buf_reserve(&scratch, 1024));
    ck_assert_msg(json_parse(span_of(cases[_i].json), &v, &err), "%s", err.msg);
    ck_assert_msg(cell_of(v, cases[_i].is_key, &scratch, &c, &err), "%s", err.msg);
    buf_addf(&out, "%s:", types[c.type]);
    cell_write_json(&out, &c);
    ck_assert_str_eq(buf_z(&out), cases[_i].expected);
    buf_release(&scratch);
    buf_release(&out);
}
END_TEST

/* A value that went through SQLite is the value that went in. */
START_TEST(values_survive_sqlite)
{
    struct buf scratch = {0};
    struct db db;
    struct json v;
    struct cell c;
    struct err err = {0};
    sqlite3_stmt *st;
    bool row;
    ck_assert(buf_reserve(&scratch, 1024));
    ck_assert_msg(json_parse(span_of(cases[_i].json), &v, &err), "%s", err.msg);
    ck_assert(cell_of(v, cases[_i].is_key, &scratch, &c, &err));
    db = (struct db){0};
    ck_assert_int_eq(sqlite3_open(":memory:", &db.handle), SQLITE_OK);
    ck_assert(db_exec(&db, "CREATE TABLE t (v)", &err));
    ck_assert(db_prepare(&db, &st, "INSERT INTO t VALUES (?) RETURNING v", &err));
    ck_assert_int_eq(cell_bind(st, 1, &c), SQLITE_OK);
    ck_assert(db_step(&db, st, &row, &err));
    ck_assert(row);
    ck_assert(cell_is_column(&c, st, 0));
    struct cell other = {.type = CELL_TEXT, .text = SPAN_LIT("something else")};
    ck_assert(!cell_is_column(&other, st, 0));
    sqlite3_finalize(st);
    db_close(&db);
    buf_release(&scratch);
}
END_TEST

START_TEST(hashes_tell_types_apart)
{
    const struct cell cells[] = {{.type = CELL_NULL},
                                 {.type = CELL_INT, .i = 1},
                                 {.type = CELL_INT, .i = 2},
                                 {.type = CELL_REAL, .d = 1},
                                 {.type = CELL_TEXT, .text = SPAN_LIT("1")},
                                 {.type = CELL_TEXT, .text = SPAN_LIT("")}};
    for (size_t i = 0; i < 6; i++) {
        for (size_t k = 0; k < 6; k++)
            ck_assert_int_eq(cell_hash(7, &cells[i]) == cell_hash(7, &cells[k]), i == k);
    }
    ck_assert(cell_hash(7, &cells[1]) != cell_hash(8, &cells[1]));
}
END_TEST

static TCase *make(void)
{
    TCase *tc = tcase_create("cell");
    tcase_add_loop_test(tc, values_keep_their_meaning, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_loop_test(tc, values_survive_sqlite, 0, sizeof(cases) / sizeof(cases[0]));
    tcase_add_test(tc, hashes_tell_types_apart);
    return tc;
}

int main(void)
{
    return run_suite(make);
}
