/* What a service manager hears. */
#include "cli/notify.h"
#include "tests/unit/check_main.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static int manager;
static char name[64];

/* An abstract socket of its own for each. */
static void begin(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    static int n;
    snprintf(name, sizeof name, "@sluice-test-%d-%d", getpid(), n++);
    memcpy(at.sun_path + 1, name + 1, strlen(name) - 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(manager, 0);
    ck_assert_int_eq(
        bind(manager, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))), 0);
    setenv("NOTIFY_SOCKET", name, 1);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static struct notify *open_good(void)
{
    struct notify *n = NULL;
    struct err err = {0};
    ck_assert_msg(notify_open(&n, &err), "%s", err.msg);
    return n;
}

static void heard(const char *text)
{
    char got[2048];
    ssize_t n = recv(manager, got, sizeof got - 1, 0);
    ck_assert_msg(n >= 0, "nothing was heard instead of %s", text);
    got[n] = 0;
    ck_assert_str_eq(got, text);
}

START_TEST(each_state_is_one_datagram)
{
    begin();
    struct notify *n = open_good();
    ck_assert_ptr_nonnull(n);
    notify_status(n, "starting");
    heard("STATUS=starting");
    notify_ready(n, "serving");
    heard("READY=1\nSTATUS=serving");
    notify_works(n, "serving");
    heard("WATCHDOG=1\nSTATUS=serving");
    notify_reloading(n, 1234567890123);
    heard("RELOADING=1\nMONOTONIC_USEC=1234567890123");
    notify_stopping(n, "stopping");
    heard("STOPPING=1\nSTATUS=stopping");
    notify_close(&n);
    ck_assert_ptr_null(n);
    close(manager);
}
END_TEST

START_TEST(a_manager_that_is_gone_or_full_harms_nobody)
{
    char line[2000];
    begin();
    struct notify *n = open_good();
    for (int i = 0; i < 5000; i++) /* nobody reads them */
        notify_status(n, "x");
    memset(line, 'y', sizeof line - 1);
    line[sizeof line - 1] = 0;
    notify_status(n, line);
    close(manager);
    notify_ready(n, line);
    notify_close(&n);
}
END_TEST

START_TEST(nobody_asks)
{
    struct err err = {0};
    struct notify *n = NULL;
    unsetenv("NOTIFY_SOCKET");
    setenv("WATCHDOG_USEC", "1000000", 1);
    ck_assert(notify_open(&n, &err));
    ck_assert_ptr_null(n);
    ck_assert_uint_eq(notify_watchdog_us(n), 0);
    notify_ready(n, "serving");
    notify_close(&n);
}
END_TEST

static const struct {
    const char *usec, *pid; /* pid "own": ours */
    uint64_t watchdog_us;
} watchdogs[] = {
    {NULL, NULL, 0}, {"30000000", NULL, 30000000}, {"30000000", "own", 30000000}, {"30000000", "1", 0},
    {"0", NULL, 0},  {"", NULL, 0},               {"-5", NULL, 0},               {"12x", NULL, 0},
};

START_TEST(the_watchdog_is_whose_it_is)
{
    char own[32];
    begin();
    snprintf(own, sizeof own, "%d", getpid());
    if (watchdogs[_i].usec)
        setenv("WATCHDOG_USEC", watchdogs[_i].usec, 1);
    if (watchdogs[_i].pid)
        setenv("WATCHDOG_PID", strcmp(watchdogs[_i].pid, "own") ? watchdogs[_i].pid : own, 1);
    struct notify *n = open_good();
    ck_assert_uint_eq(notify_watchdog_us(n), watchdogs[_i].watchdog_us);
    /* No child speaks in our name. */
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
    ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
    ck_assert_ptr_null(getenv("WATCHDOG_PID"));
    notify_close(&n);
    close(manager);
}
END_TEST

START_TEST(a_socket_that_cannot_be_one_is_told_of)
{
    static const char *const names[] = {"relative", "@", "/"};
    char longer[200];
    memset(longer, 'a', sizeof longer - 1);
    longer[0] = '/';
    longer[sizeof longer - 1] = 0;
    for (int i = 0; i < 4; i++) {
        struct err err = {0};
        struct notify *n = NULL;
        setenv("NOTIFY_SOCKET", i < 3 ? names[i] : longer, 1);
        ck_assert(!notify_open(&n, &err));
        ck_assert_ptr_null(n);
        ck_assert_int_eq(err.cls, ERR_CONFIG);
        ck_assert_ptr_nonnull(strstr(err.msg, "NOTIFY_SOCKET"));
    }
}
END_TEST

CHECK_SUITE("cli notify", t)
{
    tcase_add_test(t, each_state_is_one_datagram);
    tcase_add_test(t, a_manager_that_is_gone_or_full_harms_nobody);
    tcase_add_test(t, nobody_asks);
    tcase_add_loop_test(t, the_watchdog_is_whose_it_is, 0, CHECK_ROWS(watchdogs));
    tcase_add_test(t, a_socket_that_cannot_be_one_is_told_of);
}
