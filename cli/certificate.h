/* certificate: until when the listener's certificate is good, by the file that `tls.cert` names.
 * Threads: any. */
#pragma once
#include "core/err.h"
#include <stdbool.h>
#include <stdint.h>

#define CERTIFICATE_SOON_US (UINT64_C(14) * 86400 * 1000000) /* warned of from so long before its end */
/* The earliest end of the certificates in the file, the listener's own and those that it is signed by. 0: before 1970. */
bool certificate_ends(const char *file, uint64_t *ret_us, struct err *err);
/* What to say of it, into out; false: nothing, it ends later. An unreadable file is something to say. */
bool certificate_warning(const char *file, uint64_t now_us, char *out, size_t n);
