/* credentials: the keys that requests are signed with, from where they are kept, renewed before they are over.
 * Private to staging.
 *
 * The first of these that is there, looked for once at the beginning: access_key and secret_key of the configuration; the
 * environment (AWS_ACCESS_KEY_ID …); a web identity (AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN, through STS); the file of
 * credentials (AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials, profile AWS_PROFILE or default); a container's endpoint
 * (AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI). One that is there and wrong is an error, never the next one's turn.
 * Temporary keys are renewed when a quarter of their time, at most five minutes, is left; while that fails the old ones stay
 * in use as long as they last. No message holds a key or a token.
 * Threads: any. Life: s3_credentials_new -> s3_credentials_get* -> s3_credentials_free. */
#pragma once
#include "config/config.h"
#include "core/io.h"

struct s3_credentials;
struct s3_keys { /* owned texts; token NULL: none */
    char *access, *secret, *token;
};
/* Borrows the configuration. `region` is STS' where AWS_ENDPOINT_URL_STS does not name it. */
struct s3_credentials *s3_credentials_new(const struct io *io, const struct objects_config *o, const char *region);
void s3_credentials_free(struct s3_credentials **c);
/* A copy; the caller wipes it with s3_keys_wipe. `renew`: what was given before was refused as over. */
bool s3_credentials_get(struct s3_credentials *c, bool renew, struct s3_keys *ret, struct err *err);
void s3_keys_wipe(struct s3_keys *k);

/* ---- for tests: the texts, without files and network ---- */
/* A profile of a credentials file. *ret is untouched where the profile is not whole. */
bool s3_profile_read(struct span file, struct span profile, struct s3_keys *ret, struct err *err);
/* STS' XML and a container endpoint's JSON. */
bool s3_identity_read(struct span body, struct s3_keys *ret, uint64_t *ret_until_us, struct err *err);
bool s3_container_read(struct span body, struct s3_keys *ret, uint64_t *ret_until_us, struct err *err);
/* Where a token may be sent without TLS: this machine and the addresses that container hosts serve credentials from. */
bool s3_container_url_safe(const char *url);
