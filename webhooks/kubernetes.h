/* kubernetes: one Secret, read and changed through the API server, as the pod's service account.
 * The token is read anew for each call, since it is replaced while the pod runs. TLS by the account's ca.crt, nothing else.
 * Threads: one a value. Private to webhooks/. */
#pragma once
#include "config/config.h"

struct kubernetes {
    const struct kubernetes_config *config;
};
/* The member of the Secret's data, decoded, into out (cleared; wiped by the caller); empty where there is none. */
bool kubernetes_read(const struct kubernetes *k, const char *key, struct buf *out, struct err *err);
struct kubernetes_change {
    const char *key;
    struct span value; /* p NULL: removed */
};
/* All in one PATCH. */
bool kubernetes_write(const struct kubernetes *k, const struct kubernetes_change *c, size_t n, struct err *err);
