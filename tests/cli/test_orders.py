#!/usr/bin/env python3
"""What operators order for tables: it is obeyed with a server and without one, and outlives kill -9; the trail tells who did what."""
import getpass
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import main  # noqa: E402
import history  # noqa: E402
import provider  # noqa: E402
from test_admin import eventually, instance, post, start  # noqa: E402


def rows(s, table="demo_events"):
    out, _, _ = s.run("table", "list", "--json")
    return sum(json.loads(line)["rows"] for line in out.splitlines() if json.loads(line)["name"] == table)


def audit(s, *args):
    return [json.loads(line) for line in s.run("table", "audit", *args, "--json")[0].splitlines()]


class Pulled:
    """A provider with so many objects."""

    def __init__(self, n=60):
        self.n = n

    def __enter__(self):
        past = history.History(3, self.n, int(time.time()))
        self.p = provider.Provider(past, 3)
        self.p.start()
        self.p.advance(len(past.changes))
        return self.p

    def __exit__(self, *_):
        self.p.stop()


def a_paused_table_waits_and_loses_nothing():
    with instance() as s:
        start(s)
        assert post(s, "a") == 200
        eventually(lambda: rows(s) == 1)
        out, _, _ = s.run("table", "pause", "demo", "events", "--json")
        assert json.loads(out)["orders"]["paused"] is True
        time.sleep(0.5)
        assert post(s, "b") == 200
        eventually(lambda: json.loads(s.run("status", "--json", code=None)[0])["books"]["sources"][0]["staged"] >= 1)
        time.sleep(1)
        assert rows(s) == 1
        assert "events is paused" in s.run("status", code=None)[0]
        s.kill()
        start(s)
        time.sleep(1.5)
        assert rows(s) == 1, "a pause outlives kill -9"
        s.run("table", "resume", "demo", "events")
        eventually(lambda: rows(s) == 2)
        trail = audit(s)
        assert [r["what"] for r in trail] == ["resume", "pause"], trail
        assert trail[0]["who"] == "user:" + getpass.getuser() and trail[0]["before"]["paused"] and not trail[0]["after"]["paused"]
        assert audit(s, "demo", "customers") == []


def a_paused_table_is_not_pulled():
    with Pulled() as p, instance(base=p.base) as s:
        s.run("table", "pause", "demo", "customers")
        _, err, _ = s.run("backfill", "demo", "customers", code=3)
        assert "customers is paused" in err and p.pages == 0, (err, p.pages)
        out, err, _ = s.run("backfill", "demo", code=None)
        assert "customers is paused" in err and p.pages > 0
        s.run("table", "resume", "demo", "customers")
        s.run("backfill", "demo", "customers")


def pull_now_with_a_server_and_without():
    with Pulled() as p, instance(base=p.base) as s:
        out, _, _ = s.run("table", "pull", "demo", "customers")
        assert "is pulled; next" in out and p.pages > 0
        s.run("merge")
        n = rows(s, "demo_customers")
        assert n > 0
        before = p.pages
        start(s)
        assert "is pulled now" in s.run("table", "pull", "demo", "invoices")[0]
        eventually(lambda: p.pages > before and rows(s, "demo_invoices") > 0)
        _, err, _ = s.run("table", "set", "demo", "nothing", "--mode", "full", code=2)
        assert "no table 'nothing'" in err


def an_order_outlives_the_server():
    with Pulled() as p, instance(base=p.base) as s:
        start(s)
        s.write("secrets/key", "not it")
        s.run("table", "pause", "demo", "customers")
        s.run("table", "pull", "demo", "customers")
        s.kill()
        s.write("secrets/key", provider.TOKEN)
        start(s)
        time.sleep(1)
        assert p.pages == 0
        s.run("table", "resume", "demo", "customers")
        eventually(lambda: rows(s, "demo_customers") > 0)


def cancel_ends_a_pull_for_good():
    with Pulled(2000) as p, instance(base=p.base) as s:
        s.run("backfill", "demo", "customers", "--max-rows", "1", code=3)
        s.run("table", "cancel", "demo", "customers")
        before = p.pages
        out, _, _ = s.run("backfill", "demo", "customers", "--json")
        whole = p.pages - before
        s.run("backfill", "demo", "customers", "--full")
        assert whole == p.pages - before - whole, "the pull after a cancel begins anew"


def reset_and_drop_empty_a_table():
    with Pulled() as p, instance(base=p.base) as s:
        s.run("backfill", "demo", "customers")
        s.run("merge")
        n = rows(s, "demo_customers")
        _, err, _ = s.run("table", "drop", "demo", "customers", code=2, input="")
        assert "%d rows go" % n in err and "nothing was changed" in err and rows(s, "demo_customers") == n
        s.run("table", "drop", "demo", "customers", "--yes")
        assert rows(s, "demo_customers") == 0
        s.run("merge")
        assert rows(s, "demo_customers") == 0
        start(s)
        s.run("table", "reset", "demo", "customers", "--yes")
        eventually(lambda: rows(s, "demo_customers") == n)
        assert json.loads(s.run("status", "--json", code=None)[0])["books"]["balanced"]
        assert [r["what"] for r in audit(s, "demo", "customers")] == ["reset", "drop"]
        s.run("table", "drop", "demo", "customers", "--yes")
        assert rows(s, "demo_customers") == 0


def modes_and_fields_are_followed():
    with Pulled() as p, instance(base=p.base) as s:
        s.run("table", "set", "demo", "customers", "--mode", "sideways", code=2)
        s.run("table", "set", "demo", "customers", code=2)
        s.run("backfill", "demo", "customers")
        before = p.pages
        s.run("backfill", "demo", "customers")
        second = p.pages - before
        s.run("table", "set", "demo", "customers", "--mode", "full")
        before = p.pages
        s.run("backfill", "demo", "customers")
        assert p.pages - before >= second, (p.pages - before, second)
        after = audit(s)[0]["after"]
        assert after["mode"] == "full" and after["incremental"] == "", after
        s.run("table", "set", "demo", "customers", "--mode", "manifest")
        assert audit(s)[0]["after"]["mode"] == ""


def an_order_to_empty_a_table_outlives_kill():
    """At whatever moment the server dies: the table is empty afterwards, and takes what comes."""
    for wait in (0, 0.005, 0.02, 0.08):
        with instance() as s:
            start(s)
            for i in range(20):
                assert post(s, "k%d" % i) == 200
            eventually(lambda: rows(s) == 20)
            order = s.popen("table", "drop", "demo", "events", "--yes")
            eventually(lambda: order.poll() is not None or audit(s))
            time.sleep(wait)
            s.kill()
            order.wait(30)
            start(s)
            eventually(lambda: rows(s) == 0)
            assert post(s, "later") == 200
            eventually(lambda: rows(s) == 1)


TESTS = [an_order_to_empty_a_table_outlives_kill, a_paused_table_waits_and_loses_nothing, a_paused_table_is_not_pulled, pull_now_with_a_server_and_without,
         an_order_outlives_the_server, cancel_ends_a_pull_for_good, reset_and_drop_empty_a_table, modes_and_fields_are_followed]

if __name__ == "__main__":
    sys.exit(main(TESTS, "orders"))
