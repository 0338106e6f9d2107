#include "sources/reader.h"
#include <regex.h>

/* Field names, and every other name that becomes part of a path. */
static bool is_name(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        bool letter = s.p[i] >= 'a' && s.p[i] <= 'z', more = s.p[i] == '_' || (s.p[i] >= '0' && s.p[i] <= '9');
        if (!letter && (i == 0 || !more))
            return false;
    }
    return s.n > 0 && s.n <= 64;
}

static bool is_switch_word(const char *text)
{
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

static void check_fallback(struct reader *rd, const struct yaml_node *at, const struct field_rule *f)
{
    if (f->secret)
        report_at(rd->report, at, "a secret has no default");
    else if (f->type == FIELD_SWITCH && !is_switch_word(f->fallback))
        report_at(rd->report, at, "'%s' must be true or false", f->fallback);
    else if (f->type == FIELD_SELECT && f->options && !strings_have(f->options, span_of(f->fallback)))
        report_word(rd->report, at, f->options);
}

static void check_pattern(struct reader *rd, const struct yaml_node *at, const struct yaml_node *fallback,
                          const struct field_rule *f)
{
    regex_t re;
    char why[128];
    int code = regcomp(&re, f->pattern, REG_EXTENDED | REG_NOSUB);
    if (code) {
        regerror(code, &re, why, sizeof(why));
        report_at(rd->report, at, "'%s' is no regular expression: %s", f->pattern, why);
        return;
    }
    if (f->fallback && regexec(&re, f->fallback, 0, NULL, 0) != 0)
        report_at(rd->report, fallback, "'%s' does not match the pattern %s", f->fallback, f->pattern);
    regfree(&re);
}

static void read_field(struct reader *rd, const struct yaml_node *key, const struct yaml_node *n, struct field_rule *f)
{
    static const char *const keys[] = {"secret", "required", "type", "default", "pattern", "help", "options", NULL};
    static const char *const types[] = {"text", "switch", "select", NULL};
    unsigned type = FIELD_TEXT;
    if (!is_name(yaml_text(key)))
        report_at(rd->report, key, "a field's name is made of a-z, 0-9 and _, and begins with a letter");
    f->name = arena_dup(rd->arena, yaml_text(key));
    if (yaml_kind(n) == YAML_NULL || !read_map(rd, n, keys))
        return;
    read_bool(rd, yaml_get(n, "secret"), &f->secret);
    read_bool(rd, yaml_get(n, "required"), &f->required);
    if (read_word(rd, yaml_get(n, "type"), types, &type))
        f->type = (enum field_type)type;
    read_text(rd, yaml_get(n, "default"), &f->fallback);
    read_text(rd, yaml_get(n, "pattern"), &f->pattern);
    read_text(rd, yaml_get(n, "help"), &f->help);
    read_strings(rd, yaml_get(n, "options"), &f->options);
    if (f->type == FIELD_SELECT && !yaml_get(n, "options"))
        report_at(rd->report, n, "a select needs its `options`");
    if (f->type != FIELD_SELECT && f->options)
        report_at(rd->report, yaml_get(n, "options"), "only a field of `type: select` has options");
    if (f->pattern && f->type != FIELD_TEXT)
        report_at(rd->report, yaml_get(n, "pattern"), "only a field of `type: text` has a pattern");
    else if (f->pattern)
        check_pattern(rd, yaml_get(n, "pattern"), yaml_get(n, "default"), f);
    if (f->fallback)
        check_fallback(rd, yaml_get(n, "default"), f);
}

void manifest_read_fields(struct reader *rd, const struct yaml_node *n)
{
    if (!n)
        return;
    if (yaml_kind(n) != YAML_MAP) {
        report_at(rd->report, n, "must be a map (field: {…})");
        return;
    }
    size_t count = yaml_count(n);
    rd->m->fields = arena_alloc(rd->arena, (count + 1) * sizeof(*rd->m->fields));
    for (size_t i = 0; i < count; i++)
        read_field(rd, yaml_key(n, i), yaml_value(n, i), &rd->m->fields[i]);
    rd->m->n_fields = count;
}
