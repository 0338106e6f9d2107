#!/usr/bin/env python3
"""The Kafka sink against Apache Kafka itself: what arrives, how often, in which order, and what is said when it does not.

kafka_test.py [NAME…]   prints "ok kafka/NAME" or "FAIL kafka/NAME"; KEEP=1 keeps the folders.
"""
import base64
import collections
import contextlib
import glob
import json
import os
import random
import re
import shutil
import sqlite3
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
import kafka  # noqa: E402
from sluice import ROOT, Sluice, free_port  # noqa: E402
import beside  # noqa: E402
import deliver  # noqa: E402

CONFIG = """
listen: 127.0.0.1:{port}
admin: {listen: "127.0.0.1:@admin@"}
data_dir: ./data
sources:
  acme:
    secrets: [{file: ./secrets/acme}]
    config: {api_key: {file: ./secrets/acme}}
    base_url: http://127.0.0.1:1
    tables: [customers, events]
staging:
  objects: {url: "file://./data/staging", cut_age: 200ms}
  kafka: {brokers: "@brokers@", topic: "@topic@"@more@, properties: {@properties@}}
merge: {target: "sqlite:./data/tables.db", every: 200ms}
@rest@
"""
LONG = 90  # seconds; what is waited for takes two
broker = None
tests = []
_names = iter("t%d" % i for i in range(1000))


def test(f):
    tests.append(f)
    return f


class World:
    """A Sluice with topics of its own."""

    def __init__(self, more="", properties="", rest="", brokers=None, topics=("customers", "events"), one=False, **config):
        self.prefix = next(_names)
        self.names = [self.prefix + ".all"] if one else ["%s.acme.%s" % (self.prefix, t) for t in ("customers", "events")]
        self.admin = free_port()
        self.text = CONFIG
        for key, value in (("topic", self.names[0] if one else self.prefix + ".{source}.{table}"), ("more", more), ("rest", rest),
                           ("properties", properties), ("brokers", brokers or broker.brokers), ("admin", str(self.admin))):
            self.text = self.text.replace("@%s@" % key, value)
        for name in self.names:
            if one or name.rsplit(".", 1)[1] in topics:
                broker.create(name, **config)
        with open(os.path.join(ROOT, "tests", "e2e", "acme.yaml")) as f:
            self.s = Sluice(self.text, {"secrets/acme": deliver.SECRET, "sources/acme.yaml": f.read(), "secrets/kafka": "wrong"})
        self.sent = []
        self.lock = threading.Lock()

    def __enter__(self):
        self.s.start()
        self.connection = deliver.Connection(self.s.port)
        return self

    def __exit__(self, *what):
        self.s.__exit__(*what)

    def send(self, n, pad=0, keys=20, must=True):
        """Events of customers; returns the statuses. A connection that the server closed as idle is opened again once."""
        statuses = collections.Counter()
        for _ in range(n):
            i = len(self.sent)
            body = json.dumps({"id": "evt_%d" % i, "type": "customer.updated", "timestamp": "2026-11-20T00:00:00Z",
                               "data": {"id": "cus_%d" % (i % keys), "updated_at": i, "pad": "x" * pad}}).encode()
            raw = deliver.request("/in/acme", "msg_%d" % i, body)
            status = self.connection.post(raw) or self.connection.post(raw)
            statuses[status] += 1
            assert status == 200 or not must, "an event was answered %s" % status
            if status == 200:
                self.sent.append("evt_%d" % i)
            elif must is None:
                break
        return statuses

    def send_again_until_accepted(self, n):
        """What a provider does: a broker that needs longer than limits.ack for once is answered 503."""
        wanted = len(self.sent) + n
        wait(lambda: self.send(wanted - len(self.sent), must=None) and len(self.sent) == wanted,
             lambda: "%d events are still refused: %s\n%s" % (wanted - len(self.sent), self.findings(), self.s.logged()))

    def rows(self, committed=False):
        return broker.messages(*self.names, committed=committed)

    def missing(self, committed=False):
        """Rows that are not in Kafka yet: (table, event)."""
        there = {(m["headers"]["table"], m["headers"]["event_id"]) for m in self.rows(committed)}
        return [(t, e) for e in self.sent for t in ("customers", "events") if (t, e) not in there]

    def wait_complete(self, committed=False):
        wait(lambda: not self.missing(committed), lambda: "%d rows are missing, such as %s (uncommitted ones: %d); position %d of %d; %s\n%s" % (
            len(self.missing(committed)), self.missing(committed)[:3], len(self.missing()), self.position("kafka"),
            self.position("objects"), self.findings(), self.s.logged()))

    def status(self):
        return json.loads(self.s.run("status", "--json", code=None)[0])

    def findings(self):
        return " / ".join(f["cause"] for f in self.status()["sources"][0]["findings"])

    def wait_finding(self, pattern):
        wait(lambda: re.search(pattern, self.findings()), lambda: "no finding like %s: %s" % (pattern, self.findings()))

    def wait_healthy(self):
        wait(lambda: not re.search("Kafka does not", self.findings()), self.findings)

    def position(self, sink, lane="events"):
        db = sqlite3.connect(self.s.path("data", "state.db"))
        row = db.execute("SELECT next FROM positions WHERE sink = ? AND lane = ?", (sink, lane)).fetchone()
        db.close()
        return row[0] if row else 1

    def metric(self, line):
        import urllib.request
        with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % self.admin, timeout=10) as answer:
            for text in answer.read().decode().splitlines():
                if text.startswith(line + " "):
                    return float(text.rsplit(" ", 1)[1])
        raise AssertionError("no metric " + line)

    def segments(self):
        return len(glob.glob(self.s.path("data", "journal", "events", "*.seg")))


def wait(condition, words, seconds=LONG):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, words() if callable(words) else words
        time.sleep(0.1)


def each_once(rows):
    """The same row of the same entry never twice."""
    seen = collections.Counter((m["headers"]["table"], m["headers"]["entry"]) for m in rows)
    doubled = [k for k, n in seen.items() if n > 1]
    assert not doubled, "%d rows arrived more than once, such as %s" % (len(doubled), doubled[:3])


def in_order(rows):
    """Messages of a key are in one partition, in the order of their entries."""
    last = {}
    for m in rows:
        seq = int(m["headers"]["entry"].rsplit("/", 1)[1])
        before = last.get((m["topic"], m["key"]))
        assert not before or before[0] == m["partition"], "the key %s is in two partitions" % m["key"]
        assert not before or before[1] < seq, "the key %s: entry %d after %d" % (m["key"], seq, before[1])
        last[(m["topic"], m["key"])] = (m["partition"], seq)


def codecs(topic):
    """The compressions of a topic's batches: 0 none, 3 lz4, 4 zstd."""
    found = set()
    for path in glob.glob(os.path.join(broker.dir, "data", topic + "-*", "*.log")):
        with open(path, "rb") as f:
            data, at = f.read(), 0
        while at + 61 <= len(data):
            found.add(int.from_bytes(data[at + 21:at + 23], "big") & 7)
            at += 12 + int.from_bytes(data[at + 8:at + 12], "big")
    return found


@test
def arrives_whole_once_and_in_order():
    with World() as w:
        w.send(400, pad=300)
        w.wait_complete()
        rows = w.rows()
        each_once(rows)
        in_order(rows)
        assert len(rows) == 800, len(rows)
        m = next(m for m in rows if m["headers"]["table"] == "customers" and m["headers"]["event_id"] == "evt_3")
        row = json.loads(m["payload"])
        assert m["key"] == '{"source":"acme","table":"customers","key":{"id":"cus_3"}}', m["key"]
        assert row["row"]["updated_at"] == 3 and row["format"] == 1 and row["op"] == "upsert", row
        h = m["headers"]
        assert h["version"] == row["version"] and h["entry"] == row["entry"] and h["op"] == "upsert" and h["origin"] == "webhook", h
        assert h["source"] == "acme" and h["event_type"] == "customer.updated" and h["format"] == "1" and "ce_id" not in h, h
        assert codecs(w.names[0]) == {4}, codecs(w.names[0])
        wait(lambda: w.position("kafka") == 401, "the position is %d" % w.position("kafka"))
        assert w.metric('sluice_oldest_unshipped_seconds{sink="kafka"}') == 0
        assert w.status()["books"]["balanced"]
        assert w.s.stop() == 0
        w.s.start()
        w.connection = deliver.Connection(w.s.port)
        w.send(1)
        w.wait_complete()
        each_once(w.rows())


@test
def cloudevents_lz4_and_one_topic():
    with World(more=", cloudevents: true", properties="compression.type: lz4", one=True) as w:
        w.send(60, pad=500)
        w.wait_complete()
        rows = w.rows()
        each_once(rows)
        in_order(rows)
        assert codecs(w.names[0]) == {3}, codecs(w.names[0])
        ids = {(m["headers"]["ce_source"], m["headers"]["ce_id"]) for m in rows}
        assert len(ids) == 120, "CloudEvents' ids are not unique"
        h = next(m["headers"] for m in rows if m["headers"]["table"] == "customers")
        assert h["ce_specversion"] == "1.0" and h["content-type"] == "application/json" and h["ce_source"] == "/sluice/acme", h
        assert h["ce_type"] == "sluice.acme.customers.upsert" and re.match(r"\d{4}-\d\d-\d\dT.*Z$", h["ce_time"]), h


@test
def broker_killed_and_nobody_else_disturbed():
    with World() as w:
        w.send(200)
        broker.kill()
        w.send(300)  # each answered 200
        w.wait_finding("Kafka does not get on: none of the brokers")
        wait(lambda: w.position("objects") == 501, "the object sink waits, too")
        assert w.position("kafka") < 501
        time.sleep(1.1)
        assert w.metric('sluice_oldest_unshipped_seconds{sink="kafka"}') > 0
        assert w.metric('sluice_oldest_unshipped_seconds{sink="objects"}') == 0
        assert w.metric('sluice_sink_lag_entries{sink="kafka"}') >= 300
        sinks = {x["sink"]: x for x in json.loads(w.s.run("status", "--json", code=1)[0])["sinks"]}
        assert not sinks["kafka"]["healthy"] and sinks["kafka"]["behind"] >= 300 and sinks["kafka"]["oldest_seconds"] >= 1, sinks
        assert sinks["objects"]["healthy"] and sinks["objects"]["behind"] == 0, sinks
        broker.start()
        w.wait_complete()
        w.wait_healthy()
        in_order(w.rows())
        wait(lambda: w.metric('sluice_sink_lag_entries{sink="kafka"}') == 0, "it lags")


def kill_while_sending(w, kills, restart_broker=False):
    stop = threading.Event()

    def push():
        i = 0
        connection = deliver.Connection(w.s.port)
        while not stop.is_set() or not w.sent:
            body = json.dumps({"id": "evt_%d" % i, "type": "customer.updated", "timestamp": "2026-11-20T00:00:00Z",
                               "data": {"id": "cus_%d" % (i % 20), "updated_at": i}}).encode()
            if connection.post(deliver.request("/in/acme", "msg_%d" % i, body)) == 200:
                w.sent.append("evt_%d" % i)
                i += 1
            else:
                time.sleep(0.02)
    pushing = threading.Thread(target=push, daemon=True)
    pushing.start()
    for k in range(kills):
        time.sleep(0.4 + 0.3 * (k % 3))
        w.s.kill()
        if restart_broker and k == kills - 2:
            broker.kill()
            w.s.start()
            time.sleep(1)
            broker.start()
        else:
            w.s.start()
    stop.set()
    pushing.join()


@test
def sluice_killed_nothing_is_missing():
    with World() as w:
        kill_while_sending(w, 4)
        w.wait_complete()


@test
def sluice_killed_exactly_once_with_transactions():
    with World(more=", transactional: true") as w:
        w.send(50)
        w.wait_complete(committed=True)
        w.sent = []
        kill_while_sending(w, 6, restart_broker=True)
        w.wait_complete(committed=True)
        rows = w.rows(committed=True)
        each_once(rows)
        in_order(rows)
        w.wait_healthy()
        # Kafka's record is the truth: an older copy in state.db doubles nothing.
        assert w.s.stop() == 0
        db = sqlite3.connect(w.s.path("data", "state.db"))
        db.execute("UPDATE positions SET next = 5 WHERE sink = 'kafka'")
        db.commit()
        db.close()
        w.s.start()
        w.connection = deliver.Connection(w.s.port)
        w.send(1)
        w.sent = w.sent[-1:]
        wait(lambda: w.position("kafka") > 5, "it does not go on")
        each_once(w.rows(committed=True))


@test
def topic_missing():
    with World(topics=("customers",)) as w:
        w.send(30)
        w.wait_finding(r"the topic %s is not there.*kafka-topics.sh .*--create --topic %s" % (w.names[1], w.names[1]))
        broker.create(w.names[1])
        w.wait_complete()
        w.wait_healthy()
        each_once(w.rows())


def too_large(more, properties, reason):
    with World(more=more, properties=properties, max_message_bytes=20000) as w:
        w.send(20)
        body = json.dumps({"id": "evt_large", "type": "customer.updated", "timestamp": "2026-11-20T00:00:00Z", "data": {
            "id": "large", "updated_at": 1, "pad": base64.b64encode(random.Random(1).randbytes(45000)).decode()}}).encode()
        assert w.connection.post(deliver.request("/in/acme", "msg_large", body)) == 200
        w.send(20)
        w.wait_complete(committed=True)
        wait(lambda: w.position("kafka") == 42, lambda: "the position is %d" % w.position("kafka"))
        dead = [json.loads(line) for line in w.s.run("dead", "list", "acme", "--json")[0].splitlines()]
        assert sorted((d["table"], d["sink"]) for d in dead) == [("customers", "kafka"), ("events", "kafka")], dead
        assert all("too large for the topic" in d["reason"] and reason in d["reason"] for d in dead), dead
        rows = w.rows(committed=True)
        each_once(rows)
        assert len(rows) == 80, len(rows)
        status = w.status()
        assert status["books"]["balanced"] and status["books"]["sources"][0]["dead"] == 0, status
        assert "dead letters" in w.findings()
        w.s.run("dead", "retry", "acme")  # too early: the letters come back
        wait(lambda: w.status()["sources"][0]["dead"] == 2, "the letters do not come back")
        for name in w.names:
            broker.configure(name, "max.message.bytes=2000000")
        if properties:
            w.s.stop()
            w.s.write("sluice.yaml", open(w.s.path("sluice.yaml")).read().replace(properties, ""))
            w.s.start()
        w.s.run("dead", "retry", "acme")
        w.sent.append("evt_large")
        w.wait_complete(committed=True)
        again = [m for m in w.rows(committed=True) if m["headers"]["event_id"] == "evt_large"]
        assert len(again) == 2 and all(m["headers"]["origin"] == "replay" for m in again), again
        assert w.status()["sources"][0]["dead"] == 0


@test
def message_too_large_for_the_topic():
    too_large("", "", "Broker: Message size too large")


@test
def message_too_large_for_the_topic_in_a_transaction():
    too_large(", transactional: true", "", "Broker: Message size too large")


@test
def message_too_large_for_the_client():
    too_large("", "message.max.bytes: 30000, batch.size: 20000", "message.max.bytes")


@test
def a_fixed_dead_letter_goes_to_kafka_too():
    """An entry that no transform could take: one letter, of the object sink; tried again it reaches both."""
    with World() as w:
        manifest = open(w.s.path("sources", "acme.yaml")).read()
        w.s.stop()
        w.s.write("sources/acme.yaml", manifest.replace("    version: updated_at\n    path: /v1/customers",
                                                        "    key: [id, nowhere]\n    path: /v1/customers"))
        w.s.start()
        w.connection = deliver.Connection(w.s.port)
        w.send(3)
        wait(lambda: w.status()["sources"][0]["dead"] == 3, "there are no letters")
        wait(lambda: len(w.rows()) == 3, "the table `events` does not arrive")  # they go on
        assert w.s.stop() == 0
        w.s.write("sources/acme.yaml", manifest)
        w.s.start()
        w.s.run("dead", "retry", "acme")
        w.wait_complete()
        rows = [m for m in w.rows() if m["headers"]["table"] == "customers"]
        assert len(rows) == 3 and all(m["headers"]["origin"] == "replay" for m in rows), rows
        assert w.status()["books"]["balanced"]


@test
def login_and_permissions_refused():
    sasl = ("security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: sluice, "
            "sasl.password: {file: ./secrets/kafka}")
    with World(brokers=broker.sasl, properties=sasl) as w:
        w.send(10)
        w.wait_finding("the brokers refuse the login: .*Invalid username or password.*sasl.password")
        w.s.write("secrets/kafka", kafka.PASSWORD)
        w.wait_finding("the brokers do not let this user write.*kafka-acls.sh")
        assert kafka.PASSWORD not in w.s.logged() and kafka.PASSWORD not in w.findings()
        broker.allow("--operation", "Write", "--operation", "Describe", "--topic", w.prefix, "--resource-pattern-type", "prefixed")
        w.wait_complete()
        w.wait_healthy()
        each_once(w.rows())


@test
def by_tls():
    """With the broker's own authority; with another one, what is wrong is said and nothing is sent."""
    with World(brokers=broker.tls, properties="security.protocol: ssl, ssl.ca.location: %s" % broker.certificate) as w:
        w.send(20)
        w.wait_complete()
        each_once(w.rows())
        w.wait_healthy()
    with World(brokers=broker.tls, properties="security.protocol: ssl, ssl.ca.location: %s" % broker.make_certificate("other")) as w:
        w.send(3)
        w.wait_finding("Kafka does not get on: .*certificate")
        assert not w.rows()


@test
def transactions_refused():
    sasl = ("security.protocol: sasl_plaintext, sasl.mechanism: PLAIN, sasl.username: sluice, "
            "sasl.password: {file: ./secrets/kafka}")
    with World(brokers=broker.sasl, properties=sasl, more=", transactional: true, positions: %s" % "tx.positions") as w:
        w.s.write("secrets/kafka", kafka.PASSWORD)
        broker.allow("--operation", "Write", "--operation", "Describe", "--topic", w.prefix, "--resource-pattern-type", "prefixed")
        w.send(5)
        w.wait_finding("the topic tx.positions, where transactions keep the position")
        broker.create("tx.positions", partitions=1)
        broker.allow("--operation", "Describe", "--operation", "Read", "--topic", "tx.positions")
        w.wait_finding("transactions; grant it: kafka-acls.sh .*--transactional-id sluice-")
        broker.allow("--operation", "Write", "--operation", "Describe", "--transactional-id", "sluice-", "--resource-pattern-type",
                     "prefixed")
        w.wait_finding("keep the position; grant it: kafka-acls.sh .*--operation Read --group sluice-")
        broker.allow("--operation", "Read", "--group", "sluice-", "--resource-pattern-type", "prefixed")
        w.wait_complete(committed=True)
        w.wait_healthy()


@test
def segments_wait_for_kafka():
    rest = "retention: {raw: 0s}\njournal: {max: 2MiB, segment: 64KiB, reserve: 0}"
    with World(rest=rest) as w:
        w.send(20)
        w.wait_complete()
        broker.kill()
        statuses = w.send(4000, pad=1000, must=None)  # until the journal is full: back-pressure by it alone
        assert statuses[503] == 1 and statuses[200] > 500, statuses
        wait(lambda: w.position("objects") == len(w.sent) + 1, "the objects wait")
        held = w.segments()
        assert held > 20, held
        broker.start()
        w.wait_complete()
        wait(lambda: w.segments() < held / 2, lambda: "%d segments are left of %d" % (w.segments(), held))
        w.connection.close()
        wait(lambda: w.send(1, must=False)[200] == 1, "it stays full")
        # A sink that is taken out of the configuration holds nothing.
        broker.kill()
        while w.send(500, pad=1000, must=None)[200] == 500:
            pass
        held = w.segments()
        w.s.stop()
        w.s.write("sluice.yaml", re.sub(r"\n  kafka: .*", "", open(w.s.path("sluice.yaml")).read()))
        w.s.start()
        wait(lambda: w.segments() < held / 2, lambda: "%d segments are left of %d" % (w.segments(), held))
        broker.start()


@test
def another_process_takes_over():
    with World(more=", transactional: true") as w:
        w.send(5)
        w.wait_complete(committed=True)
        node = w.rows()[0]["headers"]["entry"].split("/")[0]
        kafka.take_over(broker.brokers, node, "sluice.positions", "1 somebodyelse00 events=6 backfill=1 replays=1")
        w.send(5)
        w.wait_finding("another process sends to Kafka as this node")
        assert w.s.stop() == 0


@test
def a_transaction_that_the_brokers_gave_up_is_no_takeover():
    with World(more=", transactional: true") as w:
        w.send(5)
        w.wait_complete(committed=True)
        node = w.rows()[0]["headers"]["entry"].split("/")[0]
        kafka.take_over(broker.brokers, node, None, None)  # fenced, but the position is still its own
        w.send(5)
        w.wait_complete(committed=True)
        each_once(w.rows(committed=True))
        w.wait_healthy()


def send_from_several(w, n, stop):
    """Senders until `stop`; what is answered 200 goes into w.sent."""
    def push(k):
        connection, i = deliver.Connection(w.s.port), 0
        while not stop.is_set():
            event = "evt_%d_%d" % (k, i)
            body = json.dumps({"id": event, "type": "customer.updated", "timestamp": "2026-11-20T00:00:00Z",
                               "data": {"id": "cus_%d" % k, "updated_at": i}}).encode()
            try:
                status = connection.post(deliver.request("/in/acme", "msg_%d_%d" % (k, i), body))
            except OSError:
                status = 0
            if status == 200:
                w.sent.append(event)
                i += 1
    threads = [threading.Thread(target=push, args=(k,), daemon=True) for k in range(n)]
    for t in threads:
        t.start()
    return threads


def acknowledged_is_in_kafka(more):
    """Whatever becomes of Sluice's own disk."""
    with World(more=more, rest="ack: kafka") as w:
        stop = threading.Event()
        threads = send_from_several(w, 6, stop)
        wait(lambda: len(w.sent) > 300, lambda: "only %d deliveries were answered\n%s" % (len(w.sent), w.s.logged()))
        w.s.kill()
        shutil.rmtree(w.s.path("data"))
        stop.set()
        for t in threads:
            t.join()
        missing = w.missing(committed=True)
        assert not missing, "%d rows of acknowledged events are not in Kafka, such as %s" % (len(missing), missing[:3])


@test
def ack_kafka_acknowledged_is_in_kafka():
    acknowledged_is_in_kafka("")


@test
def ack_kafka_acknowledged_is_committed():
    acknowledged_is_in_kafka(", transactional: true")


@test
def ack_kafka_503_while_the_brokers_are_down():
    with World(rest="ack: kafka\nlimits: {ack: 1s}") as w:
        w.send_again_until_accepted(50)
        assert not w.missing()
        broker.kill()
        wait(lambda: w.send(1, must=False)[503] == 1, "it answers 200 without a broker")
        w.wait_finding("Kafka does not get on")
        assert w.metric("sluice_late_total") + w.metric('sluice_requests_total{source="acme",outcome="unavailable"}') > 0
        wait(lambda: not w.status()["books"]["sources"][0]["waiting"], "what came before is not staged")  # answered 503 too late
        before = w.position("objects")
        began = time.monotonic()
        assert w.send(5, must=False)[503] == 5
        assert time.monotonic() - began < 4, "whoever comes while the brokers are known to be down need not wait"
        assert w.position("objects") == before, "what was refused was stored"
        broker.start()
        wait(lambda: w.send(1, must=False)[200] == 1, "it goes on refusing")
        w.send_again_until_accepted(20)
        assert not w.missing()
        each = collections.Counter((m["headers"]["table"], m["headers"]["event_id"]) for m in w.rows())
        assert set(each.values()) == {1}, "sent again, an event is another entry: %s" % each.most_common(3)
        w.wait_healthy()
        assert w.status()["books"]["balanced"]


@test
def what_config_check_says():
    for properties, words in (("ssl.ca.location: /nowhere, security.protocol: ssl", "ssl.ca.location"),
                              ("sasl.mechanism: PLAIN, sasl.username: a, sasl.password: {env: SLUICE_NOT_SET}", "SLUICE_NOT_SET"),
                              ("max.in.flight.requests.per.connection: 10", "max.in.flight")):
        w = World(properties=properties, topics=())
        out = w.s.run("config", "check", code=2)
        assert words in out[1], out
        w.s.__exit__(None)


@contextlib.contextmanager
def own_broker():
    global broker
    with kafka.Kafka() as broker:
        yield


if __name__ == "__main__":
    why = kafka.missing()
    if why:
        print("skip kafka " + why)
        sys.exit(0)
    sys.exit(beside.main(tests, "kafka", around=own_broker))
