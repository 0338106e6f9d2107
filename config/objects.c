/* staging.objects where it is a bucket. */
#include "config/internal.h"
#include <stdlib.h>

#define BUCKET_CHARS "abcdefghijklmnopqrstuvwxyz0123456789.-"
#define PREFIX_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._=-/"
#define PREFIX_MAX 256

static bool is_prefix(struct span s)
{
    return s.n <= PREFIX_MAX && strspn(s.p, PREFIX_CHARS) >= s.n && s.p[0] != '/' && !memmem(s.p, s.n, "//", 2) &&
           !memmem(s.p, s.n, "..", 2);
}

bool config_read_bucket(struct loading *l, const struct yaml_node *n, const char *text)
{
    struct span prefix, bucket = span_cut(span_skip(span_of(text), strlen("s3://")), '/', &prefix);
    const char *shown = config_shown(l, n, text);
    while (prefix.n && prefix.p[prefix.n - 1] == '/')
        prefix.n--;
    if (bucket.n < 3 || bucket.n > 63 || strspn(bucket.p, BUCKET_CHARS) < bucket.n || bucket.p[0] == '.' || bucket.p[0] == '-') {
        report_at(l->r, n, "'%s' names no bucket: 3 to 63 of a-z, 0-9, - and ., such as s3://my-bucket/sluice", shown);
        return false;
    }
    if (prefix.n && !is_prefix(prefix)) {
        report_at(l->r, n, "'%s' has no usable prefix: at most %d of letters, digits, . _ = - and single /", shown, PREFIX_MAX);
        return false;
    }
    struct buf b = {0};
    buf_adds(&b, prefix);
    if (prefix.n)
        buf_addc(&b, '/');
    l->c->objects.bucket = arena_dup(l->c->arena, bucket);
    l->c->objects.prefix = arena_dup(l->c->arena, buf_span(&b));
    buf_release(&b);
    return true;
}

static const char *first_of(const char *a, const char *b)
{
    const char *x = getenv(a), *y = getenv(b);
    return x && *x ? x : y && *y ? y : "us-east-1";
}

static bool is_region(const char *z)
{
    return *z && strlen(z) < 40 && strspn(z, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(z);
}

/* Keys that only a bucket has. */
static void check_folder(struct loading *l, const struct yaml_node *objects)
{
    static const char *const keys[] = {"endpoint", "region", "style", "signature", "access_key", "secret_key", "session_token",
                                       "encryption", "encryption_key", "ca"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct yaml_node *n = objects ? yaml_get(objects, keys[i]) : NULL;
        if (n)
            report_at(l->r, n, "%s is for a bucket; write staging.objects.url: s3://bucket/prefix, or leave it out", keys[i]);
    }
}

void config_check_objects(struct loading *l, const struct yaml_node *objects)
{
    struct objects_config *o = &l->c->objects;
    if (!o->bucket) {
        if (l->c->objects_dir && yaml_kind(objects) == YAML_MAP)
            check_folder(l, objects);
        return;
    }
    if (!o->encryption)
        o->encryption = "";
    if (!o->encryption_key)
        o->encryption_key = "";
    if (!o->region)
        o->region = arena_dup(l->c->arena, span_of(first_of("AWS_REGION", "AWS_DEFAULT_REGION")));
    if (!is_region(o->region))
        report_at(l->r, objects, "the region '%s' is none: a-z, 0-9 and -, such as eu-central-1", o->region);
    if (!o->access_key.at != !o->secret_key.at)
        report_at(l->r, objects, "access_key and secret_key belong together; write both, or neither");
    if (o->session_token.at && !o->access_key.at)
        report_at(l->r, objects, "session_token needs access_key and secret_key");
    if (o->session_token.at && o->v2)
        report_at(l->r, objects, "signature v2 knows no session_token; leave it out, or write signature: v4");
    if (*o->encryption && strcmp(o->encryption, "AES256") != 0 && strcmp(o->encryption, "aws:kms") != 0)
        report_at(l->r, objects, "encryption '%s' is none; write AES256 or aws:kms", o->encryption);
    if (*o->encryption_key && strcmp(o->encryption, "aws:kms") != 0)
        report_at(l->r, objects, "encryption_key is for encryption: aws:kms");
    if (strspn(o->encryption_key,
               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:/_-") < strlen(o->encryption_key))
        report_at(l->r, objects, "encryption_key is no id of a key");
    if (o->endpoint && strpbrk(o->endpoint, "?#@"))
        report_at(l->r, objects, "endpoint is the store's address alone, such as https://minio.example.com:9000");
    if (o->style == STYLE_AUTO)
        o->style = o->endpoint || strchr(o->bucket, '.') ? STYLE_PATH : STYLE_VIRTUAL;
}
