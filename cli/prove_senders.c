/* The senders: each an HTTP client of its own, which signs, sends, and counts what was answered 200. */
#include "cli/prove.h"
#include "core/thread.h"
#include <curl/curl.h>
#include <stdlib.h>

#define PAUSE_US 3000     /* before an event is sent again */
#define FORGED_EVERY 100  /* one request in so many is forged */

struct span prove_body(unsigned sender, uint64_t n, char out[PROVE_BODY_MAX])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t state = n * UINT64_C(0x9e3779b97f4a7c15) + sender;
    size_t k = (size_t)snprintf(out, PROVE_BODY_MAX, "{\"type\":\"prove\",\"sender\":%u,\"number\":%llu,\"text\":\"", sender,
                                (unsigned long long)n);
    size_t end = k + 100 + (size_t)(state >> 33) % 2300;
    while (k < end) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        out[k++] = digits[(state >> 33) % 36];
    }
    memcpy(out + k, "\"}", 2);
    return (struct span){out, k + 2};
}

static size_t ignore_bytes(char *p, size_t size, size_t n, void *ctx)
{
    (void)p, (void)ctx;
    return size * n;
}

static bool add_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);
    *list = more ? more : *list;
    return more != NULL;
}

static struct curl_slist *headers_of(struct prove_sender *s, struct span body)
{
    struct prove *p = s->prove;
    struct curl_slist *list = NULL;
    struct buf lines;
    buf_init(&lines, 1 << 16);
    bool ok = verify_sign(p->verifier, SPAN_LIT(""), body, SPAN_LIT("prove"), p->io->world->now_us(p->io), &lines, NULL);
    ok = ok && add_line(&list, "Expect:") && add_line(&list, "Content-Type: application/json");
    for (struct span rest = buf_span(&lines); ok && rest.n;) {
        char line[512];
        struct span one = span_cut(rest, '\n', &rest);
        snprintf(line, sizeof line, "%.*s", SPAN_ARG(one));
        ok = add_line(&list, line);
    }
    buf_release(&lines);
    if (ok)
        return list;
    curl_slist_free_all(list);
    return NULL;
}

/* The answer's status; 0: none came. */
static long post(struct prove_sender *s, CURL *curl, struct span body, bool forged)
{
    long status = 0;
    struct curl_slist *headers = headers_of(s, body);
    if (!headers)
        return 0;
    char altered[PROVE_BODY_MAX];
    memcpy(altered, body.p, body.n);
    altered[body.n - 3] = (char)(altered[body.n - 3] ^ (forged ? 1 : 0)); /* what was signed is not what is sent */
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, altered);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.n);
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    return status;
}

static void send_until_acknowledged(struct prove_sender *s, CURL *curl, uint64_t n)
{
    struct prove *p = s->prove;
    char text[PROVE_BODY_MAX];
    struct span body = prove_body(s->index, n, text);
    while (!atomic_load(&p->stop)) {
        if (post(s, curl, body, false) == 200) {
            atomic_store(&s->acknowledged, n + 1);
            return;
        }
        p->io->world->sleep_us(p->io, PAUSE_US);
    }
}

static void *send_all(void *arg)
{
    struct prove_sender *s = arg;
    CURL *curl = curl_easy_init();
    if (!curl)
        return NULL;
    curl_easy_setopt(curl, CURLOPT_URL, s->prove->url);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore_bytes);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
    for (uint64_t n = 0; !atomic_load(&s->prove->stop); n++) {
        if (n % FORGED_EVERY == FORGED_EVERY / 2) {
            char text[PROVE_BODY_MAX];
            s->forged++;
            s->forged_accepted += post(s, curl, prove_body(s->index, UINT64_MAX - n, text), true) == 200;
        }
        send_until_acknowledged(s, curl, n);
    }
    curl_easy_cleanup(curl);
    return NULL;
}

bool prove_start_senders(struct prove *p, struct err *err)
{
    for (unsigned i = 0; i < p->n_senders; i++) {
        struct prove_sender *s = &p->senders[i];
        s->prove = p;
        s->index = i;
        s->runs = thread_start(&s->thread, send_all, s);
        if (!s->runs)
            return err_set(err, ERR_NOMEM, "cannot start %u threads", p->n_senders);
    }
    return true;
}

void prove_stop_senders(struct prove *p)
{
    atomic_store(&p->stop, true);
    for (unsigned i = 0; i < p->n_senders; i++)
        if (p->senders[i].runs)
            pthread_join(p->senders[i].thread, NULL);
}

uint64_t prove_acknowledged(const struct prove *p)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < p->n_senders; i++)
        n += atomic_load(&p->senders[i].acknowledged);
    return n;
}
