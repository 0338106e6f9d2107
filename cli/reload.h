/* reload: the configuration that a running server works by, and how another one takes its place.
 *
 * SIGHUP (reload_now) and a change of one of its files replace it as a whole: sources are added, changed and taken out while
 * requests come in, and none is refused for it. Files are looked at once a second and taken when they were still for one look,
 * so that a file that is being written is not read half; a mounted volume's ..data counts as a change, too. A configuration with
 * a mistake is told, and the one before stays in force; a key that only a start can change keeps its value, and is named.
 * Threads: reload_hold and reload_state from any; reload_now from any, one after another; one of its own watches the files.
 * Life: reload_new -> reload_start (once the parts run) -> reload_stop (before they end) -> reload_free. */
#pragma once
#include "cli/instance.h"

struct reload;
struct reload *reload_new(const struct config *first, const struct io *io); /* borrows it for its life */
void reload_free(struct reload **r);
bool reload_start(struct reload *r, struct live *live, struct err *err);
void reload_stop(struct reload *r);

/* Lets the log be as the configuration says. */
void reload_log(const struct config *c);

/* The configuration of now: until config_drop. */
const struct config *reload_hold(struct reload *r);

struct reload_result {
    unsigned added, changed, removed; /* sources */
    char kept[600];                   /* keys that need a restart, with commas; "" */
};
/* Reads the files and makes them the configuration. false: the one before is in force; *err says why. */
bool reload_now(struct reload *r, struct reload_result *ret, struct err *err);

struct reload_state {
    bool ok;        /* the last change was taken, or there was none */
    uint64_t at_us; /* when what is in force was taken */
    char words[600]; /* why not */
};
void reload_state(struct reload *r, struct reload_state *ret);
