#!/usr/bin/env python3
"""The promise, end to end: a random history, pushed and pulled at once, with kill -9 of server and puller at random moments, must
end in tables that equal the provider's truth row for row, with books that balance.

e2e.py --seeds 50 --first 1 [--objects N] [--jobs 2] [--verbose]
Each seed prints "ok e2e/<seed>" or "FAIL e2e/<seed>"; `e2e.py --first SEED --seeds 1 --verbose` runs it again.
"""
import argparse
import json
import multiprocessing
import os
import random
import sys
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import ROOT, Sluice  # noqa: E402
import compare  # noqa: E402
import deliver  # noqa: E402
import history  # noqa: E402
import provider  # noqa: E402

CONFIG = """
listen: 127.0.0.1:{port}
data_dir: ./data
sources:
  acme:
    secrets: [{file: ./secrets/acme}]
    config: {api_key: {file: ./secrets/key}}
    base_url: @base@
staging:
  objects: {url: "file://./data/staging", cut_bytes: @cut@, cut_age: @age@}
merge: {target: "sqlite:./data/tables.db", every: 200ms}
journal: {segment: @segment@}
"""


class Run:
    def __init__(self, seed, objects, verbose):
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

    def say(self, *words):
        if self.verbose:
            print("%7.2f" % (time.monotonic() - self.began), *words, flush=True)

    def config(self):
        rnd = self.rnd
        return (CONFIG.replace("@base@", self.provider.base).replace("@cut@", rnd.choice(("64KiB", "1MiB", "64MiB")))
                .replace("@age@", rnd.choice(("50ms", "300ms", "1s"))).replace("@segment@", rnd.choice(("256KiB", "4MiB"))))

    def push(self, deliveries):
        self.delivered = self.webhooks.run(deliveries, connections=6, seconds=240, upto=self.provider.advance)
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
        """Until everything was pushed, and at least a few times: pulls and kills at random moments."""
        rounds = 0
        while not self.pushed or rounds < 3:
            rounds += 1
            time.sleep(self.rnd.random() * 0.4)
            if self.rnd.random() < 0.5:
                self.pull_some(s)
            if self.rnd.random() < 0.6:
                self.kill_server(s)

    def settle(self, s):
        """The provider's clock goes on; one last whole pull, everything merged, what failed under the older transform tried again."""
        self.provider.advance(len(self.past.changes))
        self.provider.step, self.provider.fault_rate = 0, 0.0
        if self.changes_transform:
            s.kill()
            s.write("sources/acme.yaml", self.manifest)
            s.start()
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
        if self.changes_transform is False:
            assert self.dead == 0, "dead letters without a cause"

    def run(self):
        self.began = time.monotonic()
        self.provider.start()
        files = {"secrets/acme": deliver.SECRET, "secrets/key": provider.TOKEN,
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


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    jobs = [(seed, args.objects, args.verbose) for seed in range(args.first, args.first + args.seeds)]
    bad = 0
    with multiprocessing.get_context("spawn").Pool(min(args.jobs, len(jobs)), maxtasksperchild=4) as pool:
        for line in pool.imap_unordered(one, jobs):
            print(line, flush=True)
            bad |= "FAIL e2e/" in line
    return bad


if __name__ == "__main__":
    sys.exit(main())
