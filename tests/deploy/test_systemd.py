#!/usr/bin/env python3
"""deploy/systemd: the unit is tight, the program gets by with what the unit leaves it, and tells its manager the truth."""
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import BINARY, ROOT, Sluice, free_port, main  # noqa: E402
import deliver  # noqa: E402
import provider  # noqa: E402

UNIT = os.path.join(ROOT, "deploy", "systemd", "sluice.service")
EXPOSURE_MAX = 2.0
CONFIG = """
listen: 127.0.0.1:{port}
admin: {listen: "127.0.0.1:@admin@"}
data_dir: ./data
sources:
  demo:
    secrets: [{file: ./secrets/demo}]
    config: {api_key: {file: ./secrets/key}}
    base_url: http://127.0.0.1:9
limits: {threads: 1}
@more@
"""
FAST = """staging: {objects: {url: "file://./data/staging", cut_age: 100ms}}
merge: {target: "sqlite:./data/tables.db", every: 100ms}
"""


class Manager:
    """A service manager's end of the socket: every datagram with its time."""

    def __init__(self, address):
        self.heard, self.socket = [], socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while True:
            data = self.socket.recv(8192).decode()
            if data == "end":
                return
            self.heard.append((time.monotonic(), data.split("\n")))

    def count(self, line, since=0.0, until=float("inf")):
        return sum(1 for at, lines in self.heard if line in lines and since <= at <= until)

    def when(self, line):
        return next(at for at, lines in self.heard if line in lines)

    def wait(self, line, since=0.0, seconds=30):
        end = time.monotonic() + seconds
        while not self.count(line, since):
            assert time.monotonic() < end, "%s was not told in %d s; what was: %s" % (line, seconds, self.heard[-5:])
            time.sleep(0.02)


def instance(more=FAST):
    s = Sluice(CONFIG.replace("@more@", more).replace("@admin@", str(free_port())),
               {"secrets/demo": deliver.SECRET, "secrets/key": provider.TOKEN})
    s.admin = int(re.search(r'admin: \{listen: "127.0.0.1:(\d+)', open(s.path("sluice.yaml")).read()).group(1))
    return s


def start(s, address, watchdog=None):
    """Starts the server as a manager would. The environment is the child's alone."""
    environment = {"NOTIFY_SOCKET": address.replace("\0", "@")}
    if watchdog:
        environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        s.start()
    finally:
        os.environ.clear()
        os.environ.update(before)


def post(s, name):
    body = ('{"id":"%s","type":"customer.created","timestamp":"2026-01-01T00:00:00Z","data":{"id":"%s"}}' % (name, name)).encode()
    return deliver.Connection(s.port).post(deliver.request("/in/demo", name, body))


def ready(s):
    c = http.client.HTTPConnection("127.0.0.1", s.admin, timeout=10)
    c.request("GET", "/readyz")
    return c.getresponse().status


def alive(s):
    c = http.client.HTTPConnection("127.0.0.1", s.admin, timeout=10)
    c.request("GET", "/livez")
    answer = c.getresponse()
    return answer.status, answer.read().decode().strip()


def need(program):
    if not shutil.which(program):
        raise AssertionError("%s is not here" % program)


def thread_ids(s, name):
    task = "/proc/%d/task" % s.server.pid
    found = [tid for tid in os.listdir(task) if open("%s/%s/comm" % (task, tid)).read().strip() == name]
    assert found, "no thread %s" % name
    return found


# ---- the unit ----

def the_unit_is_tight():
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=%d" % (EXPOSURE_MAX * 10), UNIT],
                          capture_output=True, text=True)
    exposure = float(re.search(r"exposure level for sluice.service: ([0-9.]+)", done.stdout).group(1))
    print("exposure %.1f" % exposure)
    assert done.returncode == 0 and exposure <= EXPOSURE_MAX, done.stdout[-200:]
    loose = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=%d" % (EXPOSURE_MAX * 10), "/dev/stdin"],
                           input="[Service]\nExecStart=/bin/true\n", capture_output=True, text=True)
    assert loose.returncode != 0, "a unit without any of it passes as well"


def the_unit_can_be_read():
    with tempfile.TemporaryDirectory() as folder:
        text = open(UNIT).read()
        here = text.replace("/usr/bin/sluice", BINARY)
        assert here != text
        with open(os.path.join(folder, "sluice.service"), "w") as f:
            f.write(here)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", f.name], capture_output=True, text=True)
        words = [line for line in done.stderr.splitlines() if "sluice.service" in line]
        assert not words, words
    values = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z][A-Za-z]*=", line))
    assert values["Type"] == "notify" and values["WatchdogSec"] and values["LoadCredential"]


def allowed_calls():
    """System calls that the unit's SystemCallFilter lines leave, in their order."""
    def members(name):
        found, left = set(), [name]
        while left:
            one = left.pop()
            if not one.startswith("@"):
                found.add(one)
                continue
            out = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", one], capture_output=True, text=True).stdout
            left += [line.strip() for line in out.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
        return found
    allowed = set()
    for line in open(UNIT):
        if line.startswith("SystemCallFilter="):
            value = line.split("=", 1)[1].strip()
            for name in value.lstrip("~").split():
                allowed = allowed - members(name) if value.startswith("~") else allowed | members(name)
    return allowed


def it_gets_by_with_what_the_unit_leaves():
    """Every system call, address family and mapping of a life, from the start over commands and pulls to the stop."""
    need("strace")
    with instance() as s, tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace")
        wrapper = os.path.join(folder, "traced")
        with open(wrapper, "w") as f:
            f.write('#!/bin/sh\nexec strace -f -qq -o %s %s "$@"\n' % (trace, BINARY))
        os.chmod(wrapper, 0o755)
        s.log = open(s.path("serve.log"), "ab")
        s.server = subprocess.Popen([wrapper, "serve"], cwd=s.dir, stdout=s.log, stderr=s.log)
        end = time.monotonic() + 60
        while "serving" not in s.logged():
            assert s.server.poll() is None and time.monotonic() < end, s.logged()
            time.sleep(0.05)
        for i in range(20):
            assert post(s, "evt_%d" % i) == 200
        s.run("merge")
        s.run("status")
        pull = s.popen("backfill", "demo")  # its provider is not there: it connects, fails, would try again
        time.sleep(2)
        pull.send_signal(signal.SIGINT)
        pull.communicate(timeout=60)
        assert ready(s) == 200
        s.run("drain")
        for pid in open("/proc/%d/task/%d/children" % (s.server.pid, s.server.pid)).read().split():
            os.kill(int(pid), signal.SIGTERM)
        assert s.server.wait(60) == 0, s.logged()
        text = open(trace).read()
    calls = set(re.findall(r"^\d+ +(\w+)\(", text, re.M)) - {"execve"}  # the manager's own
    if os.getuid() == 0:
        calls.discard("fchown")  # SQLite's, as root alone
    assert {"fdatasync", "epoll_wait", "accept4", "sendto", "sched_setscheduler"} <= calls, sorted(calls)
    print("%d kinds of system calls" % len(calls))
    allowed = allowed_calls()
    assert len(allowed) > 100 and "reboot" not in allowed and "mount" not in allowed
    assert calls <= allowed, "the unit forbids: %s" % sorted(calls - allowed)
    families = set(re.findall(r"socket\((AF_\w+)", text))
    assert families <= set(re.search(r"^RestrictAddressFamilies=(.*)$", open(UNIT).read(), re.M).group(1).split()) | {"AF_NETLINK"}, families
    bad = [line for line in text.splitlines() if re.search(r"(mmap|mprotect)\(.*PROT_WRITE\|PROT_EXEC", line)]
    assert not bad, bad[:3]


# ---- what is told ----

def the_start_and_the_stop_are_told():
    for address in ("\0sluice-test-%d" % os.getpid(), None):
        with instance(FAST + "drain_delay: 1s\n") as s:
            m = Manager(address or s.path("notify"))
            start(s, address or s.path("notify"))
            m.wait("READY=1")
            assert ready(s) == 200 and post(s, "evt_1") == 200
            assert m.count("STATUS=starting: the journal is being recovered") == 1 and m.count("STATUS=serving") == 1
            assert not m.count("WATCHDOG=1") and not m.count("STOPPING=1")
            s.server.send_signal(signal.SIGHUP)
            m.wait("RELOADING=1")
            m.wait("READY=1", since=m.when("RELOADING=1"))
            s.server.send_signal(signal.SIGTERM)
            m.wait("STOPPING=1", seconds=0.9)  # at once, not behind drain_delay
            assert s.server.poll() is None and post(s, "evt_2") == 200
            assert s.stop() == 0
            assert m.count("READY=1") == 2 and m.count("RELOADING=1") == 1, m.heard


def a_start_that_fails_is_not_told_as_ready():
    with instance() as s:
        m = Manager(s.path("notify"))
        s.write("sluice.yaml", open(s.path("sluice.yaml")).read().replace("127.0.0.1:%d" % s.port, "192.0.2.1:1"))
        done = subprocess.run([BINARY, "serve"], cwd=s.dir, env={**os.environ, "NOTIFY_SOCKET": s.path("notify")}, capture_output=True)
        assert done.returncode != 0
        assert m.count("STATUS=starting: the journal is being recovered") == 1 and not m.count("READY=1")


def the_watchdog_hears_while_all_go_on():
    with instance() as s:
        m = Manager(s.path("notify"))
        start(s, s.path("notify"), watchdog=3)  # so it looks each 0.75 s
        m.wait("READY=1")
        since = time.monotonic()
        time.sleep(4)  # idle
        until = time.monotonic() + 4
        n = 0
        while time.monotonic() < until:  # busy
            n += 1
            assert post(s, "evt_%d" % n) == 200
        signs = [since] + [at for at, lines in m.heard if "WATCHDOG=1" in lines] + [until]
        assert max(b - a for a, b in zip(signs, signs[1:])) < 3 and len(signs) <= 14, signs
        assert s.stop() == 0


def a_sink_that_is_down_is_no_reason():
    more = 'staging: {objects: {url: "s3://bucket/p", endpoint: "http://127.0.0.1:1", access_key: {file: ./secrets/key}, ' \
           'secret_key: {file: ./secrets/key}, cut_age: 50ms}}\n'
    with instance(more) as s:
        m = Manager(s.path("notify"))
        start(s, s.path("notify"), watchdog=4)
        m.wait("READY=1")
        for i in range(5):
            assert post(s, "evt_%d" % i) == 200
        time.sleep(7)
        gaps = [at for at, lines in m.heard if "WATCHDOG=1" in lines]
        assert len(gaps) >= 4 and max(b - a for a, b in zip(gaps, gaps[1:])) < 4, gaps
        assert any(l.startswith("STATUS=serving; staging does not get on:") for _, lines in m.heard for l in lines), m.heard[-3:]


def a_thread_that_stands_still_is_not_covered_up():
    """One thread at a time is held within a system call, as a disk or a lock that never answers would."""
    need("strace")
    for name, words in (("stager", "staging"), ("listen-0", "a worker of the door"), ("commit-events", "a commit of the journal")):
        with instance() as s:
            m = Manager(s.path("notify"))
            start(s, s.path("notify"), watchdog=1)
            m.wait("WATCHDOG=1", since=time.monotonic())
            before = alive(s)
            with open(s.path("strace.log"), "w") as log:
                held = subprocess.Popen(["strace", "-qq", *("-p%s" % tid for tid in thread_ids(s, name)), "-e", "inject=all:delay_enter=60s",
                                         "-o", "/dev/null"], stderr=log)
            senders = [threading.Thread(target=post, args=(s, "evt_%s_%d" % (name, i)), daemon=True) for i in range(12)]
            time.sleep(0.5)
            for t in senders:  # several at once, so that the committer is needed
                t.start()
            end = time.monotonic() + 20
            while 'what="%s"' % words not in s.logged():
                assert held.poll() is None, open(s.path("strace.log")).read()
                assert time.monotonic() < end, "%s is held, and nothing is said: %s" % (name, s.logged()[-300:])
                time.sleep(0.02)
            since = time.monotonic()
            time.sleep(1.2)  # longer than the manager waits
            assert not m.count("WATCHDOG=1", since=since), "%s stands still, and the manager is told that all is well" % name
            assert before == (200, "alive") and alive(s) == (503, words + " stands still"), (before, alive(s))
            held.kill()
            held.wait()
            s.kill()


TESTS = [the_unit_is_tight, the_unit_can_be_read, it_gets_by_with_what_the_unit_leaves, the_start_and_the_stop_are_told,
         a_start_that_fails_is_not_told_as_ready, the_watchdog_hears_while_all_go_on, a_sink_that_is_down_is_no_reason,
         a_thread_that_stands_still_is_not_covered_up]

if __name__ == "__main__":
    sys.exit(main(TESTS, "deploy"))
