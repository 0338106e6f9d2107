/* What every store has in common, and which one it is. */
#include "config/config.h"
#include "staging/store.h"

bool store_key_valid(const char *key)
{
    size_t n = strlen(key);
    if (!n || n > STORE_KEY_MAX || key[0] == '/' || key[n - 1] == '/' || strstr(key, "//") || strstr(key, ".."))
        return false;
    return strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._=-/") == n;
}

bool store_open(const struct io *io, const struct config *c, struct store **ret, struct err *err)
{
    struct buf spool = {0};
    if (!c->objects.bucket)
        return store_open_dir(io, c->objects_dir, ret, err);
    buf_addf(&spool, "%s/spool", c->data_dir);
    bool ok = buf_ok(&spool) ? store_open_s3(io, &c->objects, buf_z(&spool), ret, err)
                             : err_set(err, ERR_NOMEM, "out of memory for a path");
    buf_release(&spool);
    return ok;
}

void store_close(struct store **s)
{
    if (*s)
        (*s)->ops->close(*s);
    *s = NULL;
}
