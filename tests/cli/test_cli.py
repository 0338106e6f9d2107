#!/usr/bin/env python3
"""The command line as a user meets it: help, errors that name the place and the right word, exit codes, and every command both
beside a running server and without one."""
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import BINARY, ROOT, Sluice, main  # noqa: E402
import compare  # noqa: E402
import deliver  # noqa: E402
import history  # noqa: E402
import provider  # noqa: E402

CONFIG = """
listen: 127.0.0.1:{port}
data_dir: ./data
sources:
  demo:
    secrets: [{file: ./secrets/demo}]
    config: {api_key: {file: ./secrets/key}}
    base_url: @base@
staging: {objects: {url: "file://./data/staging", cut_age: 100ms}}
merge: {target: "sqlite:./data/tables.db", every: 100ms}
"""
FILES = {"secrets/demo": deliver.SECRET, "secrets/key": provider.TOKEN}


def instance(base="http://127.0.0.1:9"):
    return Sluice(CONFIG.replace("@base@", base), FILES)


def event(key, kind="customer.created", at="2026-01-01T00:00:00Z", event_id=None, **columns):
    return json.dumps({"id": event_id or "evt_" + key, "type": kind, "timestamp": at, "data": dict({"id": key, "updated_at": at}, **columns)})


def post(s, body):
    message_id = json.loads(body)["id"]
    return deliver.Connection(s.port).post(deliver.request("/in/demo", message_id, body.encode()))


def help_and_unknown_words():
    out = subprocess.run([BINARY, "--help"], capture_output=True, text=True)
    assert out.returncode == 0 and "sluice backfill" in out.stdout
    for words, near in ((["statu"], "status"), (["table", "haed"], "head"), (["sorce", "list"], "source")):
        done = subprocess.run([BINARY, *words], capture_output=True, text=True)
        assert done.returncode == 2 and near in done.stderr, done
    with instance() as s:
        assert "did you mean --max-rows" in s.run("backfill", "demo", "--max-row", "3", code=2)[1]
        assert "did you mean demo" in s.run("backfill", "dmo", code=2)[1]
        assert "did you mean customers" in s.run("table", "head", "demo", "custmers", code=2)[1]
    for line in open(os.path.join(ROOT, "cli", "registry.c")):
        if line.startswith('    {"'):
            parts = [p.strip().strip('"') for p in line.strip(" {").split(",")[:2]]
            words = [parts[0]] + ([] if parts[1] == "NULL" else [parts[1]])
            done = subprocess.run([BINARY, *words, "--help"], capture_output=True, text=True)
            assert done.returncode == 0 and done.stdout.startswith("sluice " + " ".join(words)), words


def configuration_mistakes():
    with instance() as s:
        assert s.run("config", "check")[0]
        s.write("sluice.yaml", "sources:\n  demo:\n    secrts: [{file: ./secrets/demo}]\n")
        err = s.run("config", "check", code=2)[1]
        assert "sluice.yaml:3:5" in err and "secrets" in err, err
        s.write("sluice.yaml", "sources:\n  demo:\n    secrets: [whsec_plain_text_in_the_file]\n")
        err = s.run("config", "check", code=2)[1]
        assert "whsec_plain" not in err.split("\n")[0] and "file" in err, err
    empty = subprocess.run([BINARY, "status"], cwd="/", capture_output=True, text=True)
    assert empty.returncode == 2 and "sluice init" in empty.stderr, empty


def manifest_mistakes():
    with instance() as s:
        good = open(os.path.join(ROOT, "sources", "demo.yaml")).read()
        s.write("bad.yaml", good.replace("encoding: base64", "encoding: bas64", 1))
        err = s.run("source", "check", "./bad.yaml", code=2)[1]
        assert "bad.yaml:" in err and "did you mean base64" in err and "^" in err, err
        assert s.run("source", "check", "demo")[0]
        for name in ("stripe", "github", "shopify", "slack", "standard-webhooks", "svix", "demo"):
            assert s.run("source", "show", name)[0]
        assert "stripe" in s.run("source", "list")[0]


def vectors_by_command():
    with instance() as s:
        for name in ("stripe", "github", "shopify", "slack", "standard-webhooks", "svix"):
            path = os.path.join(ROOT, "tests", "vectors", name + ".json")
            total = len(json.load(open(path)))
            out = s.run("verify", name, "--vectors", path)[0]
            assert "%d of %d agree" % (total, total) in out, out
        # A vector whose expectation is wrong must be told.
        broken = json.load(open(os.path.join(ROOT, "tests", "vectors", "stripe.json")))
        broken[0]["expect"] = "expired"
        s.write("broken.json", json.dumps(broken))
        out = s.run("verify", "stripe", "--vectors", s.path("broken.json"), code=1)[0]
        assert "%d of %d agree" % (len(broken) - 1, len(broken)) in out, out
        bad = next(v for v in broken if v["description"] == "wrong secret")
        s.write("one.json", json.dumps(bad))
        out, err, _ = s.run("verify", "stripe", "--request", s.path("one.json"), code=1)
        assert "result: bad_signature" in out, out
        assert bad["secrets"][0] not in out + err


def transform_by_command():
    with instance() as s:
        body = event("cus_1", name="Zoë", big=12345678901234567890)
        out = s.run("transform", "demo", "--data", "-", input=body)[0]
        rows = [json.loads(line) for line in out.splitlines()]
        assert sorted(r["table"] for r in rows) == ["customers", "events"], rows
        assert "12345678901234567890" in out
        err = s.run("transform", "demo", "--data", "-", input='{"id":"e","type":"customer.created","data":{"name":"no key"}}', code=1)[1]
        assert "id" in err, err


def inspect(s):
    """Every reading command, whichever way it reaches the data."""
    listed = [json.loads(line) for line in s.run("events", "list", "demo", "--json")[0].splitlines()]
    assert [e["id"] for e in listed][:1] == ["evt_cus_1"], listed
    entry = listed[0]["entry"]
    assert "cus_1" in s.run("events", "show", entry, "--body")[0]
    assert "secret" in s.run("events", "show", entry)[0] and deliver.SECRET not in s.run("events", "show", entry)[0]
    s.run("events", "check")
    assert "customers" in s.run("table", "list", "demo")[0]
    head = [json.loads(line) for line in s.run("table", "head", "demo", "customers")[0].splitlines()]
    assert {r["id"] for r in head} == {"cus_1", "cus_3"}, head
    why = s.run("table", "explain", "demo", "customers", "cus_1")[0]
    assert entry in why or "customer.updated" in why, why
    trace = s.run("trace", entry)[0]
    assert "journalled" in trace and "merged" in trace, trace
    dead = [json.loads(line) for line in s.run("dead", "list", "demo", "--json")[0].splitlines()]
    assert len(dead) == 1 and "id" in dead[0]["reason"], dead
    assert s.run("dead", "show", str(dead[0]["id"]))[0]
    status = json.loads(s.run("status", "--json", code=None)[0])
    assert status["books"]["balanced"], status
    assert status["sources"][0]["dead"] == 1 and status["sources"][0]["health"] == "degraded", status
    return dead


def commands_with_and_without_a_server():
    with instance() as s:
        s.start()
        for body in (event("cus_1", name="a"), event("cus_1", "customer.updated", "2026-01-02T00:00:00Z", "evt_2", name="b"),
                     event("cus_2"), event("cus_2", "customer.deleted", "2026-01-03T00:00:00Z", "evt_4"), event("cus_3"),
                     '{"id":"evt_dead","type":"customer.created","timestamp":"2026-01-01T00:00:00Z","data":{"name":"no key"}}'):
            assert post(s, body) == 200
        assert post(s, event("cus_1", name="a")) == 200  # a duplicate
        s.run("merge")
        inspect(s)
        assert s.stop() == 0
        s.run("merge")
        dead = inspect(s)
        # Destructive: says what goes, does nothing without --yes.
        out, err, _ = s.run("dead", "drop", "demo", str(dead[0]["id"]), code=2)
        assert "--yes" in err and s.run("dead", "list", "demo", "--json")[0]
        assert "1 dropped" in s.run("dead", "drop", "demo", str(dead[0]["id"]), "--yes")[0]
        assert not s.run("dead", "list", "demo", "--json")[0].strip()
        status = json.loads(s.run("status", "--json")[0])
        assert status["sources"][0]["push"]["duplicate"] == 1, status


def one_writer():
    with instance() as s:
        s.start()
        second = s.run("serve", code=2)
        assert "already" in second[1] or "in use" in second[1], second
        assert post(s, event("cus_9")) == 200


def send_signs_like_the_provider():
    with instance() as s:
        s.start()
        out = s.run("send", "demo", "--count", "3")[0]
        assert out.count("200") >= 3, out
        assert len(s.run("events", "list", "demo", "--json")[0].splitlines()) == 3


def init_writes_what_works():
    with instance() as s:
        answers = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmU=\nsk_key\n"
        s.run("init", "demo", "--dir", "new", "--url", "https://hooks.example.com", input=answers)
        folder = s.path("new")
        assert os.stat(os.path.join(folder, "secrets")).st_mode & 0o777 == 0o700
        assert os.stat(os.path.join(folder, "secrets", "demo")).st_mode & 0o777 == 0o600
        assert "whsec_" not in open(os.path.join(folder, "sluice.yaml")).read()
        done = subprocess.run([BINARY, "config", "check"], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done
        assert "already" in s.run("init", "demo", "--dir", "new", input=answers, code=2)[1]


def backfill_shows_progress_and_resumes():
    past = history.History(3, 600, int(time.time()))
    p = provider.Provider(past, 3)
    p.start()
    p.advance(len(past.changes))
    try:
        with instance(p.base) as s:
            err = s.run("backfill", "demo", "--max-rows", "150", code=3)[1]
            assert "continues" in err, err
            first = p.pages
            out, err, _ = s.run("backfill", "demo")
            assert "\r" not in err and "\033" not in err, "no terminal, no bar: %r" % err
            assert first >= 2 and p.pages > first
            s.run("merge")
            truth = past.truth()
            truth.pop("tickets")
            assert compare.tables(s.path("data", "tables.db"), "demo", truth) == []
            before = p.pages
            s.run("backfill", "demo", "customers", "--dry-run")
            assert p.pages == before + 1
            s.write("secrets/key", "sk_wrong")
            err = s.run("backfill", "demo", "--full", code=1)[1]
            assert "401" in err or "key" in err, err
            assert "sk_wrong" not in err
    finally:
        p.stop()


def progress_bar_on_a_terminal():
    past = history.History(4, 400, int(time.time()))
    p = provider.Provider(past, 4)
    p.start()
    p.advance(len(past.changes))
    try:
        with instance(p.base) as s:
            import pty
            master, slave = pty.openpty()
            child = subprocess.Popen([BINARY, "backfill", "demo"], cwd=s.dir, stdout=subprocess.DEVNULL, stderr=slave, env={**os.environ, "TERM": "xterm", "LANG": "C.UTF-8"})
            os.close(slave)
            shown = b""
            while True:
                try:
                    more = os.read(master, 4096)
                except OSError:
                    break
                if not more:
                    break
                shown += more
            assert child.wait() == 0
            assert b"customers" in shown and b"rows" in shown and (b"\r" in shown or b"\033[" in shown), shown
    finally:
        p.stop()


def ctrl_c_stops_after_a_page():
    past = history.History(5, 3000, int(time.time()))
    p = provider.Provider(past, 5)
    p.start()
    p.advance(len(past.changes))
    try:
        with instance(p.base) as s:
            child = s.popen("backfill", "demo")
            time.sleep(0.15)
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=30)
            assert child.returncode in (3, 0), (child.returncode, err)
            s.run("backfill", "demo")
            s.run("merge")
            truth = past.truth()
            truth.pop("tickets")
            assert compare.tables(s.path("data", "tables.db"), "demo", truth) == []
    finally:
        p.stop()


def no_secret_is_ever_shown():
    secret = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="
    with Sluice(CONFIG.replace("@base@", "http://127.0.0.1:9"), {"secrets/demo": secret, "secrets/key": "sk_very_secret_key"}) as s:
        s.start()
        s.run("send", "demo")
        shown = ""
        for words in (["status"], ["status", "--json"], ["events", "list"], ["source", "show", "demo"], ["config", "check"], ["backfill", "demo"]):
            out, err, _ = s.run(*words, code=None)
            shown += out + err
        s.stop()
        shown += s.logged()
        for part in (secret, secret[6:], "sk_very_secret_key"):
            assert part not in shown
            for folder, _, names in os.walk(s.path("data")):
                for name in names:
                    with open(os.path.join(folder, name), "rb") as f:
                        assert part.encode() not in f.read(), name


if __name__ == "__main__":
    sys.exit(main([help_and_unknown_words, configuration_mistakes, manifest_mistakes, vectors_by_command, transform_by_command,
                   commands_with_and_without_a_server, one_writer, send_signs_like_the_provider, init_writes_what_works,
                   backfill_shows_progress_and_resumes, progress_bar_on_a_terminal, ctrl_c_stops_after_a_page,
                   no_secret_is_ever_shown], "cli"))
