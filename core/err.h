/* err: what went wrong, with the decision it asks for.
 *
 * A function that can fail returns bool (true: done) and takes `struct err *err` last. The error is
 * filled once, where the failure is detected; callers may only put context in front (err_prefix).
 * On failure, outputs named ret_… are untouched. Nothing below a command, a request handler or a
 * worker's loop logs an error: whoever owns the process does.
 *
 * Threads: a struct err belongs to its caller. Life: plain value, nothing to free. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum err_class {
    ERR_NONE = 0,
    ERR_INPUT,     /* the peer or the file is wrong: refuse, never retry        */
    ERR_CONFIG,    /* the operator must act: do not start                       */
    ERR_TRANSIENT, /* retry with backoff; the caller owns the budget            */
    ERR_FULL,      /* a stated limit is reached: shed load (503)                */
    ERR_DURABLE,   /* write or fsync failed: poisoned, never acknowledge again  */
    ERR_NOMEM,     /* out of memory                                             */
    ERR_STOPPED,   /* asked to stop; what is done is durable, resumable         */
    ERR_BUG,       /* cannot happen                                             */
};

struct err {
    enum err_class cls;
    int sys;           /* errno, or 0 */
    const char *where; /* file:line of the detection */
    char msg[720];     /* words for a person; never a secret */
};

/* Fills *err (if not NULL) and returns false, so that `return err_set(err, …)` reads well. */
#define err_set(err, class_, ...) err_fill((err), (class_), 0, ERR_WHERE, __VA_ARGS__)
/* The same, with errno's text appended after ": ". */
#define err_sys(err, class_, ...) err_fill_errno((err), (class_), ERR_WHERE, __VA_ARGS__)
#define ERR_STR2(x) #x
#define ERR_STR(x) ERR_STR2(x)
#define ERR_WHERE __FILE__ ":" ERR_STR(__LINE__)

bool err_fill(struct err *err, enum err_class cls, int sys, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
bool err_fill_errno(struct err *err, enum err_class cls, const char *where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Puts "context: " in front of the message; returns false. */
bool err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
