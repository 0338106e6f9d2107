"""The quickstart: a Sluice on loopback, a stand-in of a provider, and what comes of the two.

Ends with exit code 0 only if the merged tables equal the provider's truth and the books balance.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare  # noqa: E402
import deliver  # noqa: E402
import history  # noqa: E402
import provider  # noqa: E402

UTF8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
OK, BAD = ("✓", "✗") if UTF8 else ("ok", "X")
CONFIG = """# Made by ./quickstart. Every key: docs/configuration.md
listen: 127.0.0.1:{port}
data_dir: ./data
sources:
  demo:
    secrets: [{{file: ./secrets/demo}}]
    config: {{api_key: {{file: ./secrets/demo-api_key}}}}
    base_url: {base}
staging:
  objects: {{url: "file://./data/staging", cut_age: 500ms}}
merge: {{target: "sqlite:./data/tables.db", every: 500ms}}
"""


def say(*words):
    print(*words, flush=True)


def free_port(first):
    for port in range(first, first + 200):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise SystemExit("no free port from %d to %d" % (first, first + 199))


class Demo:
    def __init__(self, binary, work):
        self.binary, self.work = os.path.abspath(binary), os.path.abspath(work)
        self.server = None

    def write_files(self, port, base):
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(os.path.join(self.work, "secrets"), mode=0o700)
        for name, text in (("demo", deliver.SECRET), ("demo-api_key", provider.TOKEN)):
            with open(os.open(os.path.join(self.work, "secrets", name), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write(text + "\n")
        with open(os.path.join(self.work, "sluice.yaml"), "w") as f:
            f.write(CONFIG.format(port=port, base=base))

    def start(self):
        self.log = open(os.path.join(self.work, "serve.log"), "ab")
        self.server = subprocess.Popen([self.binary, "serve"], cwd=self.work, stdout=self.log, stderr=self.log)

    def command(self, *args, check=True):
        done = subprocess.run([self.binary, *args], cwd=self.work, capture_output=True, text=True)
        if check and done.returncode:
            say("%s sluice %s ended with %d\n%s%s" % (BAD, " ".join(args), done.returncode, done.stdout, done.stderr))
            raise SystemExit(1)
        return done.stdout

    def stop(self):
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(30)


def number(n):
    return "{:,}".format(n)


def tell_push(status):
    push = status["sources"][0]["push"]
    why = ", ".join("%s %s" % (number(n), reason) for reason, n in push["rejected"].items() if n)
    total = sum(push["rejected"].values())
    say("  pushed    %s received   %s accepted   %s duplicate   %s rejected (%s)" % (
        number(push["received"]), number(push["accepted"]), number(push["duplicate"]), number(total), why))


def tell_pull(stand_in, runs):
    say("  pulled    %s pages, %s rows; waited %d× (429, 1 s), retried %d× (500)" % (
        number(sum(r["pages"] for r in runs)), number(sum(r["rows"] for r in runs)), stand_in.waits, stand_in.errors))


def tell_tables(tables):
    live = [t for t in tables if t["table"] != "events"]
    say("  merged    " + "   ".join("%s %s rows" % (t["table"], number(t["rows"])) for t in live))
    say("            %s older versions kept out   %s deletes   %s events that never came, found by the pull" % (
        number(sum(t["kept_out"] for t in live)), number(sum(t["deleted"] for t in live)),
        number(sum(t["missed"] for t in live))))


def run(demo, args):
    now = int(time.time())
    past = history.History(args.seed, args.objects, now)
    stand_in = provider.Provider(past, args.seed, faults=["429", "500"], step=3)
    stand_in.start(free_port(8099))
    port = free_port(8080)
    demo.write_files(port, stand_in.base)
    demo.start()
    if not provider.wait_port(port) or demo.server.poll() is not None:
        say("%s sluice serve did not start:" % BAD)
        say(open(os.path.join(demo.work, "serve.log")).read())
        raise SystemExit(1)
    say("%s serving on 127.0.0.1:%d, a stand-in provider on :%d" % (OK, port, stand_in.port))

    # Both doors at once: webhooks come while the history is read and goes on changing.
    webhooks = deliver.Deliverer(port, "/in/demo", args.seed)
    deliveries = webhooks.plan(past.changes)
    pushing = threading.Thread(target=webhooks.run, args=(deliveries,), kwargs={"upto": stand_in.advance})
    stand_in.advance(len(past.changes) // 10)
    pushing.start()
    runs = [json.loads(demo.command("backfill", "demo", "--json"))]
    pushing.join()
    # Some events never came; the provider's clock goes on, and one more pull finds what is missing.
    stand_in.advance(len(past.changes))
    stand_in.step, stand_in.clock_s = 0, int(time.time()) + 5
    runs.append(json.loads(demo.command("backfill", "demo", "--full", "--json")))
    demo.command("merge")
    status = json.loads(demo.command("status", "--json", check=False))
    tables = [json.loads(line) for line in demo.command("table", "list", "demo", "--json").splitlines()]
    tell_push(status)
    tell_pull(stand_in, runs)
    tell_tables(tables)

    truth = past.truth()
    truth.pop("tickets")
    wrong = compare.tables(os.path.join(demo.work, "data", "tables.db"), "demo", truth)
    for line in wrong[:10]:
        say("%s %s" % (BAD, line))
    if webhooks.forged_accepted:
        say("%s %d forged requests were accepted" % (BAD, webhooks.forged_accepted))
    if not status["books"]["balanced"]:
        say("%s the books do not balance: %s" % (BAD, json.dumps(status["books"])))
    good = not wrong and not webhooks.forged_accepted and status["books"]["balanced"]
    if good:
        say("%s the tables equal the provider's truth, row for row; the books balance" % OK)
    return port, good


def show_table(demo):
    db = sqlite3.connect(os.path.join(demo.work, "data", "tables.db"))
    say("\ndemo_customers (%s)" % os.path.relpath(os.path.join(demo.work, "data", "tables.db")))
    for row in db.execute("select id, name, balance, updated_at from demo_customers order by id limit 3"):
        say("  " + "  ".join(str(c) for c in row))


def show_door(demo, port):
    body = json.dumps({"id": "evt_mine", "type": "customer.created", "timestamp": history.iso(int(time.time())),
                       "data": {"id": "cus_mine", "name": "You", "updated_at": history.iso(int(time.time()))}}, separators=(",", ":"))
    now = int(time.time())
    say("\nPOST to http://127.0.0.1:%d/in/demo, signed as Standard Webhooks says. Try (the signature holds for five minutes):" % port)
    say("  curl -sS -i http://127.0.0.1:%d/in/demo -H 'webhook-id: evt_mine' -H 'webhook-timestamp: %d' \\\n"
        "    -H 'webhook-signature: %s' -H 'content-type: application/json' \\\n    -d '%s'"
        % (port, now, deliver.sign("evt_mine", now, body.encode()), body))
    binary, config = os.path.relpath(demo.binary), os.path.relpath(os.path.join(demo.work, "sluice.yaml"))
    for words in ("send demo", "table head demo customers", "status"):
        say("  %s %s -c %s" % (binary, words, config))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--built", type=int, default=0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--objects", type=int, default=1500)
    parser.add_argument("--exit", action="store_true")
    args = parser.parse_args()
    demo = Demo(args.binary, args.work)
    version = subprocess.run([demo.binary, "--version"], capture_output=True, text=True).stdout.strip()
    say("%s built %s    %d s" % (OK, version, args.built))
    # Ctrl-C must reach the server through us, in order.
    try:
        port, good = run(demo, args)
        if not good:
            return 1
        show_table(demo)
        if not args.exit:
            show_door(demo, port)
            say("\n(Ctrl-C stops)")
            demo.server.wait()
        return 0
    except KeyboardInterrupt:
        say("\nstopping")
        return 0
    finally:
        demo.stop()


if __name__ == "__main__":
    sys.exit(main())
