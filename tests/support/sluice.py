"""A Sluice under test: its folder, its configuration, its server process, its commands."""
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "standin"))
BINARY = os.environ.get("SLUICE", os.path.join(ROOT, "build", "release", "sluice"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Sluice:
    """with Sluice(config_text, files={path: text}) as s: …   `{port}` in the text is the port that it listens on."""

    def __init__(self, config, files=None):
        self.dir = tempfile.mkdtemp(prefix="sluice-test-")
        self.port = free_port()
        self.server = None
        for path, text in (files or {}).items():
            self.write(path, text)
        self.write("sluice.yaml", config.replace("{port}", str(self.port)))

    def write(self, path, text):
        full = os.path.join(self.dir, path)
        os.makedirs(os.path.dirname(full), mode=0o700, exist_ok=True)
        fd = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(fd, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None or not os.environ.get("KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, seconds=20, files=None):
        """Starts the server and waits until it accepts connections and has said all that it says at its start. files: its soft and hard limit of open files."""
        self.log = open(self.path("serve.log"), "ab")
        said = os.path.getsize(self.path("serve.log"))
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, files)) if files else None
        self.server = subprocess.Popen([BINARY, "serve"], cwd=self.dir, stdout=self.log, stderr=self.log, preexec_fn=limit)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.server.poll() is not None:
                raise AssertionError("serve ended with %s:\n%s" % (self.server.returncode, self.logged()))
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                with open(self.path("serve.log"), "rb") as f:
                    f.seek(said)
                    if b"serving" in f.read():
                        return self
            except OSError:
                pass
            time.sleep(0.01)
        raise AssertionError("serve did not listen in %d s:\n%s" % (seconds, self.logged()))

    def logged(self):
        with open(self.path("serve.log"), errors="replace") as f:
            return f.read()[-4000:]

    def kill(self):
        if self.server:
            self.server.send_signal(signal.SIGKILL)
            self.server.wait()

    def stop(self, seconds=30):
        """Ends the server in order; returns its exit code."""
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            try:
                self.server.wait(seconds)
            except subprocess.TimeoutExpired:
                self.server.kill()
                raise AssertionError("serve did not end in %d s:\n%s" % (seconds, self.logged()))
        return self.server.returncode if self.server else None

    def popen(self, *args, **kw):
        return subprocess.Popen([BINARY, *args], cwd=self.dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)

    def run(self, *args, input=None, code=0, env=None):
        """Runs a command; `code` is what it must end with (None: anything). Returns (stdout, stderr, code)."""
        done = subprocess.run([BINARY, *args], cwd=self.dir, capture_output=True, input=input, text=not isinstance(input, bytes),
                              timeout=300, env={**os.environ, **(env or {})})
        if code is not None and done.returncode != code:
            raise AssertionError("sluice %s ended with %d, not %d\n%s\n%s" % (
                " ".join(args), done.returncode, code, done.stdout, done.stderr))
        return done.stdout, done.stderr, done.returncode

    def rss_kib(self):
        with open("/proc/%d/status" % self.server.pid) as f:
            for line in f:
                if line.startswith("VmRSS"):
                    return int(line.split()[1])
        return 0


def main(tests, group):
    """Runs functions; prints ok/FAIL lines; the process's exit code."""
    only = sys.argv[1:]
    bad = 0
    for test in tests:
        name = test.__name__
        if only and name not in only:
            continue
        began = time.monotonic()
        try:
            test()
            print("ok %s/%s  %.1f s" % (group, name, time.monotonic() - began), flush=True)
        except BaseException as e:  # a failed test must not end the others
            if isinstance(e, KeyboardInterrupt):
                raise
            import traceback
            traceback.print_exc(file=sys.stdout)
            print("FAIL %s/%s" % (group, name), flush=True)
            bad = 1
    return bad
