/* tls: the listener's certificate, and taking up a replaced one while connections go on. Private to server/.
 *
 * A connection gets the certificate of the moment in which it begins and keeps it to its end. Both files are looked at every few
 * seconds; when they changed, and then stood still for one look, they are read again. A pair that cannot be read or does not fit
 * together changes nothing and is told of once.
 * Threads: tls_watch in one thread of its own; the others from any; a lock of its own, a leaf.
 * Life: tls_open -> tls_watch, tls_take/tls_give -> tls_free, when all is given back. */
#pragma once
#include "core/io.h"
#include <gnutls/abstract.h>
#include <stdbool.h>

#define TLS_LOOK_US UINT64_C(2000000)
/* TLS 1.2 and 1.3; of the rest what GnuTLS thinks good. */
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct tls;
struct tls_pair; /* a certificate and its key, as long as somebody uses it */

/* ERR_CONFIG: which file, and what is wrong. The paths are borrowed until tls_free. */
bool tls_open(const char *cert_file, const char *key_file, struct tls **ret, struct err *err);
void tls_free(struct tls **t);
/* One look at the files; logs what it took up or could not. */
void tls_watch(struct tls *t);
/* Gives the session the certificate of now; NULL: failed. Give it back when the session is over. */
struct tls_pair *tls_take(struct tls *t, gnutls_session_t session);
void tls_give(struct tls *t, struct tls_pair **pair);
