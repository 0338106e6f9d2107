#include "cli/exposition.h"
#include "tests/unit/check_main.h"

static struct buf out;

static const struct {
    const char *help, *type, *text;
} heads[] = {
    {"How many.", "counter", "# HELP a_total How many.\n# TYPE a_total counter\n"},
    {"two\nlines", "gauge", "# HELP a_total two\\nlines\n# TYPE a_total gauge\n"},
    {"a \\ and a \"quote\"", "gauge", "# HELP a_total a \\\\ and a \"quote\"\n# TYPE a_total gauge\n"},
};

START_TEST(a_family_has_help_and_type)
{
    buf_init(&out, 0);
    exposition_family(&out, "a_total", heads[_i].type, heads[_i].help);
    ck_assert_str_eq(buf_z(&out), heads[_i].text);
    buf_release(&out);
}
END_TEST

static const struct {
    const char *value;
    size_t n;
    const char *text;
} values[] = {
    {"plain", 5, "a_total{one=\"plain\",two=\"x\"} 7\n"},
    {"", 0, "a_total{one=\"\",two=\"x\"} 7\n"},
    {"a\"b", 3, "a_total{one=\"a\\\"b\",two=\"x\"} 7\n"},
    {"a\\b", 3, "a_total{one=\"a\\\\b\",two=\"x\"} 7\n"},
    {"a\nb", 3, "a_total{one=\"a\\nb\",two=\"x\"} 7\n"},
    {"\"} 9\nb_total 1", 14, "a_total{one=\"\\\"} 9\\nb_total 1\",two=\"x\"} 7\n"},
    {"grün {}", 8, "a_total{one=\"grün {}\",two=\"x\"} 7\n"},
};

START_TEST(labels_are_escaped)
{
    struct label labels[] = {{"one", {values[_i].value, values[_i].n}}, {"two", SPAN_LIT("x")}, {NULL, {0}}};
    buf_init(&out, 0);
    exposition_count(&out, "a_total", labels, 7);
    ck_assert_str_eq(buf_z(&out), values[_i].text);
    buf_release(&out);
}
END_TEST

START_TEST(without_labels)
{
    struct label none[] = {{NULL, {0}}};
    buf_init(&out, 0);
    exposition_count(&out, "a", NULL, UINT64_MAX);
    exposition_count(&out, "b", none, 0);
    ck_assert_str_eq(buf_z(&out), "a 18446744073709551615\nb 0\n");
    buf_release(&out);
}
END_TEST

static const struct {
    uint64_t us;
    const char *text;
} times[] = {
    {0, "a 0\n"},         {1, "a 0.000001\n"},       {50, "a 0.00005\n"},       {100000, "a 0.1\n"},
    {1000000, "a 1\n"},   {1000001, "a 1.000001\n"}, {2500000, "a 2.5\n"},      {10000000, "a 10\n"},
    {UINT64_C(1763711371123450), "a 1763711371.12345\n"},
};

START_TEST(microseconds_become_seconds)
{
    buf_init(&out, 0);
    exposition_seconds(&out, "a", NULL, times[_i].us);
    ck_assert_str_eq(buf_z(&out), times[_i].text);
    buf_release(&out);
}
END_TEST

START_TEST(a_histogram_in_seconds)
{
    struct histogram h = {0};
    struct histogram_snapshot s;
    histogram_observe(&h, 60);
    histogram_observe(&h, 2000);
    histogram_observe(&h, 20000000);
    histogram_snapshot(&h, &s);
    buf_init(&out, 0);
    exposition_histogram(&out, "h", &s);
    ck_assert_str_eq(buf_z(&out),
                     "h_bucket{le=\"0.00005\"} 0\nh_bucket{le=\"0.0001\"} 1\nh_bucket{le=\"0.00025\"} 1\nh_bucket{le=\"0.0005\"} 1\n"
                     "h_bucket{le=\"0.001\"} 1\nh_bucket{le=\"0.0025\"} 2\nh_bucket{le=\"0.005\"} 2\nh_bucket{le=\"0.01\"} 2\n"
                     "h_bucket{le=\"0.025\"} 2\nh_bucket{le=\"0.05\"} 2\nh_bucket{le=\"0.1\"} 2\nh_bucket{le=\"0.25\"} 2\n"
                     "h_bucket{le=\"0.5\"} 2\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"2.5\"} 2\nh_bucket{le=\"5\"} 2\n"
                     "h_bucket{le=\"10\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 20.00206\nh_count 3\n");
    buf_release(&out);
}
END_TEST

CHECK_SUITE("cli exposition", t)
{
    tcase_add_loop_test(t, a_family_has_help_and_type, 0, CHECK_ROWS(heads));
    tcase_add_loop_test(t, labels_are_escaped, 0, CHECK_ROWS(values));
    tcase_add_test(t, without_labels);
    tcase_add_loop_test(t, microseconds_become_seconds, 0, CHECK_ROWS(times));
    tcase_add_test(t, a_histogram_in_seconds);
}
