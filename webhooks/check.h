/* check: whether the provider has a source's endpoint as it was registered: there, enabled, with the wanted events, this URL, and
 * pinned to the API version that the manifest names. Only what state.db says was registered here is looked for.
 * Threads: as struct managed. */
#pragma once
#include "webhooks/managed.h"

/* What `want` has and `have` has not, where `have` isn't all of them; and the other way round. */
void names_compare(const struct names *have, const struct names *want, const char *all, struct names *ret_missing,
                   struct names *ret_unwanted);
/* Asks the provider, and writes what it says to state.db (state_registration_put). Nothing was registered, or the provider has no
 * calls: does nothing. */
bool managed_check(struct managed *m, struct err *err);
