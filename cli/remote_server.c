/* The accepting thread hands each connection to a thread that watches it, which starts one more that runs the command:
 * so a client that goes away stops its command at the next place where that is safe. */
#include "cli/frame.h"
#include "cli/registry.h"
#include "cli/remote.h"
#include "cli/who.h"
#include "core/json.h"
#include "core/log.h"
#include "core/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REMOTE_CONNECTIONS_MAX 32
#define INPUT_BYTES_MAX ((size_t)64 << 20)

struct remote {
    const struct config *config;
    const struct io *io;
    const struct live *live;
    int listen_fd, wake_fd;
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned running; /* connections; guarded by lock */
    bool closing;     /* guarded by lock; watchers poll wake_fd too */
};

struct session {
    struct remote *remote;
    int fd, done_fd;
    atomic_bool stop;
    struct buf text; /* the request, which `request` is a slice of */
    struct json request;
    struct buf input;
    int exit_code;
    pthread_mutex_t write_lock; /* frames of both channels go out whole */
};

struct channel {
    struct session *session;
    char name;
};

static ssize_t channel_write(void *cookie, const char *p, size_t n)
{
    struct channel *c = cookie;
    pthread_mutex_lock(&c->session->write_lock);
    bool ok = frame_write(c->session->fd, &c->name, 1) && frame_write_block(c->session->fd, (struct span){p, n});
    pthread_mutex_unlock(&c->session->write_lock);
    if (!ok)
        c->session->stop = true;
    return ok ? (ssize_t)n : -1;
}

static bool flag(struct json request, const char *name)
{
    return json_get(request, span_of(name)).type == JSON_TRUE;
}

/* The request's words as C strings: name, sub, arguments. Owns: words_free. */
static char **words_of(struct json argv, size_t *ret_n)
{
    size_t n = json_count(argv);
    char **words = mem_alloc((n + 1) * sizeof *words);
    struct json_iter it = json_iter(argv);
    struct json value;
    for (size_t i = 0; json_next(&it, NULL, &value); i++) {
        struct buf b;
        buf_init(&b, 0);
        json_text(value, &b);
        words[i] = mem_dup_span(buf_span(&b));
        buf_release(&b);
    }
    *ret_n = n;
    return words;
}

static void words_free(char **words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(words[i]);
    free(words);
}

static int run_words(struct session *s, const struct command_io *io, char **words, size_t n)
{
    const struct command *cmd = command_find(words[0], *words[1] ? words[1] : NULL);
    bool whole = cmd && (cmd->needs & NEEDS_INSTANCE) && !(cmd->needs & LOCAL_ONLY);
    if (!cmd || (!whole && !(cmd->needs & ASKS_SERVER))) {
        fprintf(io->err, "sluice: the running server has no command '%s'; is it another version?\n", words[0]);
        return EXIT_USAGE;
    }
    struct command_args a = {.argc = (int)n - 2,
                             .argv = words + 2,
                             .json = flag(s->request, "json"),
                             .yes = flag(s->request, "yes"),
                             .input = buf_span(&s->input)};
    struct instance in;
    struct err err = {0};
    int code = instance_open(&in, s->remote->config, s->remote->io, s->remote->live, true, &err)
                   ? cmd->run(&in, &a, io)
                   : command_fail(io, &err);
    instance_close(&in);
    return code;
}

static int run_command(struct session *s, const struct command_io *io)
{
    size_t n;
    char **words = words_of(json_get(s->request, SPAN_LIT("argv")), &n);
    int code = run_words(s, io, words, n);
    words_free(words, n);
    return code;
}

static unsigned columns_of(struct json request)
{
    int64_t n = 0;
    return json_int64(json_get(request, SPAN_LIT("columns")), &n) && n > 0 && n < 10000 ? (unsigned)n : 80;
}

static void *run_session(void *arg)
{
    struct session *s = arg;
    struct channel out = {s, 'o'}, err = {s, 'e'};
    cookie_io_functions_t ops = {.write = channel_write};
    char who[128];
    who_is_peer(s->fd, who, sizeof who);
    struct command_io io = {.out = fopencookie(&out, "w", ops),
                            .err = fopencookie(&err, "w", ops),
                            .out_tty = flag(s->request, "out_tty"),
                            .err_tty = flag(s->request, "err_tty"),
                            .utf8 = flag(s->request, "utf8"),
                            .columns = columns_of(s->request),
                            .who = who,
                            .stop = &s->stop};
    s->exit_code = EXIT_FAILED;
    if (io.out && io.err) {
        setvbuf(io.err, NULL, _IOLBF, 0);
        s->exit_code = run_command(s, &io);
    }
    if (io.out)
        fclose(io.out);
    if (io.err)
        fclose(io.err);
    uint64_t one = 1;
    if (write(s->done_fd, &one, sizeof one) < 0)
        log_error("cannot signal the end of a command", "errno=%d", errno);
    return NULL;
}

/* Waits for the command's end; asks it to stop when the client says so, leaves, or the server ends. */
static void watch(struct session *s)
{
    struct pollfd p[3] = {{.fd = s->done_fd, .events = POLLIN},
                          {.fd = s->fd, .events = POLLIN},
                          {.fd = s->remote->wake_fd, .events = POLLIN}};
    for (;;) {
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            break;
        if (p[0].revents)
            break;
        if (p[1].revents || p[2].revents) {
            s->stop = true;
            p[1].fd = p[2].fd = -1;
        }
    }
}

static bool read_request(struct session *s)
{
    buf_init(&s->text, 1 << 20);
    buf_init(&s->input, INPUT_BYTES_MAX + 16);
    return frame_read_block(s->fd, 1 << 20, &s->text) && frame_read_block(s->fd, INPUT_BYTES_MAX, &s->input) &&
           json_parse(buf_span(&s->text), &s->request, NULL) && json_count(json_get(s->request, SPAN_LIT("argv"))) >= 2;
}

static void *serve_connection(void *arg)
{
    struct session *s = arg;
    struct remote *r = s->remote;
    pthread_t worker;
    if (read_request(s) && thread_start(&worker, run_session, s)) {
        watch(s);
        pthread_join(worker, NULL);
        char code[16];
        snprintf(code, sizeof code, "%d", s->exit_code);
        (void)(frame_write(s->fd, "x", 1) && frame_write_block(s->fd, span_of(code)));
    }
    buf_release(&s->text);
    buf_release(&s->input);
    pthread_mutex_destroy(&s->write_lock);
    close(s->fd);
    close(s->done_fd);
    free(s);
    pthread_mutex_lock(&r->lock);
    r->running--;
    pthread_cond_broadcast(&r->idle);
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

static void start_session(struct remote *r, int fd)
{
    struct session *s = mem_alloc(sizeof *s);
    *s = (struct session){.remote = r, .fd = fd, .done_fd = eventfd(0, EFD_CLOEXEC)};
    pthread_mutex_init(&s->write_lock, NULL);
    pthread_mutex_lock(&r->lock);
    bool take = !r->closing && r->running < REMOTE_CONNECTIONS_MAX && s->done_fd >= 0;
    r->running += take;
    pthread_mutex_unlock(&r->lock);
    pthread_t thread;
    if (take && thread_start(&thread, serve_connection, s)) {
        pthread_detach(thread);
        return;
    }
    pthread_mutex_lock(&r->lock);
    r->running -= take;
    pthread_mutex_unlock(&r->lock);
    close(fd);
    if (s->done_fd >= 0)
        close(s->done_fd);
    free(s);
}

static void *accept_loop(void *arg)
{
    struct remote *r = arg;
    struct pollfd p[2] = {{.fd = r->listen_fd, .events = POLLIN}, {.fd = r->wake_fd, .events = POLLIN}};
    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        if (p[1].revents)
            break;
        if (!p[0].revents)
            continue;
        int fd = accept4(r->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            start_session(r, fd);
    }
    return NULL;
}

static bool bind_socket(struct remote *r, const char *data_dir, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/sluice.sock", data_dir);
    unlink(path); /* the data directory's lock is ours, so whoever made it is gone */
    int dir = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/sluice.sock", dir);
    r->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* The socket is born 0600: no moment in which another user could open it. */
    bool ok = r->listen_fd >= 0 && fchmod(r->listen_fd, 0600) == 0 &&
              bind(r->listen_fd, (struct sockaddr *)&addr, sizeof addr) == 0 && chmod(path, 0600) == 0 &&
              listen(r->listen_fd, 16) == 0;
    if (!ok)
        err_sys(err, ERR_CONFIG, "cannot listen on %s", path);
    if (dir >= 0)
        close(dir);
    return ok;
}

bool remote_listen(const struct config *c, const struct io *io, const struct live *live, struct remote **ret,
                   struct err *err)
{
    struct remote *r = mem_alloc(sizeof *r);
    *r = (struct remote){.config = c, .io = io, .live = live, .listen_fd = -1, .wake_fd = eventfd(0, EFD_CLOEXEC)};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->idle, NULL);
    if (bind_socket(r, c->data_dir, err) && thread_start(&r->acceptor, accept_loop, r)) {
        *ret = r;
        return true;
    }
    if (r->listen_fd >= 0)
        close(r->listen_fd);
    close(r->wake_fd);
    free(r);
    return false;
}

void remote_close(struct remote **at)
{
    struct remote *r = *at;
    if (!r)
        return;
    *at = NULL;
    uint64_t one = 1;
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    pthread_mutex_unlock(&r->lock);
    if (write(r->wake_fd, &one, sizeof one) < 0)
        log_error("cannot wake the command socket", "errno=%d", errno);
    pthread_join(r->acceptor, NULL);
    close(r->listen_fd);
    char path[4096];
    snprintf(path, sizeof path, "%s/sluice.sock", r->config->data_dir);
    unlink(path);
    pthread_mutex_lock(&r->lock);
    while (r->running)
        pthread_cond_wait(&r->idle, &r->lock);
    pthread_mutex_unlock(&r->lock);
    close(r->wake_fd);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->idle);
    free(r);
}
