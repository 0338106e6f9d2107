/* URLs that a verified handshake asks to be fetched: one at a time, in a thread of their own, on pinned hosts only.
 *
 * The answer to the handshake does not wait for it. What is still waiting when the server stops is dropped, and logged: the
 * provider then shows the subscription as not confirmed. */
#include "server/door.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/thread.h"
#include "core/wait.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WAITING_MAX 16
#define FETCH_S 10L
#define ANSWER_MAX (1 << 20) /* bytes read of an answer, which nobody looks at */
#define TRIES 3

struct job {
    struct job *next;
    char *source, *url;
};
struct confirm {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    struct job *first; /* guarded by lock, like the two below; the first is being worked at */
    size_t n;
    bool stopping;
    atomic_bool stop; /* the same, for the transfer */
    const char *via, *certificates;
    size_t got; /* bytes of the answer; the thread's own */
};

/* ---- which URLs ---- */

static bool part_of(CURLU *u, CURLUPart part, char *out, size_t size)
{
    char *text = NULL;
    bool ok = curl_url_get(u, part, &text, 0) == CURLUE_OK && strlen(text) < size;
    if (ok)
        snprintf(out, size, "%s", text);
    curl_free(text);
    return ok;
}

static bool lacks(CURLU *u, CURLUPart part)
{
    char *text = NULL;
    CURLUcode rc = curl_url_get(u, part, &text, 0);
    curl_free(text);
    return rc != CURLUE_OK;
}

/* The host as libcurl itself reads it out of the URL: two readers could disagree. */
static bool allowed(CURLU *u, const char *const *hosts, char host[HOST_MAX])
{
    char scheme[16], port[16];
    host[0] = 0;
    if (!part_of(u, CURLUPART_SCHEME, scheme, sizeof scheme) || !part_of(u, CURLUPART_HOST, host, HOST_MAX))
        return false;
    for (char *p = host; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    bool port_ok = lacks(u, CURLUPART_PORT) || (part_of(u, CURLUPART_PORT, port, sizeof port) && strcmp(port, "443") == 0);
    return strcmp(scheme, "https") == 0 && port_ok && lacks(u, CURLUPART_USER) && lacks(u, CURLUPART_PASSWORD) &&
           manifest_host_is_pinned(hosts, span_of(host));
}

bool confirm_allows(const char *url, const char *const *hosts, char ret_host[HOST_MAX])
{
    CURLU *u = curl_url();
    bool ok = u != NULL;
    ret_host[0] = 0;
    for (const char *p = url; *p; p++)
        ok = ok && *p > ' ' && *p <= '~' && *p != '\\';
    ok = ok && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && allowed(u, hosts, ret_host);
    curl_url_cleanup(u);
    return ok;
}

/* ---- fetching ---- */

static size_t count_bytes(char *p, size_t size, size_t n, void *ctx)
{
    struct confirm *c = ctx;
    (void)p;
    c->got += size * n;
    return c->got > ANSWER_MAX ? 0 : size * n;
}

static int look_at_stop(void *ctx, curl_off_t a, curl_off_t b, curl_off_t d, curl_off_t e)
{
    struct confirm *c = ctx;
    (void)a;
    (void)b;
    (void)d;
    (void)e;
    return atomic_load(&c->stop);
}

static void set_options(struct confirm *c, CURL *curl, struct curl_slist *via)
{
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, FETCH_S);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, count_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, c);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    if (via)
        curl_easy_setopt(curl, CURLOPT_CONNECT_TO, via);
    if (c->certificates)
        curl_easy_setopt(curl, CURLOPT_CAINFO, c->certificates);
}

/* true: it was answered with a 2xx. `why` takes the reason otherwise, which never holds the URL. */
static bool fetch(struct confirm *c, const char *url, char *why, size_t why_size)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *via = c->via ? curl_slist_append(NULL, c->via) : NULL;
    long status = 0;
    c->got = 0;
    CURLcode rc = CURLE_OUT_OF_MEMORY;
    if (curl) {
        set_options(c, curl, via);
        curl_easy_setopt(curl, CURLOPT_URL, url);
        rc = curl_easy_perform(curl);
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_cleanup(curl);
    }
    curl_slist_free_all(via);
    if (rc != CURLE_OK)
        snprintf(why, why_size, "%s", curl_easy_strerror(rc));
    else
        snprintf(why, why_size, "status %ld", status);
    return rc == CURLE_OK && status >= 200 && status < 300;
}

/* ---- the thread ---- */

/* Sleeps so long, or until the stop; false: stop. */
static bool pause_for(struct confirm *c, uint64_t us)
{
    struct timespec until = wait_until(us);
    int rc = 0;
    pthread_mutex_lock(&c->lock);
    while (!c->stopping && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&c->cond, &c->lock, &until);
    bool go = !c->stopping;
    pthread_mutex_unlock(&c->lock);
    return go;
}

static void work_at(struct confirm *c, const struct job *j)
{
    char why[128] = "";
    for (int i = 0; i < TRIES; i++) {
        if (i && !pause_for(c, (uint64_t)i * 2000000))
            break;
        if (fetch(c, j->url, why, sizeof why)) {
            log_info("a handshake's URL was fetched", "source=%s", j->source);
            return;
        }
    }
    log_warn("a handshake's URL could not be fetched", "source=%s error=\"%s\"", j->source, why);
}

static void job_free(struct job *j)
{
    free(j->source);
    free(j->url);
    free(j);
}

static void *confirm_loop(void *ctx)
{
    struct confirm *c = ctx;
    thread_name("confirm");
    pthread_mutex_lock(&c->lock);
    while (!c->stopping) {
        struct job *j = c->first;
        if (!j) {
            pthread_cond_wait(&c->cond, &c->lock);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        work_at(c, j);
        pthread_mutex_lock(&c->lock);
        c->first = j->next;
        c->n--;
        job_free(j);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

bool confirm_ask(struct server *s, const char *source, const char *url)
{
    struct confirm *c = s->confirm;
    bool there = false;
    pthread_mutex_lock(&c->lock);
    struct job **at = &c->first;
    for (; *at; at = &(*at)->next)
        there = there || strcmp((*at)->url, url) == 0; /* sent again */
    bool room = c->n < WAITING_MAX;
    if (!there && room) {
        struct job *j = mem_alloc(sizeof *j);
        *j = (struct job){.source = mem_dup(source), .url = mem_dup(url)};
        *at = j;
        c->n++;
        pthread_cond_broadcast(&c->cond);
    }
    pthread_mutex_unlock(&c->lock);
    return there || room;
}

static bool any_fetches(const struct door *door)
{
    for (size_t i = 0; i < door->n_sources; i++)
        for (size_t k = 0; k < door->sources[i].manifest->n_handshakes; k++)
            if (door->sources[i].manifest->handshakes[k].has_fetch)
                return true;
    return false;
}

bool confirm_start(struct server *s, const struct door *door, struct err *err)
{
    if (s->confirm || !any_fetches(door))
        return true;
    struct confirm *c = mem_alloc(sizeof *c);
    c->via = s->confirm_via;
    c->certificates = s->confirm_certificates;
    pthread_mutex_init(&c->lock, NULL);
    wait_cond_init(&c->cond);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !thread_start(&c->thread, confirm_loop, c)) {
        pthread_cond_destroy(&c->cond);
        pthread_mutex_destroy(&c->lock);
        free(c);
        return err_set(err, ERR_NOMEM, "cannot start a thread");
    }
    s->confirm = c;
    return true;
}

void confirm_stop(struct server *s)
{
    struct confirm *c = s->confirm;
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    atomic_store(&c->stop, true);
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    for (struct job *j = c->first, *next; j; j = next) {
        next = j->next;
        log_warn("a handshake's URL was not fetched: the server stops", "source=%s", j->source);
        job_free(j);
    }
    pthread_cond_destroy(&c->cond);
    pthread_mutex_destroy(&c->lock);
    free(c);
    s->confirm = NULL;
}
