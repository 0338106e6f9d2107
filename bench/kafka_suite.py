"""The Kafka sink beside librdkafka's producer alone, against Apache Kafka on the same machine: the same messages, the same settings,
in turn. Both are timed from outside, by the topic's end: from the first messages in it until the last."""
import ctypes
import json
import os
import sqlite3
import struct
import subprocess
import sys
import threading
import time

from harness import ROOT, BenchError, Sluice, at_least, requests_file, row, run, say

sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
SAMPLE = 4000  # messages that the bare producer repeats
# What the sink sets (staging/kafka/settings.c).
SETTINGS = {"enable.idempotence": "true", "acks": "all", "compression.type": "zstd", "partitioner": "murmur2_random",
            "queue.buffering.max.kbytes": "65536", "message.timeout.ms": "0"}


class Ends:
    """How many messages a topic has, asked over and over."""

    def __init__(self, kafka, brokers, topic, partitions):
        self.lib = kafka._library()
        self.rk = kafka._client(self.lib, brokers)
        self.topic, self.partitions = topic.encode(), partitions

    def total(self):
        low, high, n = ctypes.c_int64(), ctypes.c_int64(), 0
        for p in range(self.partitions):
            if self.lib.rd_kafka_query_watermark_offsets(self.rk, self.topic, p, ctypes.byref(low), ctypes.byref(high), 10000):
                return 0
            n += high.value
        return n

    def rate(self, messages, seconds=300):
        end, first = time.monotonic() + seconds, None
        while time.monotonic() < end:
            n, now = self.total(), time.monotonic()
            if n and not first:
                first = (now, n)
            if n >= messages:
                return (n - first[1]) / max(1e-6, now - first[0])
            time.sleep(0.01)
        raise BenchError("only %d of %d messages arrived" % (self.total(), messages))

    def close(self):
        self.lib.rd_kafka_destroy(self.rk)


def add_kafka(s, brokers, topic):
    with open(s.path("sluice.yaml")) as f:
        text = f.read()
    at = text.index("staging: {objects:")
    with open(s.path("sluice.yaml"), "w") as f:
        f.write(text[:at] + text[at:].split("}}", 1)[0] .split(", kafka:")[0].rstrip("}") +
                "}, kafka: {brokers: \"%s\", topic: \"%s\"}}" % (brokers, topic) + text[at:].split("}}", 1)[1])


def forget_position(s):
    db = sqlite3.connect(s.path("data", "state.db"))
    db.execute("DELETE FROM positions WHERE sink = 'kafka'")
    db.commit()
    db.close()


def wait_staged(s, entries):
    end = time.monotonic() + 600
    while time.monotonic() < end:
        books = s.books()
        if books["staged"] + books["ignored"] + books["dead"] >= entries and not books["waiting"] and not books["rows_waiting"]:
            return books["rows_staged"]
        time.sleep(0.5)
    raise BenchError("the entries are not staged and merged in time: %s" % books)


def sluice_round(kafka, broker, s, topic, messages):
    broker.create(topic)
    forget_position(s)
    add_kafka(s, broker.brokers, topic)
    ends = Ends(kafka, broker.brokers, topic, 3)
    try:
        s.start()
        rate = ends.rate(messages)
        out = {"rate": rate, "cpu_us_each": s.server.cpu_s() * 1e6 / messages, "threads": s.server.threads_cpu_s()[:6]}
    finally:
        ends.close()
        s.server.stop()
    return out


def bare_round(kafka, broker, path, topic, messages):
    broker.create(topic)
    ends, got = Ends(kafka, broker.brokers, topic, 3), {}
    settings = ",".join("%s=%s" % x for x in {"bootstrap.servers": broker.brokers, **SETTINGS}.items())

    def work():
        got.update(run("kafka_loop", messages=path, topic=topic, settings=settings, count=messages))
    worker = threading.Thread(target=work)
    worker.start()
    try:
        got["rate"] = ends.rate(messages)
    finally:
        worker.join()
        ends.close()
    return got


def keep_messages(broker, topic, path):
    """A sample of what the sink sent, for the bare producer."""
    lines = subprocess.run(["kcat", "-b", broker.brokers, "-C", "-t", topic, "-o", "beginning", "-c", str(SAMPLE), "-q", "-J"],
                           capture_output=True, check=True).stdout.splitlines()

    def text(s):
        data = s.encode()
        return struct.pack("<I", len(data)) + data
    with open(path, "wb") as f:
        f.write(struct.pack("<I", len(lines)))
        for line in lines:
            m = json.loads(line)
            headers = m["headers"]
            f.write(struct.pack("<I", len(headers) // 2) + b"".join(text(h) for h in headers) + text(m["key"]) + text(m["payload"]))


def kafka_bench(quick, raw, sizes, rounds):
    import kafka
    why = kafka.missing()
    if why:
        raise BenchError(why)
    entries, out = 10000 if quick else 30000, []
    with kafka.Kafka() as broker, Sluice(cut_age="1s") as s:
        say("  kafka: %d entries are journalled, staged and merged" % entries)
        run("journal_loop", dir=s.path("data", "journal"), requests=requests_file("github"), ms=0, count=entries, in_flight=1024)
        s.start()
        messages = wait_staged(s, entries)
        s.server.stop()
        say("  kafka: %d messages" % messages)
        path = s.path("messages")
        sluice_round(kafka, broker, s, "warm", messages)
        keep_messages(broker, "warm", path)
        for i in range(rounds):
            sides = [("sluice", lambda t: sluice_round(kafka, broker, s, t, messages)),
                     ("bare", lambda t: bare_round(kafka, broker, path, t, messages))]
            one = {}
            for name, side in sides if i % 2 else reversed(sides):
                one[name] = side("%s-%d" % (name, i))
            out.append(one)
    raw["rounds"], raw["messages"] = out, messages
    return [at_least("kafka", "through the sink, against librdkafka alone", "messages/s", [r["bare"]["rate"] for r in out],
                     [r["sluice"]["rate"] for r in out], 0.9),
            row("kafka", "processor time each", "µs", [r["bare"]["cpu_us_each"] for r in out], [r["sluice"]["cpu_us_each"] for r in out])]
