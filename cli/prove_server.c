/* The server that is killed: this very program, in a process of its own. */
#include "cli/prove.h"
#include "core/codec.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_US UINT64_C(30000000)
#define LOOK_US 2000

extern char **environ;

static struct sockaddr_in loopback(const struct prove *p)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons((uint16_t)p->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}

static bool take_port(struct prove *p, struct err *err)
{
    struct sockaddr_in at = loopback(p);
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && getsockname(fd, (struct sockaddr *)&at, &n) == 0;
    if (!ok)
        err_sys(err, ERR_INPUT, "no free port on 127.0.0.1");
    if (fd >= 0)
        close(fd);
    p->port = ntohs(at.sin_port);
    snprintf(p->url, sizeof p->url, "http://127.0.0.1:%u/in/prove", p->port);
    return ok;
}

static bool make_secret(struct prove *p, struct err *err)
{
    unsigned char key[24];
    char path[2100];
    struct buf secret;
    buf_init(&secret, 256);
    bool ok = p->io->world->random(p->io, key, sizeof key) >= 0 || err_set(err, ERR_TRANSIENT, "no random bytes");
    base64_encode(&secret, span_make(key, sizeof key));
    snprintf(path, sizeof path, "%s/secret", p->dir);
    ok = ok && io_write_file_atomic(p->io, path, 0600, buf_span(&secret), err);
    buf_release(&secret);
    return ok;
}

/* The configuration as the server will read it, and what its senders sign with. */
static bool load_config(struct prove *p, const char *path, struct err *err)
{
    struct report report;
    report_init(&report);
    p->config = config_load(path, &report, err);
    if (!p->config && report.count)
        err_set(err, ERR_BUG, "%s", buf_z(&report.text));
    report_release(&report);
    return p->config && verifier_new(&p->config->sources[0], NULL, 0, &p->verifier, NULL, err);
}

bool prove_write_config(struct prove *p, struct err *err)
{
    char path[2100], text[640];
    if (!take_port(p, err) || !make_secret(p, err))
        return false;
    snprintf(path, sizeof path, "%s/sluice.yaml", p->dir);
    int n = snprintf(text, sizeof text,
                     "listen: 127.0.0.1:%u\n"
                     "data_dir: ./data\n"
                     "sources:\n"
                     "  prove:\n"
                     "    manifest: generic\n"
                     "    secrets: [{file: ./secret}]\n"
                     "    verify:\n"
                     "      prove-hmac:\n"
                     "        algorithm: hmac-sha256\n"
                     "        signature: {header: Prove-Signature, encoding: hex}\n"
                     "        time: {from: header.Prove-Time, unit: s, past: 300s, future: 300s}\n"
                     "        signed: \"{time}.{body}\"\n",
                     p->port);
    return io_write_file_atomic(p->io, path, 0600, span_make(text, (size_t)n), err) && load_config(p, path, err);
}

static bool takes_connections(const struct prove *p)
{
    struct sockaddr_in at = loopback(p);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool has_ended(struct prove *p)
{
    int status;
    if (waitpid(p->server, &status, WNOHANG) != p->server)
        return false;
    p->server = 0;
    return true;
}

bool prove_start_server(struct prove *p, struct err *err)
{
    char config[2100], log[2100];
    posix_spawn_file_actions_t files;
    snprintf(config, sizeof config, "%s/sluice.yaml", p->dir);
    snprintf(log, sizeof log, "%s/serve.log", p->dir);
    char *argv[] = {mem_dup("sluice"), mem_dup("serve"), mem_dup("-c"), config, NULL};
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    errno = posix_spawn(&p->server, "/proc/self/exe", &files, NULL, argv, environ);
    bool ok = errno == 0 || err_sys(err, ERR_INPUT, "cannot start the server");
    posix_spawn_file_actions_destroy(&files);
    for (int i = 0; i < 3; i++)
        free(argv[i]);
    uint64_t waited = 0;
    while (ok && !takes_connections(p)) {
        if (has_ended(p) || waited > START_US)
            return err_set(err, ERR_INPUT, "the server did not start; %s says why", log);
        p->io->world->sleep_us(p->io, LOOK_US);
        waited += LOOK_US;
    }
    return ok;
}

void prove_kill_server(struct prove *p)
{
    int status;
    if (!p->server)
        return;
    kill(p->server, SIGKILL);
    waitpid(p->server, &status, 0);
    p->server = 0;
}

bool prove_stop_server(struct prove *p, struct err *err)
{
    int status = 0;
    if (!p->server)
        return err_set(err, ERR_INPUT, "the server had ended by itself; %s/serve.log says why", p->dir);
    kill(p->server, SIGTERM);
    waitpid(p->server, &status, 0);
    p->server = 0;
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           err_set(err, ERR_INPUT, "the server did not end in order; %s/serve.log says why", p->dir);
}
