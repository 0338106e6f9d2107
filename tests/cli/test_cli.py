#!/usr/bin/env python3
"""The command line as a user meets it: help, errors that name the place and the right word, exit codes, and every command both
beside a running server and without one."""
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import BINARY, ROOT, Sluice, free_port, main  # noqa: E402
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
        for name in sorted(f[:-5] for f in os.listdir(os.path.join(ROOT, "tests", "vectors")) if f.endswith(".json") and f != "handshakes.json"):
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
    running = s.server.poll() is None
    assert status["sinks"] == [{"sink": "objects", "place": "file://" + s.path("data", "staging"), "behind": 0, "oldest_seconds": 0,
                                "healthy": True if running else None}], status["sinks"]
    assert "objects        %s " % ("healthy" if running else "unknown") in s.run("status", code=None)[0]
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


def kept(s):
    with open(s.path("data", "rejected", "demo.json")) as f:
        return json.load(f)


def shown_before_long(s, note):
    """The server writes down every second which secrets were used."""
    deadline = time.monotonic() + 20
    while note not in s.run("verify", "demo", "--last-rejected", code=1)[0]:
        assert time.monotonic() < deadline, note
        time.sleep(0.2)


def refused_and_looked_at():
    other = deliver.base64.b64encode(b"the key that the provider signs with").decode()
    with instance() as s:
        assert "no rejected request" in s.run("verify", "demo", "--last-rejected", code=1)[1]
        s.start()
        assert "no rejected request" in s.run("verify", "demo", "--last-rejected", code=1)[1]
        body, key = event("cus_1", name="a").encode(), deliver.base64.b64decode(other)
        raw = deliver.request("/in/demo", "evt_cus_1", body, key=key)
        raw = raw.replace(b"Host: sluice\r\n", b"Host: sluice\r\nAuthorization: Bearer sk_planted\r\nCookie: c=planted\r\n", 1)
        assert deliver.Connection(s.port).post(raw) == 401
        out = s.run("verify", "demo", "--last-rejected", code=1)[0]  # still in the server's memory
        assert out.startswith("rejected ") and "POST /in/demo   %d bytes" % len(body) in out, out
        assert "matches none of 1 secret" in out and out.endswith("result: bad_signature\n"), out
        shown_before_long(s, "(never used)")
        assert post(s, event("cus_2")) == 200
        shown_before_long(s, " s ago)")
        assert deliver.Connection(s.port).post(deliver.request("/in/demo?\x1b[31m\x9b", "evt_1", body, key=key)) in (400, 401)
        assert "\x1b" not in s.run("verify", "demo", "--last-rejected", code=1)[0] + s.run("status", code=None)[0]
        s.stop()
        s.write("data/rejected/demo.json", json.dumps([r for r in kept(s) if r["url"] == "/in/demo"]))
        s.start()
        # What was refused since comes first.
        assert deliver.Connection(s.port).post(deliver.request("/in/demo", "evt_old", body, timestamp=int(time.time()) - 4000)) == 401
        both = [json.loads(line) for line in s.run("verify", "demo", "--last-rejected", "-n", "5", "--json", code=1)[0].splitlines()]
        assert [(r["verdict"], r["outcome"]) for r in both] == [("expired", "expired"), ("bad_signature", "bad_signature")], both
        # The right secret is put beside the old one, while the server runs with what it has.
        s.write("secrets/second", "whsec_" + other)
        config = open(s.path("sluice.yaml")).read()
        s.write("sluice.yaml", config.replace("[{file: ./secrets/demo}]", "[{file: ./secrets/demo}, {file: ./secrets/second}]"))
        out = s.run("verify", "demo", "--last-rejected", "-n", "2", code=1)[0]
        assert out.count("result: ") == 2 and "result: expired" in out and out.endswith("result: ok\n"), out
        assert "refused as bad_signature" in out and "No server has loaded secret" in out, out
        assert s.stop() == 0
        both = [json.loads(line) for line in s.run("verify", "demo", "--last-rejected", "-n", "2", "--json", code=1)[0].splitlines()]
        assert [r["verdict"] for r in both] == ["expired", "ok"], both
        # The file: for its owner, without what was secret, and a request of it is one for --request.
        path = s.path("data", "rejected", "demo.json")
        assert os.stat(path).st_mode & 0o777 == 0o600 and os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
        text = open(path).read()
        assert "planted" not in text and other not in text and deliver.SECRET[6:] not in text, text
        assert "result: expired" in s.run("verify", "demo", "--request", path, code=1)[0]
        s.write("one.json", json.dumps(kept(s)[1]))
        assert "result: ok" in s.run("verify", "demo", "--request", s.path("one.json"))[0]
        # The next server has them, and knows the second secret now.
        s.start()
        assert deliver.Connection(s.port).post(raw) == 200
        assert "result: ok" in s.run("verify", "demo", "--last-rejected", "-n", "2", code=1)[0]
        assert len(kept(s)) == 2


def refused_without_a_secret_or_in_part():
    with instance() as s:
        os.unlink(s.path("secrets", "demo"))
        s.start()
        long, short = json.dumps({"id": "evt_long", "pad": "x" * 100000}).encode(), event("cus_1").encode()
        assert deliver.Connection(s.port).post(deliver.request("/in/demo", "evt_long", long)) == 503
        out = s.run("verify", "demo", "--last-rejected", code=1)[0]
        assert "before its body was read" in out and "100," in out and out.endswith("result: cannot_judge\n"), out
        assert deliver.Connection(s.port).post(deliver.request("/in/demo", "evt_cus_1", short)) == 503
        s.write("secrets/demo", deliver.SECRET)
        assert "result: ok" in s.run("verify", "demo", "--last-rejected")[0]
        s.stop()
        s.start()
        assert deliver.Connection(s.port).post(deliver.request("/in/demo", "evt_long", long, key=b"another")) == 401
        out = s.run("verify", "demo", "--last-rejected", code=1)[0]
        assert "cut: 65,536 of %s bytes" % format(len(long), ",") in out and out.endswith("result: cannot_judge\n"), out
        s.stop()
        assert [r["outcome"] for r in kept(s)] == ["bad_signature", "cannot_judge", "cannot_judge"]
        assert len(deliver.base64.b64decode(kept(s)[0]["body_base64"])) == 65536 and kept(s)[0]["body_bytes"] == len(long)
        # retention.rejected: 0 keeps none, and removes those of before.
        s.write("sluice.yaml", open(s.path("sluice.yaml")).read() + "retention: {rejected: 0}\n")
        s.start()
        assert deliver.Connection(s.port).post(deliver.request("/in/demo", "evt_1", short, key=b"another")) == 401
        assert "retention.rejected is 0" in s.run("verify", "demo", "--last-rejected", code=1)[1]
        s.stop()
        assert not os.path.exists(s.path("data", "rejected", "demo.json"))
        for words in (["--last-rejected", "--manifest", "x"], ["-n", "2"], ["--last-rejected", "--request", "sluice.yaml"], ["--last-rejected", "-n", "0"]):
            s.run("verify", "demo", *words, code=2)


def refused_survives_a_kill():
    with instance() as s:
        s.start()
        assert deliver.Connection(s.port).post(deliver.request("/in/demo", "evt_1", event("cus_1").encode(), key=b"another")) == 401
        deadline = time.monotonic() + 20
        while not os.path.exists(s.path("data", "rejected", "demo.json")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        s.kill()
        assert "result: bad_signature" in s.run("verify", "demo", "--last-rejected", code=1)[0]
        s.start()
        assert "result: bad_signature" in s.run("verify", "demo", "--last-rejected", code=1)[0]
        s.write("data/rejected/demo.json", "[{")  # of another's making: told, and no reason not to start
        s.kill()
        assert "not a list" in s.run("verify", "demo", "--last-rejected", code=1)[1]
        s.start()
        assert "are lost" in s.logged()


def captured_and_verified():
    with instance() as s:
        body = event("cus_1", name="Zoë").encode()
        for name in ("captured.json", "captured-2.json"):
            child = s.popen("capture", "--listen", "127.0.0.1:0", "--timeout", "60s")
            port = int(child.stderr.readline().split("127.0.0.1:")[1].split("/")[0])
            raw = deliver.request("/in/demo?token=tok_planted", "evt_cus_1", body)
            assert deliver.Connection(port).post(raw.replace(b"Host: sluice\r\n", b"Host: x\r\nAuthorization: Bearer planted\r\n", 1)) == 200
            out, err = child.communicate(timeout=30)
            assert child.returncode == 0 and "POST /in/demo" in out and "%d bytes" % len(body) in out, (out, err)
            assert "webhook-signature" in out and "planted" not in out + err and "0600" in out, out
            assert "sluice verify demo --request " + name in out, out
            assert os.stat(s.path(name)).st_mode & 0o777 == 0o600
            got = json.load(open(s.path(name)))
            assert deliver.base64.b64decode(got["body_base64"]) == body and got["url"] == "/in/demo?token=tok_planted", got
            assert ["Authorization", "Bearer planted"] in got["headers"], got
            assert "result: ok" in s.run("verify", "demo", "--request", name)[0]
            rows = [json.loads(line) for line in s.run("transform", "demo", "--request", name)[0].splitlines()]
            assert sorted(r["table"] for r in rows) == ["customers", "events"] and "Zoë" in json.dumps(rows, ensure_ascii=False), rows
            assert s.run("transform", "demo", "--request", name, "--data", name, code=2)
            assert s.run("transform", "demo", "--request", name, "--header", "a: b", code=2)
        assert not os.path.exists(s.path("data")), "nothing is journalled"
        before = sorted(os.listdir(s.dir))
        assert "no request came" in s.run("capture", "--listen", "127.0.0.1:0", "--timeout", "200ms", code=1)[1]
        child = s.popen("capture", "--listen", "127.0.0.1:0")
        child.stderr.readline()
        child.send_signal(signal.SIGINT)
        assert "stopped" in child.communicate(timeout=30)[1] and child.returncode == 1
        assert sorted(os.listdir(s.dir)) == before
        for words, why in ((["--listen", "nowhere"], "host:port"), (["--timeout", "soon"], "duration"), (["--out", "./none/c.json"], "none/c.json")):
            assert why in s.run("capture", *words, code=2)[1]


def secrets_are_listed():
    other = "whsec_" + deliver.base64.b64encode(b"another secret, 24 bytes").decode()
    with instance() as s:
        s.start()
        one = json.loads(s.run("secret", "list", "demo", "--json")[0])
        assert one["state"] == "active" and one["last_used"] is None and one["retires"] is None, one
        s.run("send", "demo")
        s.write("secrets/demo", other)
        deadline = time.monotonic() + 30
        while len(s.run("secret", "list", "demo", "--json")[0].splitlines()) < 2:
            assert time.monotonic() < deadline, "the replaced secret is not taken up"
            time.sleep(0.1)
        rows = {r["id"]: r for r in map(json.loads, s.run("secret", "list", "demo", "--json")[0].splitlines())}
        assert rows[one["id"]]["state"] == "retiring" and rows[one["id"]]["last_used"] and rows[one["id"]]["retires"], rows
        text = s.run("secret", "list")[0]
        assert text.count("retires") == 1 and "active" in text and other[6:] not in text and deliver.SECRET[6:] not in text, text
        s.run("secret", "list", "nobody", code=2)
        s.stop()
        alone = json.loads(s.run("secret", "list", "--json")[0])
        assert alone["state"] == "active" and alone["id"] != one["id"] and alone["first_seen"], alone


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


def soft_limit(s):
    with open("/proc/%d/limits" % s.server.pid) as f:
        return next(int(line.split()[3]) for line in f if line.startswith("Max open files"))


def files_for_all_connections():
    """4,096 connections and the files beside them need more descriptors than most systems give at first."""
    with instance() as s:
        s.start(files=(64, 8192))
        assert soft_limit(s) == 4096 + 256, soft_limit(s)
        assert post(s, event("cus_1")) == 200 and s.stop() == 0
        assert "too few files" not in s.logged(), s.logged()
        s.start(files=(64, 1000))
        assert soft_limit(s) == 1000, soft_limit(s)
        assert post(s, event("cus_2")) == 200 and s.stop() == 0
        told = [line for line in s.logged().splitlines() if "too few files" in line]
        assert len(told) == 1 and "limit=1000 needed=4352 connections=4096" in told[0] and "LimitNOFILE" in told[0], told
        s.start(files=(5000, 8192))
        assert soft_limit(s) == 5000, "what is there is not taken away"
        assert s.stop() == 0


def make_certificate(s, days):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days),
                    "-subj", "/CN=sluice.test", "-keyout", s.path("tls", "key.pem"), "-out", s.path("tls", "cert.pem")],
                   check=True, capture_output=True)
    os.chmod(s.path("tls", "key.pem"), 0o600)


def the_certificate_ends():
    """Warned of from 14 days before: in the log, the status, and as a number; an intermediate one in the file counts, too."""
    admin = free_port()
    with Sluice(CONFIG.replace("@base@", "http://127.0.0.1:9") + "tls: {cert: ./tls/cert.pem, key: ./tls/key.pem}\n"
                "admin: {listen: \"127.0.0.1:%d\"}\n" % admin, FILES) as s:
        os.makedirs(s.path("tls"))
        make_certificate(s, 5)
        ending = open(s.path("tls", "cert.pem")).read()
        make_certificate(s, 400)
        lasting = open(s.path("tls", "cert.pem")).read()
        for chain, warned in ((lasting, False), (lasting + ending, True)):
            s.write("tls/cert.pem", chain)
            s.start()
            assert ("certificate must be replaced" in s.logged()) == warned, s.logged()
            out, told = s.run("status", code=None)[0], json.loads(s.run("status", "--json", code=None)[0])["warnings"]
            assert ("expires in 119 h" in out) == warned and len(told) == warned, (out, told)
            with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % admin, timeout=30) as answer:
                value = [line.split()[1] for line in answer.read().decode().splitlines() if line.startswith("sluice_certificate_expiry_seconds ")]
            days = (float(value[0]) - time.time()) / 86400
            assert (4.9 < days <= 5) if warned else (399.9 < days <= 400), value
            assert s.stop() == 0
        s.write("tls/cert.pem", "nothing")
        assert "no certificate" in s.run("status", code=None)[0]


if __name__ == "__main__":
    sys.exit(main([help_and_unknown_words, configuration_mistakes, manifest_mistakes, vectors_by_command, transform_by_command,
                   commands_with_and_without_a_server, one_writer, refused_and_looked_at,
                   refused_without_a_secret_or_in_part, refused_survives_a_kill, captured_and_verified, secrets_are_listed,
                   send_signs_like_the_provider, init_writes_what_works,
                   backfill_shows_progress_and_resumes, progress_bar_on_a_terminal, ctrl_c_stops_after_a_page,
                   no_secret_is_ever_shown, files_for_all_connections, the_certificate_ends], "cli"))
