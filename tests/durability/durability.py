#!/usr/bin/env python3
"""What is promised of the disk, on real disks: kills under load, a file system that is really full, a data directory that comes
back from an old copy, damaged bytes.

PROVE=100 runs `sluice prove` that often instead of 20 times: 60 kills, under 1, 16 and 48 connections.
"""
import concurrent.futures
import glob
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import BINARY, Sluice, main  # noqa: E402
import deliver  # noqa: E402
import provider  # noqa: E402

CONFIG = """
listen: 127.0.0.1:{port}
data_dir: @data@
sources:
  demo:
    secrets: [{file: ./secrets/demo}]
    config: {api_key: {file: ./secrets/key}}
    base_url: http://127.0.0.1:9
staging: {objects: {url: "file://@objects@", cut_age: 100ms}}
merge: {target: "sqlite:./tables.db", every: 100ms}
@more@
"""


def instance(data="./data", objects="./data/staging", more=""):
    config = CONFIG.replace("@data@", data).replace("@objects@", objects).replace("@more@", more)
    return Sluice(config, {"secrets/demo": deliver.SECRET, "secrets/key": provider.TOKEN})


def body_of(number, pad=0):
    return json.dumps({"id": "evt_%d" % number, "type": "customer.created", "timestamp": "2026-01-01T00:00:00Z",
                       "data": {"id": "cus_%d" % number, "pad": "x" * pad}}).encode()


def post(connection, number, pad=0):
    return connection.post(deliver.request("/in/demo", "evt_%d" % number, body_of(number, pad)))


def prove():
    runs = int(os.environ.get("PROVE", "20"))
    with tempfile.TemporaryDirectory() as folder:
        total = 0
        for i in range(runs):
            done = subprocess.run([BINARY, "prove", "--dir", folder, "--kills", "3", "--connections", str((1, 16, 48)[i % 3]), "--json"],
                                  capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done
            found = json.loads(done.stdout)
            assert found["lost"] == found["doubled"] == found["altered"] == found["forged_accepted"] == 0, found
            assert found["acknowledged"] == found["found"] > 0, found
            total += found["acknowledged"]
            assert not os.listdir(folder), "the scratch folder is left: %s" % os.listdir(folder)
        print("%d runs, 3 kills each: %d acknowledged, all found" % (runs, total))


def full_answer(port, number):
    """The whole answer to a delivery, as text."""
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.sendall(deliver.request("/in/demo", "evt_%d" % number, body_of(number, 1000)))
        s.settimeout(5)
        data = b""
        while b"\r\n\r\n" not in data:
            more = s.recv(4096)
            if not more:
                break
            data += more
        return data.decode(errors="replace")


class SmallDisk:
    """A file system of a few MiB of its own."""

    def __init__(self, mib):
        self.path = tempfile.mkdtemp(prefix="sluice-disk-")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,mode=0700" % mib, "tmpfs", self.path], check=True)

    def free(self):
        st = os.statvfs(self.path)
        return st.f_bavail * st.f_frsize

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)
        os.rmdir(self.path)


def full_disk():
    """503 with Retry-After before the reserve is touched; what was acknowledged is there; it goes on by itself."""
    reserve = 8 << 20
    with SmallDisk(48) as disk, tempfile.TemporaryDirectory() as elsewhere:
        # Nothing is staged while the objects' folder cannot be written: the sink is down, the journal fills.
        objects = os.path.join(elsewhere, "objects")
        open(objects, "w").close()
        with instance(os.path.join(disk.path, "data"), objects, "journal: {reserve: 8MiB, segment: 1MiB}") as s:
            s.start()
            connection = deliver.Connection(s.port)
            number, accepted, status = 0, set(), 200
            while status == 200:
                status = post(connection, number, 20000)
                if status == 200:
                    accepted.add(number)
                number += 1
                assert number < 5000, "a disk of 48 MiB does not fill"
            assert status == 503, status
            answer = full_answer(s.port, number)
            assert answer.startswith("HTTP/1.1 503") and "retry-after:" in answer.lower(), answer
            # What is sent all the same does not eat into the reserve.
            with concurrent.futures.ThreadPoolExecutor(20) as senders:
                refused = list(senders.map(lambda _: [post(c, number, 20000) for c in [deliver.Connection(s.port)] for _ in range(10)], range(20)))
            assert refused == [[503] * 10] * 20, refused
            assert disk.free() > reserve - (2 << 20), "only %d bytes are free" % disk.free()
            out = s.run("status", code=None)[0]
            assert "503" in out or "full" in out or "reserve" in out, "the status says nothing of it:\n" + out
            # The sink comes back: it stages, what is staged goes, deliveries are taken again, nobody does anything.
            os.unlink(objects)
            end = time.monotonic() + 60
            while post(connection, number, 100) != 200:
                assert time.monotonic() < end, "it does not recover:\n" + s.logged()
                time.sleep(0.1)
            accepted.add(number)
            s.run("merge")
            rows = [json.loads(line)["id"] for line in s.run("table", "head", "demo", "customers", "-n", "100000", "--json")[0].splitlines()]
            assert set(rows) == {"cus_%d" % n for n in accepted}, "%d rows of %d accepted" % (len(rows), len(accepted))
            assert json.loads(s.run("status", "--json", code=None)[0])["books"]["balanced"]
            assert s.stop() == 0


def limit_of_the_journal():
    """A sink that is down for long: up to journal.max, then 503; nothing is lost in silence."""
    with tempfile.TemporaryDirectory() as elsewhere:
        objects = os.path.join(elsewhere, "objects")
        open(objects, "w").close()
        with instance(objects=objects, more="journal: {max: 4MiB, segment: 256KiB, reserve: 0}") as s:
            s.start()
            connection = deliver.Connection(s.port)
            accepted = 0
            while post(connection, accepted, 10000) == 200:
                accepted += 1
                assert accepted < 1000, "4 MiB do not fill"
            assert accepted > 300
            out = s.run("status", code=None)[0]
            assert "journal" in out, out
            os.unlink(objects)
            end = time.monotonic() + 60
            while post(connection, accepted, 10) != 200:
                assert time.monotonic() < end, "it does not recover:\n" + s.logged()
                time.sleep(0.1)
            s.run("merge")
            rows = s.run("table", "head", "demo", "customers", "-n", "100000", "--json")[0].splitlines()
            assert len(rows) == accepted + 1, (len(rows), accepted)


def staged_objects(folder):
    return {os.path.relpath(f, folder): hashlib.sha256(open(f, "rb").read()).hexdigest()
            for f in glob.glob(folder + "/**/*.zst", recursive=True)}


def an_old_copy_comes_back():
    """A restored data directory has another lineage: what it stages lies beside what is there, and overwrites nothing."""
    with tempfile.TemporaryDirectory() as elsewhere:
        objects = os.path.join(elsewhere, "objects")
        with instance(objects=objects) as s:
            s.start()
            connection = deliver.Connection(s.port)
            for n in range(50):
                assert post(connection, n) == 200
            time.sleep(0.3)
            assert s.stop() == 0
            shutil.copytree(s.path("data"), s.path("backup"))
            s.start()
            connection = deliver.Connection(s.port)
            for n in range(50, 100):
                assert post(connection, n) == 200
            s.run("merge")
            node = json.loads(s.run("events", "list", "demo", "-n", "1", "--json")[0])["entry"].split("/")[0]
            assert s.stop() == 0
            before = staged_objects(objects)
            # The machine is lost; the backup is put in its place, and other events come.
            shutil.rmtree(s.path("data"))
            shutil.copytree(s.path("backup"), s.path("data"))
            s.start()
            connection = deliver.Connection(s.port)
            for n in range(200, 260):
                assert post(connection, n) == 200
            s.run("merge")
            other = json.loads(s.run("events", "list", "demo", "-n", "1", "--json")[0])["entry"].split("/")[0]
            assert other != node, "a copy writes under the name %s" % node
            after = staged_objects(objects)
            for name, digest in before.items():
                assert after.get(name) == digest, "%s was overwritten or removed" % name
            rows = {json.loads(line)["id"] for line in s.run("table", "head", "demo", "customers", "-n", "1000", "--json")[0].splitlines()}
            assert rows == {"cus_%d" % n for n in list(range(100)) + list(range(200, 260))}, sorted(rows)
            assert s.stop() == 0


def damage_is_told_with_its_place():
    with instance() as s:
        s.start()
        connection = deliver.Connection(s.port)
        for n in range(20):
            assert post(connection, n, 300) == 200
        assert s.stop() == 0
        assert s.run("events", "check")[0]
        segment = sorted(glob.glob(s.path("data", "journal", "events", "*.seg")))[0]
        with open(segment, "r+b") as f:
            raw = f.read()
            at = raw.index(b"evt_7")
            f.seek(at)
            f.write(b"EVT")
        out, err, _ = s.run("events", "check", code=1)
        told = out + err
        assert os.path.basename(segment) in told and re.search(r"\b\d{3,}\b", told), told
        offsets = [int(x) for x in re.findall(r"\b(\d{3,6})\b", told)]
        assert any(o <= at < o + 2000 for o in offsets), (at, told)
        listed = s.run("events", "list", "demo", "-n", "100", "--json")[0].splitlines()
        assert len(listed) == 19, "%d entries are readable, 19 are whole" % len(listed)
        s.start()
        assert post(deliver.Connection(s.port), 99) == 200
        assert glob.glob(s.path("data", "journal", "events", "*.bad")) or s.run("events", "check", code=1)
        assert s.stop() == 0


def duplicates_over_a_restart():
    """A delivery that comes again within the window is answered 200 and not kept twice, also by the next process."""
    with instance() as s:
        for kill in (False, True):
            s.start()
            connection = deliver.Connection(s.port)
            first = 100 if kill else 0
            for n in range(first, first + 20):
                assert post(connection, n) == 200
            if kill:
                s.kill()
            else:
                assert s.stop() == 0
            s.start()
            connection = deliver.Connection(s.port)
            for n in range(first, first + 20):
                assert post(connection, n) == 200
            # The same id with another body is another event.
            assert connection.post(deliver.request("/in/demo", "evt_%d" % first, body_of(first, 7))) == 200
            listed = s.run("events", "list", "demo", "-n", "1000", "--json")[0].splitlines()
            assert len(listed) == (42 if kill else 21), len(listed)
            assert s.stop() == 0


def concurrent_restart_storm():
    """Kills while many connections deliver: every 200 is in the table afterwards, whatever came in between."""
    with instance() as s:
        s.start()
        stop, lock, accepted = threading.Event(), threading.Lock(), set()

        def send(base):
            connection, n = deliver.Connection(s.port), base
            while not stop.is_set():
                if post(connection, n, 50) == 200:
                    with lock:
                        accepted.add(n)
                    n += 1
        threads = [threading.Thread(target=send, args=(i * 1000000,)) for i in range(8)]
        for t in threads:
            t.start()
        for _ in range(5):
            time.sleep(0.4)
            s.kill()
            s.start()
        stop.set()
        for t in threads:
            t.join()
        s.run("merge")
        rows = {json.loads(line)["id"] for line in s.run("table", "head", "demo", "customers", "-n", "1000000", "--json")[0].splitlines()}
        missing = {"cus_%d" % n for n in accepted} - rows
        assert not missing, "%d of %d are missing" % (len(missing), len(accepted))
        assert json.loads(s.run("status", "--json", code=None)[0])["books"]["balanced"]
        assert s.stop() == 0


if __name__ == "__main__":
    sys.exit(main([prove, full_disk, limit_of_the_journal, an_old_copy_comes_back, damage_is_told_with_its_place,
                   duplicates_over_a_restart, concurrent_restart_storm], "durability"))
