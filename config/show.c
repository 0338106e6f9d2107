/* The configuration as JSON, for who runs it: of secrets it tells where they are, never what they are. */
#include "config/internal.h"
#include "core/clock.h"
#include "core/json.h"

static void add_ref(struct buf *out, const struct secret_ref *ref)
{
    if (!ref->at) {
        buf_addz(out, "null");
        return;
    }
    buf_addz(out, ref->kind == SECRET_FILE ? "{\"file\":" : "{\"env\":");
    json_write_string(out, span_of(ref->at));
    if (ref->retire_at_us) {
        char at[CLOCK_TEXT_MAX];
        clock_iso_s(ref->retire_at_us, at);
        buf_addf(out, ",\"retire_at\":\"%s\"", at);
    }
    buf_addc(out, '}');
}

static void add_text(struct buf *out, const char *text)
{
    if (text)
        json_write_string(out, span_of(text));
    else
        buf_addz(out, "null");
}

static void add_quantity(struct buf *out, const struct key_row *row, const void *at)
{
    uint64_t v = row->width == 2 ? *(const uint16_t *)at : row->width == 4 ? *(const uint32_t *)at : *(const uint64_t *)at;
    struct buf text;
    buf_init(&text, 256);
    if (row->type == KEY_NUMBER) {
        buf_addf(out, "%llu", (unsigned long long)v);
    } else {
        config_quantity(&text, row->type, v);
        json_write_string(out, buf_span(&text));
    }
    buf_release(&text);
}

static void add_word(struct buf *out, const struct key_row *row, const void *at)
{
    size_t i = row->width == sizeof(bool) ? *(const bool *)at : *(const unsigned *)at;
    struct span word = {NULL, 0};
    for (struct span rest = span_of(row->words); rest.p; i--) {
        word = span_cut(rest, ' ', &rest);
        if (i == 0)
            break;
    }
    json_write_string(out, word);
}

static void add_properties(struct buf *out, const struct config *c)
{
    buf_addc(out, '{');
    for (size_t i = 0; i < c->kafka.n_properties; i++) {
        const struct kafka_property *p = &c->kafka.properties[i];
        buf_addz(out, i ? "," : "");
        json_write_string(out, span_of(p->name));
        buf_addc(out, ':');
        if (p->text)
            json_write_string(out, span_of(p->text));
        else
            add_ref(out, &p->ref);
    }
    buf_addc(out, '}');
}

static void add_blocks(struct buf *out, const struct config *c)
{
    buf_addf(out, "{\"networks\":%zu}", c->n_proxies);
}

static void add_url(struct buf *out, const struct key_row *row, const struct config *c)
{
    const char *text = *(const char *const *)(const void *)((const char *)c + row->offset);
    struct buf b;
    if (strcmp(row->path, "staging.objects.url") != 0) {
        add_text(out, text);
        return;
    }
    buf_init(&b, 1 << 16);
    if (text)
        buf_addf(&b, "file://%s", text);
    else
        buf_addf(&b, "s3://%s/%s", c->objects.bucket, c->objects.prefix);
    json_write_string(out, buf_span(&b));
    buf_release(&b);
}

static void add_value(struct buf *out, const struct key_row *row, const struct config *c)
{
    const char *at = (const char *)c + row->offset;
    switch (row->type) {
    case KEY_ADDRESS: {
        const struct listen_addr *l = (const void *)at;
        if (l->host)
            buf_addf(out, "\"%s:%u\"", l->host, l->port);
        else
            buf_addz(out, "null");
        break;
    }
    case KEY_SECRET:
    case KEY_REF:
        add_ref(out, (const void *)at);
        break;
    case KEY_URL:
        add_url(out, row, c);
        break;
    case KEY_PATH:
    case KEY_TEXT:
        add_text(out, *(const char *const *)(const void *)at);
        break;
    case KEY_WORD:
        add_word(out, row, at);
        break;
    case KEY_BLOCKS:
        add_blocks(out, c);
        break;
    case KEY_PROPERTIES:
        add_properties(out, c);
        break;
    default:
        add_quantity(out, row, at);
    }
}

static void add_tables(struct buf *out, const struct source_config *s)
{
    buf_addf(out, ",\"all_tables\":%s,\"tables\":[", s->all_tables ? "true" : "false");
    for (size_t i = 0; i < s->n_tables; i++) {
        struct buf every;
        buf_init(&every, 64);
        config_quantity(&every, KEY_DURATION, s->tables[i].every_us);
        buf_addf(out, "%s{\"table\":\"%s\",\"every\":", i ? "," : "", s->tables[i].name);
        json_write_string(out, s->tables[i].every_us ? buf_span(&every) : SPAN_LIT(""));
        buf_addc(out, '}');
        buf_release(&every);
    }
    buf_addc(out, ']');
}

void config_show_source(struct buf *out, const struct source_config *s)
{
    buf_addf(out, "{\"source\":\"%s\",\"manifest\":\"%s\",\"verification\":\"%s\",\"webhook\":\"%s\",\"secrets\":[",
             s->name, s->manifest->name, s->unverified ? "none" : "manifest", s->webhook_off ? "off" : "on");
    for (size_t i = 0; i < s->n_secrets; i++) {
        buf_addz(out, i ? "," : "");
        add_ref(out, &s->secrets[i]);
    }
    buf_addz(out, "],\"config\":{");
    for (size_t i = 0; i < s->n_values; i++) {
        buf_addz(out, i ? "," : "");
        json_write_string(out, span_of(s->values[i].name));
        buf_addc(out, ':');
        if (s->values[i].secret)
            add_ref(out, &s->values[i].ref);
        else
            add_text(out, s->values[i].text);
    }
    buf_addz(out, "},\"base_url\":");
    add_text(out, s->base_url);
    buf_addz(out, ",\"public_url\":");
    add_text(out, s->public_url);
    add_tables(out, s);
    buf_addc(out, '}');
}

void config_show(struct buf *out, const struct config *c)
{
    buf_addz(out, "{\"file\":");
    json_write_string(out, span_of(c->file));
    buf_addz(out, ",\"keys\":{");
    for (const struct key_row *row = config_keys; row->path; row++) {
        buf_addf(out, "%s\"%s\":", row == config_keys ? "" : ",", row->path);
        add_value(out, row, c);
    }
    buf_addz(out, "},\"sources\":[");
    for (size_t i = 0; i < c->n_sources; i++) {
        buf_addz(out, i ? "," : "");
        config_show_source(out, &c->sources[i]);
    }
    buf_addz(out, "]}");
}
