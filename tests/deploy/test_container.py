#!/usr/bin/env python3
"""deploy/Dockerfile: its own steps in a bare chroot; the result starts there as another user, on a root that cannot be written."""
import hashlib
import hmac
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import ROOT, free_port, main  # noqa: E402
import container  # noqa: E402

DOCKERFILE = os.path.join(ROOT, "deploy", "Dockerfile")
CONFIG = os.path.join(ROOT, "deploy", "kubernetes", "overlays", "single", "sluice.yaml")
SECRET, TOKEN = "whsec_the-containers-own", "a token for the scraper"
built = []


def image():
    if not built:
        built.append(container.build(DOCKERFILE))
    return built[0]


def mounted(folder, files):
    """A folder as the kubelet mounts a Secret or ConfigMap: names that point through ..data."""
    os.makedirs(os.path.join(folder, "..2026_01"))
    for name, text in files.items():
        with open(os.path.join(folder, "..2026_01", name), "w") as f:
            f.write(text)
        os.chmod(f.name, 0o440)
        os.chown(f.name, 0, 10001)
        os.symlink("..data/" + name, os.path.join(folder, name))
    os.symlink("..2026_01", os.path.join(folder, "..data"))
    os.chmod(folder, 0o755)


class Pod:
    """The container with what deploy/kubernetes' overlay `single` gives it; only the ports are others."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="sluice-pod-")
        os.chmod(self.dir, 0o755)
        self.port, self.admin = free_port(), free_port()
        config = open(CONFIG).read().replace("0.0.0.0:8080", "127.0.0.1:%d" % self.port).replace("0.0.0.0:9090", "127.0.0.1:%d" % self.admin)
        config = config.replace("drain_delay: 10s", "drain_delay: 1s") + 'limits: {threads: 1}\n'
        config = config.replace("customers: {every: 1h}, invoices: {every: 1h}, ", "")  # the test pulls by itself
        config = config.replace("    secrets:", "    base_url: http://127.0.0.1:1\n    secrets:")
        mounted(os.path.join(self.dir, "config"), {"sluice.yaml": config})
        mounted(os.path.join(self.dir, "secrets"), {"admin": TOKEN, "stripe": SECRET, "stripe-api-key": "sk_test_1"})
        os.makedirs(os.path.join(self.dir, "data"))
        os.chown(os.path.join(self.dir, "data"), 0, 10001)  # as fsGroup does
        os.chmod(os.path.join(self.dir, "data"), 0o2770)
        self.container = None
        return self

    def start(self, seconds=30):
        self.log = open(os.path.join(self.dir, "log"), "ab")
        at = {inside: (os.path.join(self.dir, outside), writable) for inside, outside, writable in (
            ("/etc/sluice", "config", False), ("/run/secrets/sluice", "secrets", False), ("/var/lib/sluice", "data", True))}
        self.container = container.Container(image(), at, self.log)
        end = time.monotonic() + seconds
        while self.ask("/readyz")[0] != 200 or not self.container.find():
            assert self.container.outer.poll() is None and time.monotonic() < end, self.logged()
            time.sleep(0.05)
        return self.container

    def __exit__(self, *_):
        if self.container:
            self.container.__exit__()
        shutil.rmtree(self.dir, ignore_errors=True)

    def logged(self):
        return open(os.path.join(self.dir, "log"), errors="replace").read()[-3000:]

    def ask(self, path, headers=None):
        try:
            c = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
            c.request("GET", path, headers=headers or {})
            r = c.getresponse()
            return r.status, r.read().decode()
        except OSError:
            return 0, ""

    def post(self, number):
        body = json.dumps({"id": "evt_%d" % number, "object": "event", "type": "customer.created", "api_version": "2026-07-29",
                           "created": int(time.time()), "livemode": True, "data": {"object": {"id": "cus_%d" % number, "object": "customer"}}}).encode()
        now = int(time.time())
        mac = hmac.new(SECRET.encode(), b"%d." % now + body, hashlib.sha256).hexdigest()
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request("POST", "/in/stripe", body, {"Stripe-Signature": "t=%d,v1=%s" % (now, mac), "Content-Type": "application/json"})
        return c.getresponse().status


# ---- tests ----

def only_what_runs_is_in_it():
    root = image().root
    assert os.path.exists(root + "/usr/bin/sluice") and not os.path.exists(root + "/src") and not os.path.exists(root + "/build")
    for program in ("gcc", "cc", "ld", "cmake", "ninja", "make", "python3", "curl", "git"):
        assert not os.path.exists(root + "/usr/bin/" + program), "%s is in the image" % program
    left = subprocess.run(["find", root, "-xdev", "-type", "f", "-perm", "/6000"], capture_output=True, text=True).stdout
    assert not left, "set-user-ID: " + left
    assert not os.listdir(root + "/var/lib/apt/lists")
    mib = int(subprocess.run(["du", "-sm", "--one-file-system", root], capture_output=True, text=True).stdout.split()[0])
    print("%d MiB, of which sluice %d KiB" % (mib, os.path.getsize(root + "/usr/bin/sluice") // 1024))
    assert mib < 250, mib


def it_agrees_with_kubernetes():
    text = open(os.path.join(ROOT, "deploy", "kubernetes", "base", "statefulset.yaml")).read()
    uid, gid = image().user.split(":")
    assert "runAsUser: %s\n" % uid in text and "runAsGroup: %s\n" % gid in text and int(uid) > 0
    assert image().entrypoint + image().cmd == ["sluice", "serve"] and "args: [serve]" in text
    assert image().ports == [int(p) for p in re.findall(r"containerPort: (\d+)", text)]


def it_runs_with_nothing_but_its_volume():
    with Pod() as pod, pod.start() as c:
        status = open("/proc/%d/status" % c.pid).read()
        values = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.M))
        assert values["Uid"].split()[1] == "10001" and values["Gid"].split()[1] == "10001", status
        assert int(values["CapEff"], 16) == int(values["CapPrm"], 16) == int(values["CapBnd"], 16) == 0 and values["NoNewPrivs"] == "1"
        for place in ("/x", "/tmp/x", "/etc/sluice/x", "/run/secrets/sluice/x", "/usr/bin/x"):
            words = c.run("touch", place, code=None)
            assert "Read-only file system" in words or "Permission denied" in words, (place, words)
        for i in range(50):
            assert pod.post(i) == 200
        assert pod.ask("/metrics")[0] == 401
        assert "sluice_build_info" in pod.ask("/metrics", {"Authorization": "Bearer " + TOKEN})[1]
        c.run("sluice", "merge")
        assert json.loads(c.run("sluice", "status", "--json", code=None))["sources"][0]["rows"] == 100  # and the table of events
        assert "libcurl" not in open("/proc/%d/maps" % c.pid).read()
        words = c.run("timeout", "-s", "INT", "3", "sluice", "backfill", "stripe", "customers", code=None)  # no provider is there
        assert "libcurl" not in words and "libcurl" in open("/proc/%d/maps" % c.pid).read(), words  # it is mapped when it is needed
        assert "drained" in c.run("sluice", "drain")  # as preStop has it
        assert pod.ask("/readyz")[0] == 503
        assert c.end() == 0, pod.logged()
        assert "level=error" not in pod.logged(), pod.logged()


def what_was_accepted_is_there_again():
    """SIGKILL of the whole container, and another one on the same volume."""
    with Pod() as pod:
        with pod.start() as c:
            for i in range(20):
                assert pod.post(i) == 200
            c.end(9)
        with pod.start() as c:
            assert pod.post(100) == 200
            c.run("sluice", "merge")
            assert json.loads(c.run("sluice", "status", "--json", code=None))["sources"][0]["rows"] == 42
            assert c.end() == 0


TESTS = [only_what_runs_is_in_it, it_agrees_with_kubernetes, it_runs_with_nothing_but_its_volume, what_was_accepted_is_there_again]

if __name__ == "__main__":
    lacking = container.missing()
    if lacking:
        for t in TESTS:
            print("skip deploy/%s %s" % (t.__name__, lacking))
        sys.exit(0)
    code = main(TESTS, "deploy")
    for made in built:
        container.forget(made.root)
    sys.exit(code)
