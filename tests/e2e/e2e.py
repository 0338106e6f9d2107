#!/usr/bin/env python3
"""The promise, end to end: a random history, pushed and pulled at once, with kill -9 of server and puller at random moments, must
end in tables that equal the provider's truth row for row, with books that balance.

e2e.py --seeds 50 --first 1 [--objects N] [--jobs 2] [--verbose] [--outside]
--outside stages to an S3 server and sends the rows to Apache Kafka as well, transactional with every other seed, with answers that
wait for Kafka at every other pair of seeds. Bucket and broker are stopped and started on the way, and what a reader of the bucket,
and one of the topics, makes of the rows is compared with the truth, too.
Each seed prints "ok e2e/<seed>" or "FAIL e2e/<seed>"; `e2e.py --first SEED --seeds 1 --verbose` runs it again.
"""
import argparse
import contextlib
import json
import multiprocessing
import os
import random
import sqlite3
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import ROOT, Sluice  # noqa: E402
import beside  # noqa: E402
import kafka  # noqa: E402
import s3  # noqa: E402
import compare  # noqa: E402
import deliver  # noqa: E402
import history  # noqa: E402
import provider  # noqa: E402

KILLS_MAX = PULLS_MAX = 15
CONFIG = """
listen: 127.0.0.1:{port}
data_dir: ./data
sources:
  acme:
    secrets: [{file: ./secrets/acme}]
    config: {api_key: {file: ./secrets/key}}
    base_url: @base@
staging:
  objects: {url: @store@, cut_bytes: @cut@, cut_age: @age@}@kafka@
merge: {target: "sqlite:./data/tables.db", every: 200ms}
journal: {segment: @segment@}
"""


class Run:
    def __init__(self, seed, objects, verbose, broker=None, bucket=None):
        self.rnd = random.Random(seed)
        self.seed, self.verbose = seed, verbose
        self.past = history.History(seed, objects, int(time.time()) - 60)
        self.provider = provider.Provider(self.past, seed, step=self.rnd.choice((0, 2, 10)))
        self.provider.fault_rate = 0.03
        self.pushed = False
        self.kills = self.pulls = 0
        self.manifest = open(os.path.join(ROOT, "tests", "e2e", "acme.yaml")).read()
        # An older transform of the same events: every ticket fails, subscriptions have another column. The keys are the same: what
        # is staged by one may be merged by the other.
        self.older = self.manifest.replace("key: [id]\n", "key: [id]\n    each: \"object.id[]\"\n").replace(
            "columns: {object: object}", "columns: {plan: tariff}")
        self.changes_transform = seed % 3 == 0
        self.broker, self.transactional, self.waits = broker, seed % 2 == 1, seed % 4 < 2
        self.server, self.prefix = bucket, "e2e%d" % seed
        self.topics = ["e2e%d.acme.%s" % (seed, t) for t in ("customers", "invoices", "subscriptions", "tickets", "events")]

    def say(self, *words):
        if self.verbose:
            print("%7.2f" % (time.monotonic() - self.began), *words, flush=True)

    def config(self):
        rnd = self.rnd
        return (CONFIG.replace("@base@", self.provider.base).replace("@cut@", rnd.choice(("64KiB", "1MiB", "64MiB")))
                .replace("@age@", rnd.choice(("50ms", "300ms", "1s"))).replace("@segment@", rnd.choice(("256KiB", "4MiB")))
                .replace("@store@", self.store_config()).replace("@kafka@", self.kafka_config()))

    def store_config(self):
        if not self.server:
            return '"file://./data/staging"'
        return ('"s3://bucket/%s", endpoint: "http://127.0.0.1:%d", access_key: {file: ./secrets/s3_id}, secret_key: {file: ./secrets/s3}'
                % (self.prefix, self.server.port))

    def kafka_config(self):
        if not self.broker:
            return ""
        return "\n  kafka: {brokers: \"%s\", topic: \"e2e%d.{source}.{table}\", transactional: %s}%s" % (
            self.broker.brokers, self.seed, "true" if self.transactional else "false", "\nack: kafka" if self.waits else "")

    def push(self, deliveries):
        waits = self.broker and self.waits
        self.delivered = self.webhooks.run(deliveries, connections=24 if waits else 6, seconds=240, upto=self.provider.advance)
        self.pushed = True

    def pull_some(self, s):
        """A pull that may be killed on its way, beside the server or without one."""
        self.pulls += 1
        args = ["backfill", "acme"] + (["--full"] if self.rnd.random() < 0.3 else [])
        puller = s.popen(*args)
        if self.rnd.random() < 0.6:
            time.sleep(self.rnd.random() * 0.5)
            puller.kill()
        out, err = puller.communicate(timeout=120)
        self.say("pull", puller.returncode, err.strip().splitlines()[-1:] )

    def kill_server(self, s):
        self.kills += 1
        self.say("kill -9")
        s.kill()
        if self.rnd.random() < 0.4:
            self.pull_some(s)  # alone, on the same data
        if self.changes_transform and self.rnd.random() < 0.5:
            s.write("sources/acme.yaml", self.rnd.choice((self.manifest, self.older)))
        s.start()

    def disturb(self, s):
        """Until everything was pushed, and at least a few times: pulls and kills at random moments. Where an answer waits for
        Kafka, a process that lives for half a second gets little done: after some kills it is let alone."""
        rounds = 0
        while not self.pushed or rounds < (6 if self.broker else 3):
            rounds += 1
            self.take_away(rounds)
            time.sleep(self.rnd.random() * 0.4)
            if self.rnd.random() < 0.5 and self.pulls < PULLS_MAX:
                self.pull_some(s)
            if self.rnd.random() < 0.6 and self.kills < KILLS_MAX:
                self.kill_server(s)

    def take_away(self, rounds):
        """The broker and the bucket are gone for a while, one behind the other, and together between."""
        if self.broker and rounds == 1:
            self.say("the broker goes")
            self.broker.kill()
        if self.server and rounds == 2:
            self.say("the bucket goes")
            self.server.stop()
        if self.broker and rounds == 3:
            self.broker.start()
        if self.server and rounds == 4:
            self.server.start_again()

    def settle(self, s):
        """The provider's clock goes on; one last whole pull, everything merged, what failed under the older transform tried again."""
        self.provider.advance(len(self.past.changes))
        self.provider.step, self.provider.fault_rate = 0, 0.0
        if self.changes_transform:
            s.kill()
            s.write("sources/acme.yaml", self.manifest)
            s.start()
        if self.server:
            self.server.start_again()
            self.broker.start_again()
        self.provider.clock_s = int(time.time()) + 20
        self.say("last pull")
        s.run("backfill", "acme")            # what a killed run left
        s.run("backfill", "acme", "--full")
        s.run("merge")
        dead = [json.loads(line) for line in s.run("dead", "list", "acme", "--json", "-n", "1000000")[0].splitlines()]
        if dead:
            self.say(len(dead), "dead letters are tried again")
            s.run("dead", "retry", "acme")
            s.run("merge")
        self.dead = len(dead)
        if self.broker:
            self.wait_for_kafka(s)

    def wait_for_kafka(self, s):
        end = time.monotonic() + 120
        while True:
            db = sqlite3.connect(s.path("data", "state.db"))
            again = db.execute("SELECT count(*) FROM resend").fetchone()[0]
            at = {sink: dict(db.execute("SELECT lane, next FROM positions WHERE sink = ?", (sink,))) for sink in ("objects", "kafka")}
            db.close()
            if not again and at["kafka"] == at["objects"]:
                return
            assert time.monotonic() < end, "Kafka lags: %s, %d entries to send again\n%s" % (at, again, s.run("status", code=None)[0])
            time.sleep(0.2)

    def check_kafka(self):
        rows = [json.loads(m["payload"]) for m in self.broker.messages(*self.topics, committed=True)]
        self.check_rows("Kafka", rows)
        seen = [(r["table"], r["entry"], r["version"], r["origin"], json.dumps(r["key"])) for r in rows]
        assert not self.transactional or len(set(seen)) == len(seen), "%d rows arrived twice" % (len(seen) - len(set(seen)))

    def check_rows(self, where, rows):
        wrong = compare.messages([r for r in rows if r["table"] != "events"], self.past.truth(), {"tickets": {"pull": ["body", "votes"]}})
        assert not wrong, "%s: %d differences:\n  %s" % (where, len(wrong), "\n  ".join(wrong[:15]))

    def check_bucket(self):
        rows = [json.loads(line) for line in self.server.bucket().lines(self.prefix)]
        self.check_rows("the bucket", rows)
        seen = [(r["table"], r["entry"], r["version"], r["origin"], json.dumps(r["key"])) for r in rows]
        assert len(set(seen)) == len(seen), "%d rows are in the bucket twice" % (len(seen) - len(set(seen)))

    def check(self, s):
        assert self.delivered, "genuine deliveries were not answered 2xx in time"
        assert not self.webhooks.forged_accepted, "%d forged requests were accepted" % self.webhooks.forged_accepted
        wrong = compare.tables(s.path("data", "tables.db"), "acme", self.past.truth())
        assert not wrong, "%d differences:\n  %s" % (len(wrong), "\n  ".join(wrong[:15]))
        status = json.loads(s.run("status", "--json", code=None)[0])
        assert status["books"]["balanced"], "the books are off: %s" % json.dumps(status["books"])
        assert status["sources"][0]["dead"] == 0, "dead letters are left"
        books = status["books"]["sources"][0]
        assert books["waiting"] == 0 and books["rows_waiting"] == 0, "something waits: %s" % books
        if self.broker:
            self.check_kafka()
        if self.server:
            self.check_bucket()
        if self.changes_transform is False:
            assert self.dead == 0, "dead letters without a cause"

    def run(self):
        self.began = time.monotonic()
        if self.broker:
            self.broker.create(*self.topics)
        self.provider.start()
        files = {"secrets/acme": deliver.SECRET, "secrets/key": provider.TOKEN, "secrets/s3_id": s3.KEY, "secrets/s3": s3.SECRET,
                 "sources/acme.yaml": self.older if self.changes_transform else self.manifest}
        with Sluice(self.config(), files) as s:
            s.start()
            self.webhooks = deliver.Deliverer(s.port, "/in/acme", self.seed, never=0.05, twice=0.10, late=200)
            deliveries = self.webhooks.plan(self.past.changes)
            self.provider.advance(len(self.past.changes) // 8)
            pushing = threading.Thread(target=self.push, args=(deliveries,), daemon=True)
            pushing.start()
            self.disturb(s)
            pushing.join()
            self.settle(s)
            self.check(s)
            code = s.stop()
            assert code == 0, "serve ended with %s" % code
        self.provider.stop()
        return "%d changes, %d deliveries, %d kills, %d pulls, %d retried" % (
            len(self.past.changes), len(deliveries), self.kills, self.pulls, self.dead)


def one(job):
    seed, objects, verbose = job
    began = time.monotonic()
    try:
        words = Run(seed, objects, verbose).run()
        return "ok e2e/%d  %s  %.1f s" % (seed, words, time.monotonic() - began)
    except BaseException:
        return "%s\nFAIL e2e/%d  again: python3 tests/e2e/e2e.py --first %d --seeds 1 --objects %d --verbose" % (
            traceback.format_exc(), seed, seed, objects)


class Store:
    """An S3 server that can be away: connections end before it hears of a request, or before its answer is heard. It is not
    killed: a store that keeps half an object, as S3Proxy then does, is none that S3 promises."""

    def __init__(self, server):
        self.server, self.away = server, False
        self.faults = s3.Faults(server.port, self.rule)
        self.port, self.bucket = self.faults.port, server.bucket

    def rule(self, n, method, path):
        return None if not self.away else "lost" if method == "PUT" and n % 3 == 0 else "before"

    def stop(self):
        self.away = True

    def start_again(self):
        self.away = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.faults.close()


@contextlib.contextmanager
def own_servers():
    global broker, bucket
    with kafka.Kafka() as broker, s3.S3Proxy() as server, Store(server) as bucket:
        yield


def outside_test(seed, objects, verbose):
    def test():
        print("    again: python3 tests/e2e/e2e.py --outside --first %d --seeds 1 --objects %d --verbose" % (seed, objects))
        broker.start_again()
        bucket.start_again()
        print("   ", Run(seed, objects, verbose, broker, bucket).run())
    test.__name__ = "outside-%d" % seed
    return test


def outside(jobs):
    why = kafka.missing() or s3.missing()
    if why:
        print("skip e2e-outside " + why)
        return 0
    return beside.main([outside_test(*job) for job in jobs], "e2e", around=own_servers, only=[])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--outside", action="store_true")
    args = parser.parse_args()
    jobs = [(seed, args.objects, args.verbose) for seed in range(args.first, args.first + args.seeds)]
    bad = 0
    if args.outside:
        return outside(jobs)
    with multiprocessing.get_context("spawn").Pool(min(args.jobs, len(jobs)), maxtasksperchild=4) as pool:
        for line in pool.imap_unordered(one, jobs):
            print(line, flush=True)
            bad |= "FAIL e2e/" in line
    return bad


if __name__ == "__main__":
    sys.exit(main())
