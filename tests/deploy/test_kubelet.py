#!/usr/bin/env python3
"""What a kubelet does to pods, under load, with the whole program: Secrets swapped beneath it, rollouts, scale-downs, SIGKILL.

Pods are processes with a volume and mounts of their own; behind them a Service that follows readiness late, as the real one does;
senders try again when they get no 2xx, as providers do. Every event that was acknowledged has to be in the tables, once.
"""
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import BINARY, free_port, main  # noqa: E402
import deliver  # noqa: E402
import provider  # noqa: E402

DOOR = """
listen: 127.0.0.1:@port@
admin: {listen: "127.0.0.1:@admin@"}
data_dir: @volume@
drain_delay: 1500ms
stop_within: @stop@
secret_grace: 1h
sources:
  demo:
    secrets: [{file: @secrets@/demo}]
    config: {api_key: {file: @secrets@/key}}
    base_url: http://127.0.0.1:9
    @webhook@
staging: {objects: {url: "file://@objects@", cut_age: @age@}}
merge: {target: "@target@", every: 200ms}
"""
LOOK_S, LOOKS = 0.2, 2      # the readiness probe; drain_delay is longer than both looks and the lag
LAG_S = 0.5                 # until a Service's members are known everywhere
SENDERS = 6


class Cluster:
    """Pods by name, their volumes, the folder that stands for the bucket, and the Service's members."""

    def __init__(self, age="200ms", stop="20s"):
        self.dir, self.age, self.stop_within = tempfile.mkdtemp(prefix="sluice-kubelet-"), age, stop
        self.objects = os.path.join(self.dir, "bucket")
        self.secrets = os.path.join(self.dir, "secrets")
        os.makedirs(self.secrets)
        self.version = 0
        self.swap({"demo": deliver.SECRET, "key": provider.TOKEN})
        self.pods, self.members, self.over = {}, [], False
        self.lock = threading.Lock()
        self.endpoints = threading.Thread(target=self._follow_readiness)
        self.endpoints.start()

    def swap(self, files):
        """As the kubelet changes a mounted Secret: a new folder, and the link ..data renamed onto it."""
        self.version += 1
        new = os.path.join(self.secrets, "..2026_%d" % self.version)
        os.makedirs(new)
        for name, text in files.items():
            with open(os.path.join(new, name), "w") as f:
                f.write(text)
            os.chmod(f.name, 0o440)
            if not os.path.islink(os.path.join(self.secrets, name)):
                os.symlink("..data/" + name, os.path.join(self.secrets, name))
        data, old = os.path.join(self.secrets, "..data"), None
        if os.path.islink(data):
            old = os.path.join(self.secrets, os.readlink(data))
        os.symlink(os.path.basename(new), data + "_tmp")
        os.rename(data + "_tmp", data)
        if old:
            shutil.rmtree(old)

    def _follow_readiness(self):
        misses = {}
        while not self.over:
            with self.lock:
                pods = list(self.pods.values())
            ready = []
            for p in pods:
                misses[p.name] = 0 if p.is_ready() else misses.get(p.name, LOOKS) + 1
                if misses[p.name] < LOOKS and not p.terminating:
                    ready.append(p)
            threading.Timer(LAG_S, lambda r=ready: setattr(self, "members", r)).start()
            time.sleep(LOOK_S)

    def add(self, name, **kw):
        """A new pod of that name; its volume is the one that the name had before."""
        pod = Pod(self, name, **kw)
        with self.lock:
            self.pods[name] = pod
        return pod

    def remove(self, name):
        with self.lock:
            return self.pods.pop(name)

    def wait_for_members(self, n, seconds=30):
        end = time.monotonic() + seconds
        while len(self.members) != n:
            assert time.monotonic() < end, "%d members, not %d: %s" % (len(self.members), n, [p.logged() for p in self.pods.values()])
            time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.over = True
        self.endpoints.join()
        time.sleep(LAG_S)
        for p in list(self.pods.values()):
            p.kill()
        if kind is None or not os.environ.get("KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)


class Pod:
    def __init__(self, cluster, name, target="none", webhook="webhook: on", age=None):
        self.cluster, self.name, self.terminating = cluster, name, False
        self.volume = os.path.join(cluster.dir, "volume-" + name)
        self.port, self.admin = free_port(), free_port()
        text = DOOR
        for key, value in (("port", self.port), ("admin", self.admin), ("volume", self.volume), ("secrets", cluster.secrets),
                           ("objects", cluster.objects), ("age", age or cluster.age), ("target", target), ("webhook", webhook),
                           ("stop", cluster.stop_within)):
            text = text.replace("@%s@" % key, str(value))
        self.config = os.path.join(cluster.dir, name + ".yaml")
        with open(self.config, "w") as f:
            f.write(text)
        self.log = open(os.path.join(cluster.dir, name + ".log"), "ab")
        self.process = subprocess.Popen([BINARY, "serve", "-c", self.config], stdout=self.log, stderr=self.log)

    def is_ready(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/readyz" % self.admin, timeout=2) as r:
                return r.status == 200
        except OSError:
            return False

    def logged(self):
        return open(self.log.name, errors="replace").read()[-1500:]

    def command(self, *words, code=0, seconds=60):
        done = subprocess.run([BINARY, *words, "-c", self.config], capture_output=True, text=True, timeout=seconds)
        assert code is None or done.returncode == code, (words, done.returncode, done.stdout, done.stderr, self.logged())
        return done.stdout

    def terminate(self, grace=30, within="10s"):
        """What the kubelet does: preStop, SIGTERM, and SIGKILL when the grace period, which began with preStop, is over.
        Returns how it ended: an exit code, or -9."""
        end = time.monotonic() + grace
        self.terminating = True
        try:
            self.command("drain", "--within", within, code=None, seconds=grace)
        except subprocess.TimeoutExpired:
            pass
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Load:
    """Senders that post until they are told to end. acked: {id: pod's name}; failures: what was not answered 2xx at first."""

    def __init__(self, cluster, key=deliver.KEY):
        self.cluster, self.key, self.over = cluster, key, False
        self.acked, self.failures, self.given_up = {}, [], []
        self.threads = [threading.Thread(target=self._send, args=(i,)) for i in range(SENDERS)]

    def _send(self, sender):
        connections, n, rng = {}, 0, random.Random(sender)
        while not self.over:
            n += 1
            name = "evt_%d_%d" % (sender, n)
            body = json.dumps({"id": name, "type": "customer.created", "timestamp": "2026-01-01T00:00:00Z",
                               "data": {"id": "cus_" + name[4:], "updated_at": "2026-01-01T00:00:00Z", "pad": "x" * rng.randrange(2000)}}).encode()
            raw = deliver.request("/in/demo", name, body, key=self.key)
            for attempt in range(200):
                members = self.cluster.members
                if not members:
                    time.sleep(0.05)
                    continue
                pod = rng.choice(members)
                for gone in [p for p in connections if p not in members]:
                    connections.pop(gone).close()
                connection = connections.setdefault(pod, deliver.Connection(pod.port))
                status = connection.post(raw)
                if status == 200:
                    self.acked[name] = pod.name
                    break
                self.failures.append((pod.name, status, pod.terminating))
                time.sleep(0.05)
            else:
                self.given_up.append(name)
        for c in connections.values():
            c.close()

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def end(self):
        self.over = True
        for t in self.threads:
            t.join()

    def __exit__(self, *_):
        self.end()


def rows(cluster):
    """Ids in the worker's tables: of the events, and of the customers."""
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(cluster.dir, "tables.db"), uri=True)
    try:
        return [[r[0] for r in db.execute(sql)] for sql in ("select id from demo_events", "select id from demo_customers")]
    except sqlite3.OperationalError:
        return [[], []]
    finally:
        db.close()


def all_is_in_the_tables(cluster, acked, seconds=60):
    """The merge worker, as in overlay kafka-s3: a server without deliveries on the same bucket."""
    worker = cluster.add("worker", target="sqlite:" + os.path.join(cluster.dir, "tables.db"), webhook="webhook: off")
    end, wanted = time.monotonic() + seconds, set(acked)
    try:
        while True:
            events, customers = rows(cluster) if os.path.exists(os.path.join(cluster.dir, "tables.db")) else ([], [])
            if wanted <= set(events) and {"cus_" + a[4:] for a in wanted} <= set(customers):
                break
            assert time.monotonic() < end, "%d of %d acknowledged events are lost; %s" % (
                len(wanted - set(events)), len(wanted), [p.logged() for p in cluster.pods.values()])
            time.sleep(0.1)
        assert len(events) == len(set(events)) and len(customers) == len(set(customers)), "doubled"
    finally:
        cluster.remove("worker").kill()


# ---- tests ----

def a_mounted_secret_is_swapped_under_load():
    with Cluster() as c:
        pod = c.add("sluice-0")
        c.wait_for_members(1)
        keys = [deliver.KEY]
        with Load(c) as load:
            forged, stop = [], threading.Event()

            def forge():
                connection, n = deliver.Connection(pod.port), 0
                while not stop.is_set():
                    n += 1
                    forged.append(connection.post(deliver.request("/in/demo", "evt_forged_%d" % n, b'{"id":"x"}', key=b"a key of somebody else's, 32 byt")))
                    time.sleep(0.01)
            forger = threading.Thread(target=forge)
            forger.start()
            for i in range(6):
                key = b"key number %d of the provider ....." % i
                keys.append(key)
                c.swap({"demo": "whsec_" + __import__("base64").b64encode(key).decode(), "key": provider.TOKEN})
                time.sleep(1.2)     # it is taken up within a second
                load.key = key      # only then does the provider sign with it
            stop.set()
            forger.join()
        assert not load.failures and not load.given_up, load.failures[:5]
        assert len(forged) > 50 and set(forged) == {401}, set(forged)
        connection = deliver.Connection(pod.port)
        for i, key in enumerate(keys[-3:]):  # what is on its way with an earlier one is still taken
            body = b'{"id":"evt_late_%d","type":"x","timestamp":"2026-01-01T00:00:00Z","data":{}}' % i
            assert connection.post(deliver.request("/in/demo", "evt_late_%d" % i, body, key=key)) == 200, i
        print("%d acknowledged over 6 swaps, %d forged refused" % (len(load.acked), len(forged)))
        assert pod.terminate() == 0, pod.logged()
        assert "level=error" not in pod.logged()
        all_is_in_the_tables(c, load.acked)


def a_rollout_refuses_nothing():
    """Three pods one after the other: preStop, SIGTERM, a new one on the same volume."""
    with Cluster() as c:
        names = ["sluice-%d" % i for i in range(3)]
        for n in names:
            c.add(n)
        c.wait_for_members(3)
        with Load(c) as load:
            time.sleep(1)
            for n in reversed(names):
                pod = c.pods[n]
                assert pod.terminate() == 0, pod.logged()
                c.remove(n).kill()
                c.add(n)
                c.wait_for_members(3)
        assert not load.failures and not load.given_up, (len(load.failures), load.failures[:5])
        assert len(set(load.acked.values())) == 3
        print("%d acknowledged, none refused" % len(load.acked))
        for n in names:
            assert c.pods[n].terminate() == 0
        all_is_in_the_tables(c, load.acked)


def a_scale_down_drains_first():
    """Objects are cut once an hour, so that nothing but the drain can have staged what the pod took. Its volume does not come back."""
    with Cluster(age="1h") as c:
        for i in range(3):
            c.add("sluice-%d" % i)
        c.wait_for_members(3)
        with Load(c) as load:
            time.sleep(2)
            gone = c.pods["sluice-2"]
            taken = sum(1 for p in load.acked.values() if p == "sluice-2")
            assert taken > 50, taken
            assert gone.terminate() == 0, gone.logged()
            c.remove("sluice-2").kill()
            c.wait_for_members(2)
        assert not load.failures and not load.given_up, (len(load.failures), load.failures[:5])
        sinks = json.loads(gone.command("status", "--json", code=None))["sinks"]
        assert [s["behind"] for s in sinks] == [0], sinks
        shutil.rmtree(gone.volume)
        of_the_gone = [n for n, p in load.acked.items() if p == "sluice-2"]
        print("%d of %d acknowledged by the pod that went" % (len(of_the_gone), len(load.acked)))
        all_is_in_the_tables(c, of_the_gone)
        for i in range(2):
            assert c.pods["sluice-%d" % i].terminate() == 0
        all_is_in_the_tables(c, load.acked)


def a_grace_period_that_is_too_short_loses_nothing():
    """The bucket is away: preStop cannot drain, the stop cannot either, SIGKILL comes; the pod comes back with unread journal."""
    with Cluster(stop="20s") as c:
        with open(c.objects, "w") as f:
            f.write("a file where the folder should be")
        c.add("sluice-0")
        c.wait_for_members(1)
        with Load(c) as load:
            time.sleep(1.5)
            ended = c.pods["sluice-0"].terminate(grace=5, within="1s")
            assert ended == -signal.SIGKILL, ended
            before = len(load.acked)
            pod = c.remove("sluice-0")
            pod.kill()
            status = json.loads(pod.command("status", "--json", code=None))
            assert status["sinks"][0]["behind"] >= before > 50, (status["sinks"], before)
            os.unlink(c.objects)
            c.add("sluice-0")
            c.wait_for_members(1)
            time.sleep(1)
        assert not load.given_up and len(load.acked) > before
        print("%d acknowledged, %d of them before SIGKILL and unstaged then" % (len(load.acked), before))
        all_is_in_the_tables(c, load.acked)
        assert c.pods["sluice-0"].terminate() == 0


def sigkill_in_the_middle_loses_nothing():
    """A node that dies: no preStop, no SIGTERM."""
    with Cluster() as c:
        for i in range(2):
            c.add("sluice-%d" % i)
        c.wait_for_members(2)
        with Load(c) as load:
            for i in (0, 1, 0):
                time.sleep(0.8)
                c.remove("sluice-%d" % i).kill()
                time.sleep(0.5)
                c.add("sluice-%d" % i)
                c.wait_for_members(2)
        assert not load.given_up
        print("%d acknowledged, %d deliveries had to be tried again" % (len(load.acked), len(load.failures)))
        all_is_in_the_tables(c, load.acked)
        for i in range(2):
            assert c.pods["sluice-%d" % i].terminate() == 0


def drain_says_how_it_is():
    with Cluster(age="1h") as c:
        pod = c.add("sluice-0")
        c.wait_for_members(1)
        with Load(c) as load:
            time.sleep(0.5)
        assert json.loads(pod.command("merge", "--json")) == {"staged": True, "merged": False}  # merge.target: none
        done = json.loads(pod.command("drain", "--json"))
        assert done == {"drained": True, "behind": 0}, done
        assert not pod.is_ready() and pod.process.poll() is None
        body = b'{"id":"evt_late","type":"x","timestamp":"2026-01-01T00:00:00Z","data":{}}'
        assert deliver.Connection(pod.port).post(deliver.request("/in/demo", "evt_late", body)) == 200  # still taken
        assert pod.terminate() == 0
        words = subprocess.run([BINARY, "drain", "-c", pod.config], capture_output=True, text=True)
        assert words.returncode == 2 and "no server runs" in words.stderr, words
        words = subprocess.run([BINARY, "drain", "--within", "soon", "-c", pod.config], capture_output=True, text=True)
        assert words.returncode == 2 and "is no duration" in words.stderr, words
        all_is_in_the_tables(c, list(load.acked))


TESTS = [a_mounted_secret_is_swapped_under_load, a_rollout_refuses_nothing, a_scale_down_drains_first,
         a_grace_period_that_is_too_short_loses_nothing, sigkill_in_the_middle_loses_nothing, drain_says_how_it_is]

if __name__ == "__main__":
    sys.exit(main(TESTS, "deploy"))
