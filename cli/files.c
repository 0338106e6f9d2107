#include "cli/files.h"
#include <sys/resource.h>

bool files_raise(const struct config *c, uint64_t *ret_limit, uint64_t *ret_needed)
{
    struct rlimit r;
    *ret_needed = *ret_limit = c->connections_max + FILES_OWN;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == RLIM_INFINITY || r.rlim_cur >= *ret_needed)
        return true;
    bool enough = r.rlim_max == RLIM_INFINITY || r.rlim_max >= *ret_needed;
    struct rlimit raised = {.rlim_cur = enough ? (rlim_t)*ret_needed : r.rlim_max, .rlim_max = r.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
        *ret_limit = raised.rlim_cur;
        return enough;
    }
    *ret_limit = r.rlim_cur;
    return false;
}
