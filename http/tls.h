/* tls: the listener's certificate, and taking up a replaced one while connections go on.
 *
 * A connection gets the certificate of the moment in which it begins and keeps it to its end. Both files are looked at every few
 * seconds; when they changed, and then stood still for one look, they are read again. A pair that cannot be read or does not fit
 * together changes nothing and is told of once.
 * Threads: tls_watch in one thread of its own; tls_session from any; a lock of its own, a leaf.
 * Life: tls_open -> tls_watch, tls_session -> tls_free; sessions may outlive it. */
#pragma once
#include "core/err.h"
#include <openssl/ssl.h>
#include <stdbool.h>

#define TLS_LOOK_US UINT64_C(2000000)

struct tls;

/* TLS 1.2 and 1.3. ERR_CONFIG: which file, and what is wrong. The paths are borrowed until tls_free. */
bool tls_open(const char *cert_file, const char *key_file, struct tls **ret, struct err *err);
void tls_free(struct tls **t); /* accepts NULL inside */
/* One look at the files; logs what it took up or could not. */
void tls_watch(struct tls *t);
/* The server's side of a session on this descriptor, with the certificate of now; NULL: no memory. SSL_free ends it. */
SSL *tls_session(struct tls *t, int fd);
