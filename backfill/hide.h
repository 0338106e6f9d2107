/* hide: the source's secrets out of a text that is kept or shown, and back into an address that is asked for.
 * For backfill/ and webhooks/. Where a secret stands, its path {config.NAME} is put; {config.NAME|percent} for its
 * percent-encoded form.
 * Threads: plain value; borrows the configuration and its pairs. */
#pragma once
#include "config/config.h"

struct hide {
    const struct source_config *source;
    const struct scope_pair *config; /* of config_pairs: one for each of source->values */
    size_t n_config;
};
void hide_secrets(const struct hide *h, struct span in, struct buf *out);
void hide_reveal(const struct hide *h, struct span in, struct buf *out);
void hide_in_message(const struct hide *h, struct err *err);
