/* embedded: the manifests of sources/, compiled into the binary.
 * Threads: constant data. Life: the process's. */
#pragma once
#include <stddef.h>

struct embedded_file {
    const char *name;  /* "stripe" for sources/stripe.yaml */
    const char *bytes; /* the file, NUL-terminated for convenience */
    size_t n;          /* bytes, without the NUL */
};

/* Ends with a row whose name is NULL. */
extern const struct embedded_file embedded_sources[];
