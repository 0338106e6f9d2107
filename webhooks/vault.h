/* vault: where a source's signing secret is stored: the first file among its `secrets`, or, with kubernetes.secret, the Secret
 * that
 * is mounted there, through the API server with the pod's account; the file's name is the key.
 *
 * There are two places: the present secret, and beside it, while one is being rotated, the one to come (FILE.next). Files are
 * 0600,
 * written atomically and synced; the Secret changes in one PATCH. No message holds a secret.
 * Threads: one. Life: vault_open -> … -> vault_close. */
#pragma once
#include "config/config.h"
#include "core/io.h"

enum vault_place { VAULT_PRESENT, VAULT_NEXT };
struct vault;
/* ERR_CONFIG where the source names no file for its secret. */
bool vault_open(const struct config *c, const struct source_config *s, const struct io *io, struct vault **ret, struct err *err);
void vault_close(struct vault **v);
/* *ret (cleared) is empty where there is none; the caller wipes it. */
bool vault_read(struct vault *v, enum vault_place place, struct buf *ret, struct err *err);
bool vault_write(struct vault *v, enum vault_place place, struct span secret, struct err *err);
/* The next secret becomes the present one. Nothing where there is no next one. */
bool vault_promote(struct vault *v, struct err *err);
bool vault_drop_next(struct vault *v, struct err *err);
const char *vault_where(const struct vault *v); /* for messages */
/* Whether what is written is seen at once by who reads the files; a mounted Secret takes a minute. */
bool vault_is_file(const struct vault *v);
