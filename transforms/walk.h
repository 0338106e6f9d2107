/* walk: each element that a path ending in [] stands for, at any depth of lists in lists. Private to transforms.
 * Threads: as its scope. Life: plain value between walk_begin and the last walk_next; borrows path and scope. */
#pragma once
#include "sources/path.h"

#define WALK_LISTS_MAX 8

struct walk {
    const struct path *path;
    struct json_iter list[WALK_LISTS_MAX];
    size_t step[WALK_LISTS_MAX]; /* the path's step that follows an element of this list */
    size_t depth;
};
/* A path without [] is taken as naming the list itself. *ret_found: what stands where the first list should be; false
 * when that is no array. */
bool walk_begin(struct walk *w, const struct path *path, const struct scope *scope, struct buf *scratch,
                struct json *ret_found);
/* false at the end. Inner lists that are absent have no elements. */
bool walk_next(struct walk *w, struct json *ret);
