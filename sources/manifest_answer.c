#include "sources/reader.h"

static void read_reply(struct reader *rd, const struct yaml_node *n, struct handshake_rule *h)
{
    static const char *const keys[] = {"status", "text", "content_type", NULL};
    if (!read_map(rd, n, keys))
        return;
    read_u32(rd, yaml_get(n, "status"), 200, 599, &h->status);
    (void)read_template(rd, yaml_get(n, "text"), &h->text);
    read_text(rd, yaml_get(n, "content_type"), &h->content_type);
}

static void read_handshake(struct reader *rd, const struct yaml_node *n, struct handshake_rule *h)
{
    static const char *const keys[] = {"when", "verified", "answer", NULL};
    h->verified = true;
    h->status = 200;
    h->content_type = "text/plain";
    if (!read_map(rd, n, keys))
        return;
    if (!yaml_get(n, "when"))
        report_at(rd->report, n, "no `when`; what tells a handshake from an event");
    if (!yaml_get(n, "answer"))
        report_at(rd->report, n, "no `answer`; {status, text}");
    read_conditions(rd, yaml_get(n, "when"), &h->when, &h->n_when);
    read_bool(rd, yaml_get(n, "verified"), &h->verified);
    read_reply(rd, yaml_get(n, "answer"), h);
}

void manifest_read_handshakes(struct reader *rd, const struct yaml_node *n)
{
    if (!n)
        return;
    bool list = yaml_kind(n) == YAML_LIST;
    size_t count = list ? yaml_count(n) : 1;
    rd->roots = ROOTS_REQUEST;
    rd->secrets = false;
    rd->m->handshakes = arena_alloc(rd->arena, (count + 1) * sizeof(*rd->m->handshakes));
    for (size_t i = 0; i < count; i++)
        read_handshake(rd, list ? yaml_item(n, i) : n, &rd->m->handshakes[i]);
    rd->m->n_handshakes = count;
}

void manifest_read_answer(struct reader *rd, const struct yaml_node *n)
{
    static const char *const keys[] = {"bad_signature", "missing", "malformed", "empty", NULL};
    struct answer_rule *a = &rd->m->answer;
    *a = (struct answer_rule){.bad_signature = 401, .missing = 401, .malformed = 400};
    if (!read_map(rd, n, keys))
        return;
    read_u32(rd, yaml_get(n, "bad_signature"), 400, 499, &a->bad_signature);
    read_u32(rd, yaml_get(n, "missing"), 400, 499, &a->missing);
    read_u32(rd, yaml_get(n, "malformed"), 400, 499, &a->malformed);
    read_bool(rd, yaml_get(n, "empty"), &a->empty);
}
