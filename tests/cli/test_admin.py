#!/usr/bin/env python3
"""The admin listener of a running server: health, readiness and metrics, over HTTP."""
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import BINARY, Sluice, free_port, main  # noqa: E402
import deliver  # noqa: E402
import provider  # noqa: E402
import history  # noqa: E402

CONFIG = """
listen: 127.0.0.1:{port}
admin: {listen: "127.0.0.1:@admin@"}
data_dir: ./data
sources:
  demo:
    secrets: [{file: ./secrets/demo}]
    config: {api_key: {file: ./secrets/key}}
    base_url: @base@
@more@
"""
FAST = """staging: {objects: {url: "file://./data/staging", cut_age: 100ms}}
merge: {target: "sqlite:./data/tables.db", every: 100ms}
"""
TOKEN = "a token for the scraper"
BUCKETS = ["0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1",
           "2.5", "5", "10", "+Inf"]
CONTRACT = {  # name: (type, labels)
    "sluice_requests_total": ("counter", {"source", "outcome"}),
    "sluice_unknown_source_total": ("counter", set()),
    "sluice_late_total": ("counter", set()),
    "sluice_oldest_unshipped_seconds": ("gauge", {"sink"}),
    "sluice_sink_lag_entries": ("gauge", {"sink"}),
    "sluice_sink_healthy": ("gauge", {"sink"}),
    "sluice_table_lag_seconds": ("gauge", {"source", "table"}),
    "sluice_missed_events_total": ("counter", {"source", "table"}),
    "sluice_secret_last_used_seconds": ("gauge", {"source", "id"}),
    "sluice_source_healthy": ("gauge", {"source"}),
    "sluice_dead_letters": ("gauge", {"source"}),
    "sluice_journal_free_bytes": ("gauge", set()),
    "sluice_journal_bytes": ("gauge", set()),
    "sluice_certificate_expiry_seconds": ("gauge", set()),
    "sluice_config_reload_ok": ("gauge", set()),
    "sluice_alarm": ("gauge", {"kind", "source", "subject"}),
    "sluice_alarm_posts_total": ("counter", {"result"}),
    "sluice_alarm_posts_waiting": ("gauge", set()),
    "sluice_last_pull_success_seconds": ("gauge", {"source", "table"}),
    "sluice_build_info": ("gauge", {"version"}),
    "sluice_metrics_complete": ("gauge", set()),
    "sluice_verify_seconds": ("histogram", set()),
    "sluice_commit_seconds": ("histogram", set()),
    "sluice_request_seconds": ("histogram", set()),
}


def instance(more=FAST, base="http://127.0.0.1:9"):
    admin = free_port()
    s = Sluice(CONFIG.replace("@admin@", str(admin)).replace("@base@", base).replace("@more@", more),
               {"secrets/demo": deliver.SECRET, "secrets/key": provider.TOKEN, "secrets/admin": TOKEN + "\n"})
    s.admin = admin
    return s


def start(s):
    """The door takes connections a moment before the listener says so."""
    s.start()
    if "metrics and health" in s.logged():
        eventually(lambda: ask(s, "/readyz")[1] != "starting\n")


def ask(s, path, method="GET", headers=None, body=None):
    c = http.client.HTTPConnection("127.0.0.1", s.admin, timeout=20)
    try:
        c.request(method, path, body=body, headers=headers or {})
        r = c.getresponse()
        return r.status, r.read().decode(), r.headers
    finally:
        c.close()


def event(key, **columns):
    at = "2026-01-01T00:00:00Z"
    return json.dumps({"id": "evt_" + key, "type": "customer.created", "timestamp": at,
                       "data": dict({"id": key, "updated_at": at}, **columns)}).encode()


def post(s, name, body=None, path="/in/demo", **request):
    return deliver.Connection(s.port).post(deliver.request(path, "evt_" + name, body or event(name), **request))


def eventually(condition, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.05)
    raise AssertionError("it did not become so in %d s" % seconds)


# ---- a strict reader of text format 0.0.4 ----

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?\Z")


def labels_of(text):
    labels, at = {}, 0
    while at < len(text):
        m = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\Z)').match(text, at)
        assert m, "labels: %r" % text
        assert m.group(1) not in labels and (m.group(3) == "" or m.end() < len(text)), text
        labels[m.group(1)] = re.sub(r"\\(.)", lambda e: "\n" if e.group(1) == "n" else e.group(1), m.group(2))
        at = m.end()
    return labels


def parse(text):
    """{family: (type, [(name, labels, value)])}; fails on whatever the format does not allow."""
    assert text.endswith("\n")
    families, current, seen = {}, None, set()
    for line in text[:-1].split("\n"):
        m = re.match(r"# (HELP|TYPE) (%s) (.+)\Z" % NAME, line)
        if m and m.group(1) == "HELP":
            assert m.group(2) not in families, "two families %s" % m.group(2)
            current = m.group(2)
            families[current] = (None, [])
            continue
        if m:
            assert m.group(2) == current and families[current] == (None, []), line
            assert m.group(3) in ("counter", "gauge", "histogram"), line
            families[current] = (m.group(3), [])
            continue
        m = re.match(r"(%s)(?:\{(.+)\})? (\S+)\Z" % NAME, line)
        assert m and NUMBER.match(m.group(3)), "no sample: %r" % line
        kind, samples = families[current]
        name, labels = m.group(1), labels_of(m.group(2) or "")
        ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        assert kind and name in [current + e for e in ends], "%s among %s" % (name, current)
        assert kind != "counter" or name.endswith("_total"), name
        key = (name, tuple(sorted(labels.items())))
        assert key not in seen, "twice: %s" % line
        seen.add(key)
        samples.append((name, labels, float(m.group(3))))
    for name, (kind, samples) in families.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return families


def check_histogram(name, samples):
    buckets = [(labels["le"], value) for n, labels, value in samples if n == name + "_bucket"]
    assert [le for le, _ in buckets] == BUCKETS, buckets
    values = [v for _, v in buckets]
    assert values == sorted(values), buckets
    assert values[-1] == next(v for n, _, v in samples if n == name + "_count")
    assert len([1 for n, _, _ in samples if n == name + "_sum"]) == 1


def scrape(s, headers=None):
    status, text, answered = ask(s, "/metrics", headers=headers)
    assert status == 200, (status, text)
    assert answered["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8", answered["Content-Type"]
    families = parse(text)
    assert {n: f[0] for n, f in families.items()} == {n: c[0] for n, c in CONTRACT.items()}
    for name, (kind, samples) in families.items():
        for _, labels, _ in samples:
            assert set(labels) - ({"le"} if kind == "histogram" else set()) == CONTRACT[name][1], (name, labels)
    assert value(families, "sluice_metrics_complete") == 1, text
    for secret in (deliver.SECRET, deliver.SECRET[6:], provider.TOKEN, TOKEN):
        assert secret not in text
    return families


def value(families, name, **labels):
    family = re.sub(r"_(bucket|sum|count)\Z", "", name)
    found = [v for n, l, v in families.get(name, families.get(family))[1] if n == name and l == labels]
    assert len(found) == 1, (name, labels, found)
    return found[0]


# ---- tests ----

def health_and_other_requests():
    with instance() as s:
        start(s)
        assert "address=127.0.0.1:%d" % s.admin in s.logged(), s.logged()
        assert ask(s, "/livez")[:2] == (200, "alive\n")
        assert ask(s, "/readyz")[:2] == (200, "ready\n")
        assert ask(s, "/readyz?verbose=1")[0] == 200
        for path in ("/", "/metrics/", "/metricsx", "/in/demo", "/livez/x"):
            assert ask(s, path)[0] == 404, path
        for path in ("/livez", "/readyz", "/metrics"):
            for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
                status, _, headers = ask(s, path, method, body=b"x" * 1000 if method == "POST" else None)
                assert status == 405 and headers["Allow"] == "GET", (path, method, status)
        assert ask(s, "/livez", body=b"x" * 1000)[0] == 200
        c = http.client.HTTPConnection("127.0.0.1", s.admin, timeout=20)
        for path in ("/livez", "/metrics", "/readyz", "/metrics"):  # on one connection
            c.request("GET", path)
            r = c.getresponse()
            assert r.status == 200 and r.read(), path
        c.close()
        assert s.stop() == 0
    with instance() as s:
        s.write("sluice.yaml", open(s.path("sluice.yaml")).read().replace("admin: ", "# "))
        start(s)
        assert "metrics and health" not in s.logged()
        try:
            ask(s, "/livez")
            raise AssertionError("there is a listener that nobody asked for")
        except ConnectionRefusedError:
            pass
        assert s.stop() == 0


def counters_move():
    with instance() as s:
        start(s)
        first = scrape(s)
        assert value(first, "sluice_secret_last_used_seconds", source="demo", id=secret_id(s)) == 0
        assert not first["sluice_last_pull_success_seconds"][1]
        began = time.time()
        assert post(s, "a") == 200 and post(s, "b") == 200
        assert post(s, "a") == 200  # a duplicate
        assert post(s, "c", key=b"somebody else's") == 401
        assert post(s, "d", timestamp=int(time.time()) - 4000) == 401
        assert post(s, "e", path="/in/nobody") == 404
        assert post(s, "dead", b'{"id":"evt_dead","type":"customer.created","timestamp":"2026-01-01T00:00:00Z","data":{"name":"no key"}}') == 200

        def settled():
            now = scrape(s)
            return value(now, "sluice_request_seconds_count") == 7 and value(now, "sluice_dead_letters", source="demo") == 1 and now
        now = eventually(settled)
        for outcome, n in (("accepted", 3), ("duplicate", 1), ("bad_signature", 1), ("expired", 1), ("handshake", 0), ("unavailable", 0)):
            before = value(first, "sluice_requests_total", source="demo", outcome=outcome)
            assert value(now, "sluice_requests_total", source="demo", outcome=outcome) - before == n, outcome
        assert value(now, "sluice_unknown_source_total") == 1
        assert value(now, "sluice_verify_seconds_count") == 6  # the unknown source verifies nothing
        assert value(now, "sluice_commit_seconds_count") == 3
        assert 0 < value(now, "sluice_commit_seconds_sum") < 20
        assert value(now, "sluice_request_seconds_sum") > value(now, "sluice_commit_seconds_sum") / 2
        assert value(now, "sluice_journal_bytes") > value(first, "sluice_journal_bytes")
        assert value(now, "sluice_journal_free_bytes") > 1 << 20
        assert began - 1 <= value(now, "sluice_secret_last_used_seconds", source="demo", id=secret_id(s)) <= time.time()
        assert value(now, "sluice_config_reload_ok") == 1
        version = subprocess.run([BINARY, "--version"], capture_output=True, text=True).stdout.split()[1]
        assert value(now, "sluice_build_info", version=version) == 1
        tables = {l["table"] for _, l, _ in now["sluice_table_lag_seconds"][1]}
        assert "customers" in tables and "events" in tables and tables == {l["table"] for _, l, _ in now["sluice_missed_events_total"][1]}
        eventually(lambda: all(v == 0 for _, _, v in scrape(s)["sluice_table_lag_seconds"][1]))
        assert value(scrape(s), "sluice_oldest_unshipped_seconds", sink="objects") == 0
        assert s.stop() == 0


def secret_id(s):
    """The only one that the metrics name."""
    samples = scrape(s)["sluice_secret_last_used_seconds"][1]
    assert len(samples) == 1 and re.match(r"[0-9a-f]{6}\Z", samples[0][1]["id"]), samples
    return samples[0][1]["id"]


def lag_grows_while_a_sink_waits():
    with instance(FAST.replace("cut_age: 100ms", "cut_age: 3s")) as s:
        start(s)
        assert post(s, "a") == 200
        eventually(lambda: value(scrape(s), "sluice_oldest_unshipped_seconds", sink="objects") > 0.5)
        assert value(scrape(s), "sluice_table_lag_seconds", source="demo", table="customers") > 0.5
        eventually(lambda: value(scrape(s), "sluice_oldest_unshipped_seconds", sink="objects") == 0)
        eventually(lambda: value(scrape(s), "sluice_table_lag_seconds", source="demo", table="customers") == 0)
        assert s.stop() == 0


def a_target_that_is_down_is_seen_and_changes_no_readiness():
    """Another program holds the target's lock: rows wait, the source fails, deliveries are taken."""
    with instance() as s:
        start(s)
        assert post(s, "a") == 200
        eventually(lambda: s.run("table", "head", "demo", "customers")[0].count("\n") == 1)
        holder = sqlite3.connect(s.path("data", "tables.db"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        assert post(s, "b") == 200
        eventually(lambda: value(scrape(s), "sluice_source_healthy", source="demo") == 0, 60)
        down = scrape(s)
        assert value(down, "sluice_table_lag_seconds", source="demo", table="customers") > 0
        assert value(down, "sluice_oldest_unshipped_seconds", sink="objects") == 0
        assert ask(s, "/readyz")[:2] == (200, "ready\n") and ask(s, "/livez")[0] == 200
        assert post(s, "c") == 200
        holder.execute("ROLLBACK")
        holder.close()
        eventually(lambda: value(scrape(s), "sluice_source_healthy", source="demo") == 1, 60)
        eventually(lambda: value(scrape(s), "sluice_table_lag_seconds", source="demo", table="customers") == 0, 60)
        assert s.stop() == 0


def a_token_where_there_is_one():
    with instance() as s:
        s.write("sluice.yaml", open(s.path("sluice.yaml")).read().replace(
            'admin: {listen: "127.0.0.1:%d"}' % s.admin, 'admin: {listen: "0.0.0.0:%d", token_file: ./secrets/admin}' % s.admin))
        s.run("config", "check")
        start(s)
        for given in (None, "Bearer", "Bearer ", "Bearer " + TOKEN[:-1], "Bearer " + TOKEN + "x", "Basic " + TOKEN, TOKEN, "Bearer x"):
            status, text, headers = ask(s, "/metrics", headers={"Authorization": given} if given else {})
            assert status == 401 and headers["WWW-Authenticate"].startswith("Bearer"), (given, status)
            assert "sluice_" not in text
        for given in ("Bearer " + TOKEN, "bearer  " + TOKEN):
            assert ask(s, "/metrics", headers={"Authorization": given})[0] == 200, given
        assert ask(s, "/livez")[0] == 200 and ask(s, "/readyz")[0] == 200
        assert TOKEN not in s.logged()
        assert s.stop() == 0
        s.write("sluice.yaml", open(s.path("sluice.yaml")).read().replace(", token_file: ./secrets/admin", ""))
        err = s.run("config", "check", code=2)[1]
        assert "sluice.yaml:3:17: admin.listen: 0.0.0.0 can be reached from other machines" in err and "token_file" in err, err
        assert "admin.listen" in s.run("serve", code=2)[1]
        s.write("sluice.yaml", open(s.path("sluice.yaml")).read().replace('0.0.0.0:%d"' % s.admin, '0.0.0.0:%d", token_file: ./no' % s.admin))
        err = s.run("serve", code=2)[1]
        assert "admin.token_file" in err and "secrets/no" not in err, err


def a_full_journal_is_not_ready():
    """Until retention makes room; what was acknowledged is all there."""
    with instance("""staging: {objects: {url: "file://./data/staging", cut_age: 4s}}
merge: {target: "sqlite:./data/tables.db", every: 100ms}
journal: {max: 1MiB, segment: 64KiB}
retention: {raw: 0s}
""") as s:
        start(s)
        assert ask(s, "/readyz")[0] == 200
        statuses = []
        for i in range(40):
            statuses.append(post(s, "n%d" % i, event("n%d" % i, note="x" * 50000)))
            if statuses[-1] != 200:
                break
        assert statuses[-1] == 503 and statuses.count(200) > 10, statuses
        status, why, _ = ask(s, "/readyz")
        assert status == 503 and why.count("\n") == 1 and "limit" in why, (status, why)
        assert ask(s, "/livez")[0] == 200
        full = scrape(s)
        assert value(full, "sluice_requests_total", source="demo", outcome="unavailable") == 1
        assert value(full, "sluice_journal_bytes") > 900000
        eventually(lambda: ask(s, "/readyz")[0] == 200, 100)  # segments go once a minute
        assert post(s, "again", event("again", note="x" * 50000)) == 200
        assert s.stop() == 0


def the_reserve_is_kept():
    with instance(FAST + "journal: {reserve: 1048576GiB}\n") as s:
        start(s)
        status, why, _ = ask(s, "/readyz")
        assert status == 503 and "reserve" in why, (status, why)
        assert post(s, "a") == 503
        assert ask(s, "/livez")[0] == 200
        assert s.stop() == 0


def draining_is_not_ready_and_takes_deliveries():
    with instance(FAST + "drain_delay: 3s\n") as s:
        start(s)
        assert post(s, "a") == 200 and ask(s, "/readyz")[0] == 200
        began = time.monotonic()
        s.server.send_signal(signal.SIGTERM)
        eventually(lambda: ask(s, "/readyz")[0] == 503, 2)
        n = 0
        while time.monotonic() - began < 2:
            assert post(s, "d%d" % n) == 200
            status, why, _ = ask(s, "/readyz")
            assert status == 503 and why.startswith("draining"), (status, why)
            n += 1
            time.sleep(0.05)
        assert ask(s, "/livez")[0] == 200
        assert value(scrape(s), "sluice_requests_total", source="demo", outcome="accepted") == n + 1
        assert s.server.wait(30) == 0 and time.monotonic() - began >= 3
        assert len(s.run("events", "list", "-n", "1000", "--json")[0].splitlines()) == n + 1


def a_stop_that_takes_too_long_is_given_up():
    with instance(FAST + "stop_within: 1s\n") as s:
        start(s)
        assert post(s, "a") == 200
        slow = socket.create_connection(("127.0.0.1", s.port))
        raw = deliver.request("/in/demo", "evt_slow", event("slow"))
        slow.sendall(raw[:-10])  # its body does not come to its end
        time.sleep(0.3)
        began = time.monotonic()
        s.server.send_signal(signal.SIGTERM)
        assert s.server.wait(20) == 1 and 0.9 < time.monotonic() - began < 4
        assert "requests in flight" in s.logged(), s.logged()
        slow.close()
        start(s)
        s.run("merge")
        assert s.run("table", "head", "demo", "customers")[0].count("\n") == 1
        assert s.stop() == 0


def many_scrapers_through_a_stop():
    """Each answer is whole, or a 503; none holds up the stop, and health is told to the end."""
    with instance(FAST + "drain_delay: 1s\n") as s:
        start(s)
        told, bad, over = [], [], threading.Event()

        def scraper(path):
            while not over.is_set():
                try:
                    status, text, _ = ask(s, path)
                    if status == 200 and path == "/metrics":
                        parse(text)
                    told.append((path, status))
                except (OSError, http.client.HTTPException):
                    time.sleep(0.01)  # it is gone
                except BaseException as e:
                    bad.append(repr(e))
                    return

        threads = [threading.Thread(target=scraper, args=(p,), daemon=True) for p in ["/metrics"] * 6 + ["/readyz", "/livez"]]
        for t in threads:
            t.start()
        for i in range(50):
            assert post(s, "m%d" % i) == 200
        s.server.send_signal(signal.SIGTERM)
        assert s.server.wait(30) == 0, s.logged()
        over.set()
        for t in threads:
            t.join()
        assert not bad, bad
        assert {c for p, c in told if p == "/metrics"} <= {200, 503} and ("/metrics", 200) in told
        assert {c for p, c in told if p == "/readyz"} == {200, 503} and {c for p, c in told if p == "/livez"} == {200}
        assert len(s.run("events", "list", "-n", "1000", "--json")[0].splitlines()) == 50


def both_families():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return  # a machine without IPv6 has one family only
    with instance() as s:
        text = open(s.path("sluice.yaml")).read()
        s.write("sluice.yaml", text.replace('"127.0.0.1:%d"' % s.admin, '"[::]:%d", token_file: ./secrets/admin' % s.admin))
        start(s)
        assert ask(s, "/livez")[0] == 200
        c = http.client.HTTPConnection("::1", s.admin, timeout=20)
        c.request("GET", "/readyz")
        assert c.getresponse().status == 200
        c.close()
        assert s.stop() == 0


def pulls_are_told():
    past = history.History(3, 40, int(time.time()))
    p = provider.Provider(past, 3)
    p.start()
    p.advance(len(past.changes))
    try:
        with instance(base=p.base) as s:
            start(s)
            began = time.time()
            s.run("backfill", "demo", "customers")
            pulled = scrape(s)
            assert began - 1 <= value(pulled, "sluice_last_pull_success_seconds", source="demo", table="customers") <= time.time() + 1
            assert value(pulled, "sluice_source_healthy", source="demo") == 1
            assert s.stop() == 0
    finally:
        p.stop()


if __name__ == "__main__":
    sys.exit(main([health_and_other_requests, counters_move, lag_grows_while_a_sink_waits, a_target_that_is_down_is_seen_and_changes_no_readiness,
                   a_token_where_there_is_one, a_full_journal_is_not_ready, the_reserve_is_kept, draining_is_not_ready_and_takes_deliveries,
                   a_stop_that_takes_too_long_is_given_up, many_scrapers_through_a_stop,
                   both_families, pulls_are_told], "admin"))
