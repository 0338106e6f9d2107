#!/usr/bin/env python3
"""A hostile round against a running server, after which it must be healthy and its memory flat.

Every function is one attack; after each the server must still accept a genuine event at once.
"""
import json
import os
import random
import resource
import select
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import BINARY, Sluice, main  # noqa: E402
import deliver  # noqa: E402
import provider  # noqa: E402

# A sanitizer keeps what was freed for a while, so its memory says nothing of ours: that is measured without.
SANITIZED = "asan" in BINARY or "tsan" in BINARY

CONFIG = """
listen: 127.0.0.1:{port}
data_dir: ./data
sources:
  demo:
    secrets: [{file: ./secrets/demo}]
    config: {api_key: {file: ./secrets/key}}
staging: {objects: {url: "file://./data/staging", cut_age: 200ms}}
merge: {target: "sqlite:./data/tables.db", every: 200ms}
limits: {body: 1MiB, idle: 2s, request: 4s, connections: 2048, per_address: 0}
"""
server = None
number = 0


def event(pad=0):
    global number
    number += 1
    return "evt_h%d" % number, json.dumps({"id": "evt_h%d" % number, "type": "customer.created", "timestamp": "2026-01-01T00:00:00Z",
                                           "data": {"id": "cus_h%d" % number, "updated_at": "2026-01-01T00:00:00Z", "pad": "x" * pad}}).encode()


def connect(timeout=10):
    s = socket.create_connection(("127.0.0.1", server.port), timeout)
    s.settimeout(timeout)
    return s


def answer(s):
    """The status of what comes back; 0 when the connection just closes."""
    data = b""
    while b"\r\n" not in data:
        try:
            more = s.recv(65536)
        except ConnectionResetError:
            return 0
        if not more:
            return 0
        data += more
    return int(data.split()[1])


def send(raw, expected, timeout=10):
    with connect(timeout) as s:
        try:
            s.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass
        status = answer(s)
    assert status in expected, "answered %d, expected one of %s, to %r…" % (status, expected, raw[:120])


def healthy():
    message_id, body = event()
    send(deliver.request("/in/demo", message_id, body), (200,))
    assert server.server.poll() is None, "the server ended:\n" + server.logged()


def no_body():
    send(b"POST /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", (400, 401))
    send(b"POST /in/demo HTTP/1.1\r\nHost: x\r\n\r\n", (400, 401, 411))
    healthy()


def hundred_megabytes():
    head = b"POST /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (100 << 20)
    send(head, (413,))
    # The same without a length, in chunks: cut off at the first byte over the limit, not after 100 MB.
    sent = 0
    with connect() as s:
        s.sendall(b"POST /in/demo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"%x\r\n" % 65536 + b"y" * 65536 + b"\r\n"
        try:
            while sent < 100 << 20:
                readable, _, _ = select.select([s], [], [], 0)
                if readable:
                    break
                s.sendall(chunk)
                sent += 65536
        except (BrokenPipeError, ConnectionResetError):
            pass
        status = answer(s)
    assert status in (413, 0), status
    assert sent < 64 << 20, "took %d bytes before refusing" % sent
    healthy()


def binary_body():
    raw = bytes(random.Random(1).randrange(256) for _ in range(5000))
    send(deliver.request("/in/demo", "evt_bin", raw), (200,))  # genuine: kept, though no table can take it
    send(deliver.request("/in/demo", "evt_bin2", raw, signature="v1,AAAA"), (400, 401))
    healthy()


def wrong_method():
    for method in (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"BREW"):
        send(method + b" /in/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", (405, 400, 501))
    healthy()


def unknown_source():
    for path in (b"/in/nobody", b"/", b"/in/", b"/in/demo/x", b"/in/../demo", b"/in/%64emo", b"/admin", b"/in/" + b"a" * 3000):
        send(b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", (404, 414, 400))
    healthy()


def half_requests():
    message_id, body = event(2000)
    raw = deliver.request("/in/demo", message_id, body)
    for cut in list(range(1, 400, 13)) + [len(raw) // 2, len(raw) - 1]:
        with connect() as s:
            s.sendall(raw[:cut])
    healthy()
    out, _, _ = server.run("events", "list", "demo", "-n", "100000", "--json")
    assert message_id not in out, "half a request became an entry"


def ambiguous_framing():
    body = b"{}"
    for extra in (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: 2\r\nContent-Length: 3\r\n",
                  b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: 2x\r\n"):
        send(b"POST /in/demo HTTP/1.1\r\nHost: x\r\n" + extra + b"\r\n" + body, (400, 413))
    send(b"POST /in/demo HTTP/1.1\r\nHost: x\r\nwebhook-id: a\x00b\r\nContent-Length: 2\r\n\r\n{}", (400, 401))
    healthy()


def odd_headers():
    """Genuine requests with a line more, or one spelled so that two readers may understand it differently: none is taken."""
    head = b"Host: sluice\r\n"
    extra = {"signature before the genuine one": b"webhook-signature: v1,AAAA\r\n", "id twice": b"webhook-id: evt_other\r\n",
             "time twice": b"webhook-timestamp: 1\r\n", "host twice": b"Host: other\r\n",
             "NUL in a value": b"X-A: b\0c\r\n", "NUL at a value's end": b"X-A: b\0\r\n", "NUL in a name": b"X\0A: b\r\n",
             "bare CR in a value": b"X-A: b\rc\r\n", "bare CR before a header": b"X-A: b\rX-B: c\r\n",
             "bare CR before a length": b"X-A: b\rContent-Length: 3\r\n", "bare CR at a value's end": b"X-A: b\r\r\n",
             "bare CR before a coding": b"X-A: b\rTransfer-Encoding: chunked\r\n", "bare LF before a length": b"X-A: b\nContent-Length: 3\r\n",
             "control character": b"X-A: b\x01c\r\n", "folded line": b"X-A: b\r\n c\r\n", "space before the colon": b"X-A : b\r\n",
             "no colon": b"X-A\r\n", "length and chunked": b"Transfer-Encoding: chunked\r\n", "length and a list of codings":
             b"Transfer-Encoding: identity, chunked\r\n", "another length": b"Content-Length: 3\r\n"}
    for name, line in extra.items():
        message_id, body = event()
        try:
            send(deliver.request("/in/demo", message_id, body).replace(head, head + line, 1), (400, 401))
        except AssertionError as e:
            raise AssertionError("%s: %s" % (name, e))
    for name in (b"webhook-signature", b"Content-Length"):  # the very same line again
        message_id, body = event()
        raw = deliver.request("/in/demo", message_id, body)
        line = next(x for x in raw.split(b"\r\n") if x.startswith(name + b":"))
        send(raw.replace(head, head + line + b"\r\n", 1), (400, 401))
    healthy()


def many_and_large_headers():
    message_id, body = event()
    flood = b"".join(b"X-%d: y\r\n" % i for i in range(5000))
    send(b"POST /in/demo HTTP/1.1\r\nHost: x\r\n" + flood + b"Content-Length: 2\r\n\r\n{}", (400, 401, 413, 431, 0))
    send(b"POST /in/demo HTTP/1.1\r\nHost: x\r\nX: " + b"y" * (1 << 20) + b"\r\nContent-Length: 2\r\n\r\n{}", (400, 413, 431, 0))
    del message_id, body
    healthy()


def garbage():
    rnd = random.Random(7)
    for _ in range(200):
        raw = bytes(rnd.randrange(256) for _ in range(rnd.randint(1, 300)))
        with connect() as s:
            s.sendall(raw + b"\r\n\r\n")
            s.settimeout(0.02)
            try:
                s.recv(4096)
            except OSError:
                pass
    # Genuine requests with a bit flipped in what is signed (id, time, body) or in the signature: never accepted.
    message_id, body = event()
    raw = deliver.request("/in/demo", message_id, body)
    signed = list(range(len(raw) - len(body), len(raw)))
    for name in (b"webhook-id: ", b"webhook-timestamp: ", b"webhook-signature: "):
        start = raw.index(name) + len(name)
        signed += range(start, raw.index(b"\r\n", start))
    for _ in range(400):
        at = rnd.choice(signed)
        broken = raw[:at] + bytes([raw[at] ^ (1 << rnd.randrange(8))]) + raw[at + 1:]
        with connect() as s:
            s.settimeout(0.5)
            s.sendall(broken)
            try:
                status = answer(s)
            except OSError:
                status = 0  # waits for more body than there is
        assert status != 200, "accepted with byte %d altered: %r" % (at, broken)
    healthy()


def a_thousand_slow_clients():
    """1,000 clients that drip their request a byte at a time are cut off in the end and harm nobody meanwhile."""
    message_id, body = event(500)
    raw = deliver.request("/in/demo", message_id, body)
    before = server.rss_kib()
    clients = []
    for i in range(1000):
        s = connect()
        s.setblocking(False)
        s.send(raw[:40])
        clients.append(s)
    began, at, slowest = time.monotonic(), 40, 0.0
    while time.monotonic() - began < 9:
        for s in clients:
            try:
                s.send(raw[at:at + 1])
            except (BrokenPipeError, ConnectionResetError, BlockingIOError, OSError):
                pass
        at += 1
        t = time.monotonic()
        healthy()
        slowest = max(slowest, time.monotonic() - t)
    gone = 0
    for s in clients:
        try:
            gone += s.recv(4096)[:5] in (b"", b"HTTP/")
        except (ConnectionResetError, BrokenPipeError):
            gone += 1
        except BlockingIOError:
            pass
        s.close()
    grown = server.rss_kib() - before
    print("slow clients cut off: %d of 1000; slowest genuine request meanwhile %.0f ms; memory %+d KiB" % (gone, slowest * 1000, grown))
    assert gone == 1000, "%d slow clients were never cut off" % (1000 - gone)
    assert slowest < 2, "a genuine request took %.1f s" % slowest
    assert SANITIZED or grown < 96 * 1024, "memory grew by %d KiB" % grown
    healthy()


def memory_stays_flat():
    """The same work again and again must not cost more memory each time."""
    connection = deliver.Connection(server.port)

    def work(n):
        for _ in range(n):
            message_id, body = event(1000)
            assert connection.post(deliver.request("/in/demo", message_id, body)) == 200
            connection.post(deliver.request("/in/demo", message_id, body, signature="v1,AAAA"))
    work(12000)  # caches have their sizes now
    time.sleep(1.5)
    before = server.rss_kib()
    work(9000)
    time.sleep(1.5)
    grown = server.rss_kib() - before
    print("memory after 12,000 events %d KiB, after 21,000 %+d KiB" % (before, grown))
    assert SANITIZED or grown < 8 * 1024, "grew by %d KiB over 9,000 more events" % grown


def books_still_balance():
    server.run("merge")
    books = json.loads(server.run("status", "--json", code=None)[0])["books"]
    assert books["balanced"], books
    assert server.stop() == 0


def run():
    global server
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    with Sluice(CONFIG, {"secrets/demo": deliver.SECRET, "secrets/key": provider.TOKEN}) as server:
        server.start()
        return main([no_body, hundred_megabytes, binary_body, wrong_method, unknown_source, half_requests, ambiguous_framing,
                     odd_headers, many_and_large_headers, garbage, a_thousand_slow_clients, memory_stays_flat, books_still_balance], "hostile")


if __name__ == "__main__":
    sys.exit(run())
