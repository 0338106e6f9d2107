#!/usr/bin/env python3
"""What `sluice status` says when something is wrong: each fault is made to happen, and has to be named, with what helps."""
import contextlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import main  # noqa: E402
import deliver  # noqa: E402
import provider  # noqa: E402
from grumpy import Grumpy  # noqa: E402
from test_admin import FAST, eventually, event, instance, post, start  # noqa: E402
from test_orders import Pulled  # noqa: E402


def status(s, *args):
    return json.loads(s.run("status", *args, "--json", code=None)[0])


def source(s):
    return status(s)["sources"][0]


def table(s, name):
    return next(t for t in source(s)["tables"] if t["table"] == name)


def finding(s, words, seconds=20):
    """The finding whose cause has the words, once there is one."""
    def look():
        return next((f for f in source(s)["findings"] if words in f["cause"]), None)
    try:
        return eventually(look, seconds)
    except AssertionError:
        raise AssertionError("no finding says %r: %s" % (words, source(s)["findings"]))


def shows(s, *words, code=1):
    out, _, _ = s.run("status", code=code)
    for w in words:
        assert w in out, (w, out)
    return out


@contextlib.contextmanager
def pulling(mood, more=FAST, **kw):
    with Grumpy(mood, **kw) as p, instance(more, base=p.base) as s:
        yield p, s


def edit(s, old, new):
    with open(s.path("sluice.yaml")) as f:
        text = f.read()
    assert old in text, text
    s.write("sluice.yaml", text.replace(old, new))


def every(s, table="customers", how_often="1h"):
    edit(s, "    config: {api_key", "    tables: {events: {}, invoices: {}, %s: {every: %s}}\n    config: {api_key" % (table, how_often))


def state(s, sql, *values):
    with contextlib.closing(sqlite3.connect(s.path("data", "state.db"), timeout=20)) as db:
        with db:
            return db.execute(sql, values).fetchall()


# ---- push ----

def a_wrong_secret():
    with instance() as s:
        start(s)
        assert post(s, "a") == 200
        assert source(s)["health"] == "healthy" and s.run("status")[2] == 0
        for i in range(3):
            assert post(s, "b%d" % i, key=b"the key of another endpoint") == 401
        f = finding(s, "rejected, all of them since")
        assert "bad_signature" in f["cause"] and "3 in a row, 3 of 4" in f["cause"], f
        assert "sluice verify demo --last-rejected" in f["next"] and "secret" in f["next"], f
        door = next(x for x in s.run("status", "demo", code=1)[0].split("\n") if x.startswith("push: "))
        assert "enabled" in door and "last accepted" in door and door.endswith("as bad_signature"), door
        shows(s, "failing", "rejecting since", "✗ demo" if "UTF-8" in os.environ.get("LANG", "") else "demo")
        push = source(s)["push"]
        assert push["last_rejected_as"] == "bad_signature" and push["rejecting_since"] and push["last_accepted_at"], push
        assert post(s, "c") == 200
        assert source(s)["push"]["rejecting_since"] is None


def no_secret_at_all():
    with instance() as s:
        os.unlink(s.path("secrets/demo"))
        start(s)
        assert post(s, "a") == 503
        f = finding(s, "no usable secret")
        assert "sluice.yaml" in f["next"] and source(s)["health"] == "failing", f


def a_disabled_endpoint():
    """As the check of the registration writes it down."""
    with instance() as s:
        start(s)
        assert source(s)["push"]["as_registered"] is None
        put = "INSERT OR REPLACE INTO registrations(source, checked_us, cause, next, broken) VALUES('demo', ?, ?, ?, ?)"
        state(s, put, int(time.time() * 1e6), "endpoint 4411 is disabled since 08:40", "sluice webhook register demo", 1)
        f = finding(s, "at the provider: endpoint 4411 is disabled")
        assert f["next"] == "sluice webhook register demo" and source(s)["health"] == "failing"
        shows(s, "broken at provider", "sluice webhook register demo")
        state(s, put, int(time.time() * 1e6), "events missing: invoice.paid", "sluice webhook register demo", 0)
        assert "invoice.paid" in finding(s, "events missing")["cause"] and source(s)["health"] == "degraded"
        state(s, put, int(time.time() * 1e6), "", "", 0)
        now = source(s)
        assert now["health"] == "healthy" and now["push"]["as_registered"] is True, now


# ---- pull ----

def an_expired_token():
    with pulling(401) as (p, s):
        every(s)
        start(s)
        f = finding(s, "the provider does not take the credentials (expired, revoked or wrong)")
        assert "answered 401" in f["cause"] and "Expired API key" in f["cause"] and "customers" in f["cause"], f
        assert "replace api_key in " in f["next"] and "secrets/key" in f["next"] and "by itself" in f["next"], f
        assert source(s)["health"] == "failing" and table(s, "customers")["health"] == "failing"
        pull = table(s, "customers")["pull"]
        assert pull["status"] == "failed" and pull["cause"] == "auth" and pull["next_at"], pull
        p.mood = 200
        s.write("secrets/key", "another key")
        eventually(lambda: table(s, "customers")["pull"]["status"] == "completed")
        assert source(s)["health"] == "healthy"


def a_missing_scope():
    with pulling(403) as (p, s):
        edit(s, "  demo:\n", "  demo:\n    manifest: stripe\n")
        edit(s, "api_key: {file: ./secrets/key}", "api_key: {file: ./secrets/key}, api_version: \"2026-07-29\"")
        s.run("backfill", "demo", "customers", code=None)
        f = finding(s, "the credentials lack a permission")
        assert "answered 403" in f["cause"] and "lacks '" in f["cause"], f
        assert "grant it at the provider" in f["next"] and "sluice backfill demo customers" in f["next"], f
        assert table(s, "customers")["pull"]["cause"] == "scope"


def a_stuck_run():
    with pulling("hang") as (p, s):
        every(s)
        start(s)
        eventually(lambda: p.asked and table(s, "customers")["pull"]["status"] == "running")
        assert source(s)["health"] == "healthy" and source(s)["pull_running"]
        state(s, "UPDATE runs SET page_us = page_us - 600000000 WHERE tbl = 'customers'")  # ten minutes go by
        f = finding(s, "the pull of customers is stuck: its last page came 10 min ago")
        assert "sluice table cancel demo customers" in f["next"], f
        assert table(s, "customers")["pull"]["stuck"]
        shows(s, "running", "is stuck", code=None)
        assert "stuck" in s.run("status", "demo", code=None)[0]


def a_run_whose_process_was_killed():
    with pulling("hang") as (p, s):
        pull = s.popen("backfill", "demo", "customers")
        eventually(lambda: p.asked)
        pull.send_signal(signal.SIGKILL)
        pull.communicate()
        f = finding(s, "the pull of customers was interrupted after 0 pages")
        assert f["next"] == "sluice backfill demo customers goes on there", f
        p.mood = 200
        s.run("backfill", "demo", "customers")
        assert not source(s)["findings"]


def a_provider_out_of_reach():
    with instance(base="http://127.0.0.1:9") as s:
        pull = s.popen("backfill", "demo", "customers")
        eventually(lambda: os.path.exists(s.path("data", "state.db")))
        eventually(lambda: "the connection failed" in table(s, "customers")["pull"]["waiting"])
        pull.send_signal(signal.SIGINT)
        pull.communicate(timeout=60)
        # Eight tries take a minute: what the last of them writes down.
        state(s, "UPDATE runs SET status = 'failed', cause = 'network', error = 'connection refused'")
        f = finding(s, "the provider cannot be reached")
        assert "base_url" in f["next"], f


def statuses_as_in_the_field():
    with Pulled(400) as p, instance(base=p.base) as s:
        every(s)
        s.run("backfill", "demo", "invoices")
        assert table(s, "customers")["pull"]["status"] == "never"
        s.run("backfill", "demo", "customers", "--max-rows", "1", code=3)
        assert table(s, "customers")["pull"]["status"] == "paused"
        s.run("backfill", "demo", "customers")
        t = table(s, "customers")
        assert t["pull"]["status"] == "completed" and t["pull"]["rows"] > 0 and t["pull"]["finished_at"], t
        assert t["pull"]["next_at"] is None, "nobody pulls while no server runs"
        s.run("merge")
        t = table(s, "customers")
        assert t["rows"] > 0 and t["rows_24h"] > 0 and t["merge_lag_seconds"] == 0 and t["missed"] == 0, t
        out, _, _ = s.run("status", "demo")
        head, line = next(x for x in out.split("\n") if x.startswith("TABLE")), next(x for x in out.split("\n") if x.startswith("customers"))
        assert "WATERMARK" in head and "completed" in line, out
        start(s)
        assert eventually(lambda: table(s, "customers")["pull"]["next_at"])
    with pulling(429, headers=[("Retry-After", "3600")]) as (p, s):
        s.run("backfill", "demo", "customers", code=None)
        assert table(s, "customers")["pull"]["status"] == "limited"
        assert "sluice backfill demo customers" in finding(s, "rate limit")["next"]


# ---- tables ----

MANIFEST = """sluice: 1
name: acme
title: Acme
status: alpha
docs: https://acme.example
verify:
  acme:
    algorithm: hmac-sha256
    signature: {header: X-Acme-Signature, encoding: hex}
    signed: "{body}"
event: {id: body.id, type: body.type, object: body.data}
tables:
  orders:
    types: order.created
    @key@
"""


def a_table_without_a_primary_key():
    """It is refused before it can do harm, in words that name the table and what to write."""
    with instance() as s:
        start(s)
        s.write("sources/acme.yaml", MANIFEST.replace("    @key@\n", ""))
        edit(s, "  demo:\n", "  acme:\n    secrets: [{file: ./secrets/demo}]\n  demo:\n")
        eventually(lambda: "no `key`" in s.logged())
        assert post(s, "a") == 200, "the configuration before is in force"
        _, err, _ = s.run("status", code=2)
        assert "acme.yaml:" in err and "orders" in err and "no `key`; name the column or columns that make a row one" in err, err
        s.write("sources/acme.yaml", MANIFEST.replace("@key@", "key: id"))
        warned = eventually(lambda: status(s)["warnings"])[0]
        assert "the one before is in force" in warned and "no `key`" in warned and "sluice config check" in warned, warned
        os.kill(s.server.pid, signal.SIGHUP)
        eventually(lambda: not status(s)["warnings"])


def a_row_without_its_key():
    with instance() as s:
        start(s)
        body = json.dumps({"id": "evt_x", "type": "customer.created", "timestamp": "2026-01-01T00:00:00Z",
                           "data": {"name": "nobody"}}).encode()
        assert post(s, "x", body) == 200
        f = finding(s, "1 dead letters")
        assert "id" in f["cause"].split("the last: ")[1] and f["next"] == "sluice dead list demo", f
        assert table(s, "customers")["dead"] == 1 and table(s, "customers")["health"] == "degraded"


# ---- where it is written to ----

class Disk:
    """A file system of 48 MiB of its own that can be filled up to less than a reserve of 8 MiB."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="sluice-disk-")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=0700", "tmpfs", self.path], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "-l", self.path], check=True)
        os.rmdir(self.path)

    def hold(self, s):
        edit(s, "data_dir: ./data", "data_dir: " + os.path.join(self.path, "data"))

    def fill(self):
        with open(os.path.join(self.path, "somebody-elses"), "wb") as f:
            f.write(bytes(os.statvfs(self.path).f_bavail * 4096 - (7 << 20)))

    def free(self):
        os.unlink(os.path.join(self.path, "somebody-elses"))


RESERVE = "journal: {reserve: 8MiB, segment: 1MiB}\n"


def a_full_disk():
    if os.geteuid() != 0:
        return print("skip status/a_full_disk needs root for a file system of its own")
    with Disk() as disk, instance(FAST + RESERVE) as s:
        disk.hold(s)
        start(s)
        assert post(s, "a") == 200
        disk.fill()
        number = itertools.count()
        eventually(lambda: post(s, "b%d" % next(number)) == 503)
        f = finding(s, "deliveries are answered 503, the journal takes nothing")
        assert "disk" in f["cause"] and "reserve" in f["cause"], f
        assert "make room on the disk of " + disk.path in f["next"] and source(s)["health"] == "failing", f
        disk.free()
        eventually(lambda: post(s, "c%d" % next(number)) == 200)
        eventually(lambda: source(s)["health"] != "failing")
        s.stop()


def a_broker_that_is_down():
    with instance('staging: {objects: {url: "file://./data/staging", cut_age: 100ms}, kafka: {brokers: "127.0.0.1:9"}}\n'
                  'merge: {target: "sqlite:./data/tables.db", every: 100ms}\n') as s:
        start(s)
        assert post(s, "a") == 200
        f = finding(s, "Kafka does not get on: none of the brokers", 60)
        assert "127.0.0.1:9" in f["cause"] and "staging.kafka" in f["next"], f
        sinks = {x["sink"]: x for x in status(s)["sinks"]}
        assert sinks["kafka"]["healthy"] is False and sinks["objects"]["healthy"] is True and sinks["kafka"]["behind"] == 1, sinks


TESTS = [a_wrong_secret, no_secret_at_all, a_disabled_endpoint, an_expired_token, a_missing_scope, a_stuck_run,
         a_run_whose_process_was_killed, a_provider_out_of_reach, statuses_as_in_the_field, a_table_without_a_primary_key,
         a_row_without_its_key, a_full_disk, a_broker_that_is_down]

if __name__ == "__main__":
    sys.exit(main(TESTS, "status"))
