/* curl_late: libcurl, mapped when the first transfer begins.
 *
 * libcurl brings some twenty libraries along, two MiB of resident memory, and a server that takes webhooks may never send a
 * thing. So nothing is linked to it: the functions of it that the program uses are defined here, by their own names, and hand on
 * what they get. Where the library is not there, curl_easy_init and curl_url answer NULL, and the log says why, once.
 * Another function of libcurl that somebody begins to use does not link: it belongs into FUNCTIONS and below.
 * Threads: any. Life: from the first call to the end of the process. Failures: as libcurl's. */
#define CURL_DISABLE_TYPECHECK
#include "core/log.h"
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo

#define FUNCTIONS(X) \
    X(curl_global_init) X(curl_easy_init) X(curl_easy_cleanup) X(curl_easy_reset) X(curl_easy_perform) X(curl_easy_setopt) \
    X(curl_easy_getinfo) X(curl_easy_strerror) X(curl_free) X(curl_slist_append) X(curl_slist_free_all) X(curl_url) \
    X(curl_url_cleanup) X(curl_url_get) X(curl_url_set)

static struct {
#define X(name) __typeof__(&name) name;
    FUNCTIONS(X)
#undef X
    bool there;
} lib;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    void *handle = NULL;
    for (size_t i = 0; !handle && i < sizeof names / sizeof names[0]; i++)
        handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    bool all = handle != NULL;
    void *at = NULL;
#define X(name) \
    at = handle ? dlsym(handle, #name) : NULL; \
    all = all && at; \
    memcpy(&lib.name, &at, sizeof at);
    FUNCTIONS(X)
#undef X
    lib.there = all && lib.curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    if (!lib.there)
        log_error("libcurl cannot be used: nothing can be pulled or sent; install libcurl4", "error=\"%s\"",
                  handle ? "it lacks a function, or does not start" : dlerror());
}

static bool there(void)
{
    (void)pthread_once(&once, load);
    return lib.there;
}

CURLcode curl_global_init(long flags)
{
    (void)flags; /* done with the loading, in full */
    return there() ? CURLE_OK : CURLE_FAILED_INIT;
}

CURL *curl_easy_init(void)
{
    return there() ? lib.curl_easy_init() : NULL;
}

void curl_easy_cleanup(CURL *curl)
{
    if (curl)
        lib.curl_easy_cleanup(curl);
}

void curl_easy_reset(CURL *curl)
{
    lib.curl_easy_reset(curl);
}

CURLcode curl_easy_perform(CURL *curl)
{
    return lib.curl_easy_perform(curl);
}

/* An option's number tells the type of its one argument. */
CURLcode curl_easy_setopt(CURL *curl, CURLoption option, ...)
{
    CURLcode rc;
    va_list ap;
    va_start(ap, option);
    switch ((int)option / 10000 * 10000) {
    case CURLOPTTYPE_LONG:
        rc = lib.curl_easy_setopt(curl, option, va_arg(ap, long));
        break;
    case CURLOPTTYPE_FUNCTIONPOINT:
        rc = lib.curl_easy_setopt(curl, option, va_arg(ap, void (*)(void)));
        break;
    case CURLOPTTYPE_OFF_T:
        rc = lib.curl_easy_setopt(curl, option, va_arg(ap, curl_off_t));
        break;
    default:
        rc = lib.curl_easy_setopt(curl, option, va_arg(ap, void *));
        break;
    }
    va_end(ap);
    return rc;
}

CURLcode curl_easy_getinfo(CURL *curl, CURLINFO info, ...)
{
    va_list ap;
    va_start(ap, info);
    CURLcode rc = lib.curl_easy_getinfo(curl, info, va_arg(ap, void *));
    va_end(ap);
    return rc;
}

const char *curl_easy_strerror(CURLcode code)
{
    return there() ? lib.curl_easy_strerror(code) : "libcurl is not there";
}

void curl_free(void *p)
{
    if (p)
        lib.curl_free(p);
}

struct curl_slist *curl_slist_append(struct curl_slist *list, const char *text)
{
    return there() ? lib.curl_slist_append(list, text) : NULL;
}

void curl_slist_free_all(struct curl_slist *list)
{
    if (list)
        lib.curl_slist_free_all(list);
}

CURLU *curl_url(void)
{
    return there() ? lib.curl_url() : NULL;
}

void curl_url_cleanup(CURLU *url)
{
    if (url)
        lib.curl_url_cleanup(url);
}

/* Later versions declare the first one const: so it is defined under another name here. */
CURLUcode late_url_get(CURLU *url, CURLUPart part, char **ret, unsigned flags) __asm__("curl_url_get");
CURLUcode late_url_get(CURLU *url, CURLUPart part, char **ret, unsigned flags)
{
    return lib.curl_url_get(url, part, ret, flags);
}

CURLUcode curl_url_set(CURLU *url, CURLUPart part, const char *text, unsigned flags)
{
    return lib.curl_url_set(url, part, text, flags);
}
