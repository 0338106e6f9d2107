#include "cli/frame.h"
#include "cli/remote.h"
#include "core/json.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int remote_connect(const char *data_dir)
{
    /* Through a descriptor of the folder: a socket's path may have 107 bytes only. */
    int dir = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -1;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/sluice.sock", dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        close(fd);
        fd = -1;
    }
    close(dir);
    return fd;
}

static void add_flag(struct buf *req, const char *name, bool on)
{
    buf_addf(req, ",\"%s\":%s", name, on ? "true" : "false");
}

static bool send_request(int fd, const struct command *cmd, const struct command_args *a, const struct command_io *io)
{
    struct buf req;
    buf_init(&req, 1 << 20);
    buf_addz(&req, "{\"argv\":[");
    json_write_string(&req, span_of(cmd->name));
    buf_addc(&req, ',');
    json_write_string(&req, span_of(cmd->sub ? cmd->sub : ""));
    for (int i = 0; i < a->argc; i++) {
        buf_addc(&req, ',');
        json_write_string(&req, span_of(a->argv[i]));
    }
    buf_addz(&req, "]");
    add_flag(&req, "json", a->json);
    add_flag(&req, "yes", a->yes);
    add_flag(&req, "out_tty", io->out_tty);
    add_flag(&req, "err_tty", io->err_tty);
    add_flag(&req, "utf8", io->utf8);
    buf_addf(&req, ",\"columns\":%u}", io->columns);
    bool ok = buf_ok(&req) && frame_write_block(fd, buf_span(&req)) && frame_write_block(fd, a->input);
    buf_release(&req);
    return ok;
}

/* One frame: prints it; *ret_exit gets the code of an 'x' frame. */
static bool take_frame(int fd, const struct command_io *io, struct buf *body, int *ret_exit)
{
    char channel;
    buf_clear(body);
    if (!frame_read(fd, &channel, 1) || !frame_read_block(fd, (size_t)64 << 20, body))
        return false;
    if (channel == 'x') {
        *ret_exit = (int)strtol(buf_z(body), NULL, 10);
        return true;
    }
    FILE *to = channel == 'o' ? io->out : io->err;
    fwrite(body->p, 1, body->n, to);
    fflush(to);
    return true;
}

int remote_run(int fd, const struct command *cmd, const struct command_args *a, const struct command_io *io)
{
    struct buf body;
    buf_init(&body, (size_t)65 << 20);
    int code = -1;
    bool ok = send_request(fd, cmd, a, io), told = false;
    while (ok && code < 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, 200);
        if (io->stop && *io->stop && !told)
            told = frame_write(fd, "c", 1);
        if (n > 0)
            ok = take_frame(fd, io, &body, &code);
        else if (n < 0 && errno != EINTR)
            ok = false;
    }
    buf_release(&body);
    close(fd);
    if (code >= 0)
        return code;
    fprintf(io->err, "sluice: the running server closed the connection before the command ended\n");
    return EXIT_FAILED;
}
