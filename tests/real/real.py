#!/usr/bin/env python3
"""Real input: events signed by the providers' own packages, posted to a running server; and a pull from stripe-mock, Stripe's own.

Packages come from npm (tests/real/package.json), stripe-mock from the Go module proxy, built with a Go toolchain from there too; all into
build/tests/real, once.
"""
import base64
import json
import os
import platform
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import ROOT, Sluice, free_port, main  # noqa: E402
import deliver  # noqa: E402

HERE = os.path.join(ROOT, "tests", "real")
CACHE = os.path.join(ROOT, "build", "tests", "real")
STRIPE_MOCK, GO = "v0.203.0", "1.22.12"
VERSION = "2025-02-24.acacia"
SECRETS = {"github": "It's a Secret to Everybody", "stripe": "whsec_real_stripe_secret", "stripe_version": VERSION,
           "standard": "whsec_" + base64.b64encode(b"standard webhooks real key 32 by").decode(),
           "svix": "whsec_" + base64.b64encode(b"svix's own real key, 32 bytes ok").decode()}
CONFIG = """
listen: 127.0.0.1:{port}
data_dir: ./data
sources:
  github:
    secrets: [{file: ./secrets/github}]
    config: {org: octokit, token: {file: ./secrets/key}}
  stripe:
    secrets: [{file: ./secrets/stripe}]
    config: {api_key: {file: ./secrets/key}, api_version: "%s", live: false}
    base_url: @stripe@
  standard:
    manifest: standard-webhooks
    secrets: [{file: ./secrets/standard}]
  svix:
    secrets: [{file: ./secrets/svix}]
staging: {objects: {url: "file://./data/staging", cut_age: 200ms}}
merge: {target: "sqlite:./data/tables.db", every: 200ms}
""" % VERSION


def files():
    named = {"secrets/" + name: text for name, text in SECRETS.items()}
    named["secrets/key"] = "sk_test_123"
    return named


def shell(*words, **kw):
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, **kw)
    assert done.returncode == 0, "%s\n%s\n%s" % (" ".join(words), done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def node_packages():
    os.makedirs(CACHE, exist_ok=True)
    wanted = open(os.path.join(HERE, "package.json")).read()
    have = os.path.join(CACHE, "installed.json")
    if not os.path.exists(have) or open(have).read() != wanted:
        shutil.copy(os.path.join(HERE, "package.json"), CACHE)
        shell("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=dev", cwd=CACHE)
        open(have, "w").write(wanted)


def signed_requests():
    node_packages()
    with open(os.path.join(CACHE, "secrets.json"), "w") as f:
        json.dump(SECRETS, f)
    out = shell("node", os.path.join(HERE, "send.mjs"), "secrets.json", cwd=CACHE)
    return [json.loads(line) for line in out.splitlines()]


def raw(request):
    body = base64.b64decode(request["body"])
    head = "POST /in/%s HTTP/1.1\r\nHost: sluice\r\n" % request["source"]
    head += "".join("%s: %s\r\n" % pair for pair in request["headers"].items())
    return (head + "Content-Length: %d\r\n\r\n" % len(body)).encode() + body


def events_by_their_own_packages():
    requests = signed_requests()
    by_source = {}
    for r in requests:
        by_source.setdefault(r["source"], []).append(r)
    assert len(by_source["github"]) > 200 and len(by_source) == 4, {k: len(v) for k, v in by_source.items()}
    with Sluice(CONFIG.replace("@stripe@", "http://127.0.0.1:9"), files()) as s:
        s.start()
        connection = deliver.Connection(s.port)
        for r in requests:
            status = connection.post(raw(r))
            assert status == 200, "%s %s %s was answered %s" % (r["source"], r["type"], r["id"], status)
        for r in requests[::7]:  # the same with one byte of the body changed
            body = bytearray(base64.b64decode(r["body"]))
            body[len(body) // 2] ^= 1
            status = connection.post(raw(dict(r, body=base64.b64encode(bytes(body)).decode())))
            assert status in (400, 401, 403), "an altered %s was answered %s" % (r["type"], status)
        s.run("merge")
        db = sqlite3.connect(s.path("data", "tables.db"))
        for source, sent in by_source.items():
            ids = {row[0] for row in db.execute('select id from "%s_events"' % source)}
            wanted = {r["id"] for r in sent if r["type"] != "ping"}  # GitHub's ping is a handshake: answered, not kept
            assert ids == wanted, "%s: %d of %d events in the table" % (source, len(ids), len(wanted))
        check_github(db, by_source["github"])
        check_stripe(db, by_source["stripe"])
        status = json.loads(s.run("status", "--json", code=None)[0])
        assert status["books"]["balanced"], status["books"]
        for source in status["sources"]:
            assert source["dead"] == 0, s.run("dead", "list", source["source"])[0][:2000]
        assert s.stop() == 0


def check_github(db, sent):
    """Pull requests, issues and releases: of each key the newest payload."""
    for table, event, field in (("issues", "issues", "issue"), ("pull_requests", "pull_request", "pull_request"),
                                ("releases", "release", "release")):
        truth, gone = {}, set()
        for r in sent:
            if r["type"] != event:
                continue
            payload = json.loads(base64.b64decode(r["body"]))
            if payload.get("action") in ("deleted", "transferred"):
                gone.add(payload[field]["id"])
            if table != "issues" or "pull_request" not in payload[field]:  # GitHub sends a pull request's milestones as issues, too
                truth[payload[field]["id"]] = payload[field]
        rows = {row[0] for row in db.execute('select id from "github_%s"' % table)}
        assert rows <= set(truth) and rows >= set(truth) - gone, (table, rows ^ (set(truth) - gone))
        assert rows or not truth, table


def check_stripe(db, sent):
    assert db.execute("select count(*) from stripe_customers").fetchone()[0] == 0, "customers were deleted last"
    kept = db.execute("select count(*) from stripe_subscriptions").fetchone()[0]
    assert kept == 10, "a cancelled subscription's row stays: %d of 10" % kept
    newest = dict(db.execute("select id, amount from stripe_charges"))
    for r in sent:
        body = json.loads(base64.b64decode(r["body"]))["data"]["object"]
        if body["object"] == "charge":
            assert newest[body["id"]] == body["amount"], body
    assert db.execute("select name from stripe_products limit 1").fetchone()[0].startswith("Zoë")


def go_toolchain():
    """A Go toolchain as the module proxy serves it: Debian 12's own is too old for stripe-mock."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    name = "golang.org/toolchain@v0.0.1-go%s.linux-%s" % (GO, machine)
    go = os.path.join(CACHE, name, "bin", "go")
    if not os.path.exists(go):
        proxy = os.environ.get("GOPROXY", "https://proxy.golang.org").split(",")[0].split("|")[0]
        archive = os.path.join(CACHE, "go.zip")
        with urllib.request.urlopen("%s/golang.org/toolchain/@v/v0.0.1-go%s.linux-%s.zip" % (proxy, GO, machine), timeout=300) as r:
            with open(archive, "wb") as f:
                shutil.copyfileobj(r, f)
        with zipfile.ZipFile(archive) as z:
            z.extractall(CACHE)
        os.unlink(archive)
        for folder, _, names in os.walk(os.path.join(CACHE, name)):
            if folder.endswith("bin") or "/pkg/tool/" in folder + "/":
                for n in names:
                    os.chmod(os.path.join(folder, n), 0o755)
    return go


def stripe_mock():
    binary = os.path.join(CACHE, "bin", "stripe-mock-" + STRIPE_MOCK)
    if not os.path.exists(binary):
        env = {**os.environ, "GOBIN": os.path.join(CACHE, "bin"), "GOPATH": os.path.join(CACHE, "gopath"), "GOTOOLCHAIN": "local",
               "GOCACHE": os.path.join(CACHE, "gocache"), "GOFLAGS": "-modcacherw", "GOSUMDB": os.environ.get("GOSUMDB", "off")}
        shell(go_toolchain(), "install", "github.com/stripe/stripe-mock@" + STRIPE_MOCK, env=env)
        os.rename(os.path.join(CACHE, "bin", "stripe-mock"), binary)
    port = free_port()
    child = subprocess.Popen([binary, "-http-port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return child, port
        except OSError:
            time.sleep(0.05)
    child.kill()
    raise AssertionError("stripe-mock did not start")


def pull_from_stripes_own_mock():
    os.makedirs(CACHE, exist_ok=True)
    child, port = stripe_mock()
    try:
        with Sluice(CONFIG.replace("@stripe@", "http://127.0.0.1:%d" % port), files()) as s:
            s.run("backfill", "stripe")
            s.run("merge")
            db = sqlite3.connect(s.path("data", "tables.db"))
            for table in ("customers", "invoices", "subscriptions", "charges", "payment_intents", "products", "prices",
                          "payment_methods", "invoice_lines"):
                n = db.execute('select count(*) from "stripe_%s"' % table).fetchone()[0]
                assert n >= 1, "%s is empty" % table
            row = dict(zip(("id", "object", "created"), db.execute("select id, object, created from stripe_customers").fetchone()))
            assert row["object"] == "customer" and row["id"] and isinstance(row["created"], int), row
            line = db.execute("select invoice_id from stripe_invoice_lines").fetchone()[0]
            assert line == db.execute("select id from stripe_invoices").fetchone()[0]
            status = json.loads(s.run("status", "--json", code=None)[0])
            assert status["books"]["balanced"], status["books"]
    finally:
        child.kill()


if __name__ == "__main__":
    sys.exit(main([events_by_their_own_packages, pull_from_stripes_own_mock], "real"))
