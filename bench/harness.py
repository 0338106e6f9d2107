"""What the benchmarks stand on: building, programs that print JSON, servers in scratch folders, figures and rows of the table."""
import atexit
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build", "bench")
SCRATCH = os.path.join(BUILD, "scratch")
PAYLOADS = os.path.join(BUILD, "payloads")
BINARY = os.path.join(BUILD, "sluice")
RAM_DISKS = ("tmpfs", "ramfs")
BUSY = 0.05  # more of the processors than this used by others, and figures are noise
sys.path.insert(0, ROOT)
sys.path.insert(0, os.path.join(ROOT, "bench"))
import payloads  # noqa: E402

CONFIG = """listen: 127.0.0.1:%(port)d
data_dir: ./data
sources:
  github: {secrets: [{file: ./secrets/github}], config: {org: octokit, token: {file: ./secrets/key}}}
  stripe: {secrets: [{file: ./secrets/stripe}], config: {api_key: {file: ./secrets/key}, api_version: "%(version)s", live: false}}
staging: {objects: {url: "file://./data/staging", cut_age: %(cut_age)s}}
merge: {target: "%(merge)s", every: 1s}
journal: {max: 60GiB}
limits: {per_address: 0}
%(admin)s"""


class BenchError(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def shell(*words):
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError("%s ended with %d\n%s%s" % (" ".join(words), done.returncode, done.stdout[-3000:], done.stderr[-3000:]))
    return done.stdout


def build():
    shell("bash", "-c", ". tools/packages.sh && tools/need $BUILD_PACKAGES $BENCH_PACKAGES")
    shell("cmake", "-S", ".", "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DSLUICE_BENCH=ON", "-DSLUICE_TESTS=OFF",
          "-DSLUICE_SANITIZE=")
    shell("cmake", "--build", BUILD)


def program(name):
    return os.path.join(BUILD, "bench", name)


def run(name, **options):
    """Runs one of our programs to its end; what it printed. Underscores become dashes, True an option without a value."""
    words = [program(name)]
    for key, value in options.items():
        if value is True:
            words.append("--" + key.replace("_", "-"))
        elif value is not None and value is not False:
            words += ["--" + key.replace("_", "-"), str(value)]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError("%s ended with %d: %s" % (" ".join(words), done.returncode, done.stderr.strip()[-1000:]))
    return json.loads(done.stdout)


def requests_file(name):
    return os.path.join(PAYLOADS, name + ".req")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def post_once(port, raw, seconds=5):
    """The status of one request on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), seconds) as s:
        s.settimeout(seconds)
        s.sendall(raw)
        return int(s.recv(4096).split()[1])


# ---- scratch folders ----

_made = 0


def scratch():
    """A new empty folder on the disk that is measured."""
    global _made
    _made += 1
    path = os.path.join(SCRATCH, "%d-%d" % (os.getpid(), _made))
    os.makedirs(path)
    return path


def remove(path):
    """Removes a folder, and waits until the disk is quiet, so that the next measurement does not pay for it."""
    shutil.rmtree(path, ignore_errors=True)
    os.sync()


def forget_cached(folder):
    """Drops what the page cache holds of the folder's files: what is read next comes from the disk."""
    os.sync()
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                fd = os.open(os.path.join(where, name), os.O_RDONLY)
            except OSError:
                continue
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def clear_scratch():
    shutil.rmtree(SCRATCH, ignore_errors=True)


# ---- servers ----

_children = set()


@atexit.register
def _end_children():
    for child in list(_children):
        if child.poll() is None:
            child.kill()


class Server:
    """A process that listens. Its resident memory and processor time are read from /proc."""

    def __init__(self, words, port, cwd, log):
        self.port = port
        with open(log, "ab") as out:
            self.began = time.monotonic()
            self.child = subprocess.Popen(words, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        _children.add(self.child)
        self.log = log

    def logged(self):
        with open(self.log, errors="replace") as f:
            return f.read()[-2000:]

    def wait_listening(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise BenchError("a server ended with %d:\n%s" % (self.child.returncode, self.logged()))
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.005)
        raise BenchError("a server did not listen in %d s:\n%s" % (seconds, self.logged()))

    def first_answer_ms(self, raw, seconds=120):
        """From its start to the first 200; tried again every half millisecond."""
        while time.monotonic() - self.began < seconds:
            if self.child.poll() is not None:
                raise BenchError("a server ended with %d:\n%s" % (self.child.returncode, self.logged()))
            try:
                status = post_once(self.port, raw)
                if status != 200:
                    raise BenchError("the first request was answered %d:\n%s" % (status, self.logged()))
                return (time.monotonic() - self.began) * 1e3
            except (OSError, IndexError):
                time.sleep(0.0005)
        raise BenchError("no answer in %d s:\n%s" % (seconds, self.logged()))

    def rss_kib(self):
        with open("/proc/%d/status" % self.child.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def threads_cpu_s(self):
        """Seconds of processor time of each thread, the busiest first."""
        out, tick = [], os.sysconf("SC_CLK_TCK")
        base = "/proc/%d/task" % self.child.pid
        for task in os.listdir(base):
            try:
                with open(os.path.join(base, task, "stat")) as f:
                    name, rest = f.read().rsplit(")", 1)
            except OSError:
                continue
            fields = rest.split()
            out.append({"thread": name.split("(", 1)[1], "cpu_s": (int(fields[11]) + int(fields[12])) / tick})
        return sorted(out, key=lambda t: -t["cpu_s"])

    def cpu_s(self):
        """Of all its threads, to a nanosecond (the scheduler's own count)."""
        total = 0
        base = "/proc/%d/task" % self.child.pid
        for task in os.listdir(base):
            try:
                with open(os.path.join(base, task, "schedstat")) as f:
                    total += int(f.read().split()[0])
            except OSError:
                continue
        return total / 1e9

    def stop(self, how=signal.SIGTERM, seconds=120):
        if self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        _children.discard(self.child)
        return self.child.returncode


def bare(folder, hmac=False):
    port = free_port()
    words = [program("bare_http"), "--port", str(port)] + (["--hmac"] if hmac else [])
    return Server(words, port, folder, os.path.join(folder, "bare.log"))


class Sluice:
    """A folder with a configuration, its server, its commands."""

    def __init__(self, cut_age="60s", merge="sqlite:./data/tables.db", admin=False):
        self.dir, self.port, self.server = scratch(), free_port(), None
        self.admin_port = free_port() if admin else None
        os.makedirs(self.path("secrets"), 0o700)
        for name, text in (("github", payloads.GITHUB_SECRET), ("stripe", payloads.STRIPE_SECRET), ("key", "sk_test_bench")):
            fd = os.open(self.path("secrets", name), os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(fd, text.encode())
            os.close(fd)
        with open(self.path("sluice.yaml"), "w") as f:
            f.write(CONFIG % {"port": self.port, "cut_age": cut_age, "merge": merge, "version": payloads.STRIPE_VERSION,
                              "admin": "admin: {listen: \"127.0.0.1:%d\"}\n" % self.admin_port if admin else ""})

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def spawn(self):
        self.server = Server([BINARY, "serve"], self.port, self.dir, self.path("serve.log"))
        return self.server

    def start(self):
        self.spawn().wait_listening()
        return self

    def command(self, *words, codes=(0,)):
        """What a command printed, and its peak resident memory in KiB."""
        with open(self.path("out"), "w+") as out, open(self.path("err"), "w+") as err:
            child = subprocess.Popen([BINARY, *words], cwd=self.dir, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            _, status, use = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            if child.returncode not in codes:
                raise BenchError("sluice %s ended with %d: %s" % (" ".join(words), child.returncode, err.read()[-1000:]))
            return out.read(), use.ru_maxrss

    def metric(self, name, seconds=30):
        """The value of the one sample of this name, read from the admin listener; None where it is left out."""
        with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % self.admin_port, timeout=seconds) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith(name) and line[len(name)] in " {":
                    return float(line.rsplit(" ", 1)[1])
        return None

    def books(self):
        """The books of all sources together."""
        total = {}
        for source in json.loads(self.command("status", "--json", codes=(0, 1))[0])["books"]["sources"]:
            for key, value in source.items():
                if isinstance(value, int) and not isinstance(value, bool):
                    total[key] = total.get(key, 0) + value
        return total

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.server:
            self.server.stop()
        remove(self.dir)


# ---- figures ----

class Figures:
    """The values of the rounds of one measurement."""

    def __init__(self, values):
        self.values = list(values)

    @property
    def median(self):
        return statistics.median(self.values)

    def plain(self):
        return {"median": self.median, "min": min(self.values), "max": max(self.values), "rounds": self.values}


def number(x):
    if x == 0:
        return "0"
    if abs(x) >= 100:
        return format(round(x), ",d")
    return "%.3g" % x


def row(bench, what, unit, ceiling, sluice, bar="", met=None, ratio=True):
    """ceiling, sluice: lists of figures, one a round, or None. met: None where there is no bar."""
    c = Figures(ceiling).plain() if ceiling else None
    s = Figures(sluice).plain() if sluice else None
    r = s["median"] / c["median"] if ratio and c and s and c["median"] else None
    return {"bench": bench, "what": what, "unit": unit, "ceiling": c, "sluice": s, "ratio": r, "bar": bar, "met": met}


def at_least(bench, what, unit, ceiling, sluice, share):
    out = row(bench, what, unit, ceiling, sluice, "ratio ≥ %.2f" % share if share is not None else "")
    out["met"] = None if share is None else out["ratio"] >= share
    return out


def cells(r):
    def spread(f):
        return "–" if not f else "%s (%s–%s)" % (number(f["median"]), number(f["min"]), number(f["max"])) \
            if f["min"] != f["max"] else number(f["median"])
    return [r["bench"], "%s, %s" % (r["what"], r["unit"]) if r["unit"] else r["what"], spread(r["ceiling"]), spread(r["sluice"]),
            "–" if r["ratio"] is None else "%.2f" % r["ratio"], r["bar"] or "–",
            "–" if r["met"] is None else "met" if r["met"] else "MISSED"]


HEAD = ["", "what", "ceiling", "Sluice", "ratio", "bar", ""]


def table(rows):
    """Text with columns as wide as they must be."""
    lines = [HEAD] + [cells(r) for r in rows]
    wide = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    out = []
    for line in lines:
        out.append("  ".join(c.ljust(wide[i]) if i in (0, 1, 5, 6) else c.rjust(wide[i]) for i, c in enumerate(line)).rstrip())
    out.insert(1, "  ".join("-" * w for w in wide))
    return "\n".join(out)


def filesystem(path):
    """The type of the file system that holds the path: the mount with the longest name of a folder above it."""
    best = ("", "unknown")
    with open("/proc/self/mounts") as f:
        for line in f:
            at, kind = line.split()[1:3]
            if (path + "/").startswith(at.rstrip("/") + "/") and len(at) >= len(best[0]):
                best = (at, kind)
    return best[1]


def busy_share(seconds=1.0):
    """How much of the processors others use: the share of the time that was neither idle nor spent waiting for a disk."""
    def look():
        with open("/proc/stat") as f:
            ticks = [int(x) for x in f.readline().split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]
    total, idle = look()
    time.sleep(seconds)
    total_after, idle_after = look()
    return 1 - (idle_after - idle) / max(1, total_after - total)


def machine():
    def first(path, word):
        with open(path) as f:
            return next((line.split(":", 1)[1].strip() for line in f if line.startswith(word)), "")
    os.makedirs(SCRATCH, exist_ok=True)
    kib = int(first("/proc/meminfo", "MemTotal").split()[0])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {"processor": first("/proc/cpuinfo", "model name") or platform.machine(), "cores": os.cpu_count(),
            "memory_gib": round(kib / 2**20, 1), "kernel": platform.release(),
            "filesystem": filesystem(SCRATCH),
            "compiler": shell("cc", "--version").splitlines()[0], "commit": commit + (" with changes" if changed else ""),
            "fdatasync_4k": run("sync_loop", dir=SCRATCH, bytes=4096, ms=500), "busy_share": busy_share()}


def warn(m):
    say("machine: %(processor)s, %(cores)d cores, %(memory_gib)g GiB, %(filesystem)s" % m)
    if m["busy_share"] > BUSY:
        say("WARNING: others use %d %% of the processors: the figures are noise" % round(100 * m["busy_share"]))
    if m["filesystem"] in RAM_DISKS:
        say("WARNING: build/bench/scratch lies on %s: fdatasync may cost nothing there" % m["filesystem"])
