/* path_internal: what the compilers of paths, templates and conditions share. Private to sources. */
#pragma once
#include "sources/path.h"

/* The roots in the order of enum path_root, without parents and words. */
extern const char *const path_root_names[];
/* path_compile, with the bare words of calls ({since}, {next}, …) where with_words. */
bool path_compile_words(struct arena *a, const struct yaml_node *at, struct span text, const char *const *parents,
                        bool with_words, struct path *ret, struct report *r);
