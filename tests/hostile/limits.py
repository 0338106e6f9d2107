#!/usr/bin/env python3
"""A server on the open internet: limits of time and of one address, proxies that are believed or not, TLS and its certificate.

Addresses of 127.0.0.0/8 stand for senders: a server on 127.0.0.1 sees whichever of them a client binds to.
"""
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import Sluice, main  # noqa: E402
import deliver  # noqa: E402
import provider  # noqa: E402

CONFIG = """
listen: 127.0.0.1:{port}
data_dir: ./data
sources:
  demo:
    secrets: [{file: ./secrets/demo}]
    config: {api_key: {file: ./secrets/key}}
staging: {objects: {url: "file://./data/staging", cut_age: 200ms}}
merge: {target: "sqlite:./data/tables.db", every: 200ms}
"""
SLOW = "limits: {head: 3s, body_time: 5s, request: 7s, idle: 4s, per_address: 64}\n"
FEW = "limits: {per_address: 4}\nproxies: [127.0.0.8/31, \"fd00::/8\"]\n"
TLS = "limits: {body: 1MiB, head: 3s, per_address: 64}\ntls: {cert: ./tls/cert.pem, key: ./tls/key.pem}\n"
GENUINE = "127.0.0.2"  # from where genuine requests come while another address attacks
number = 0


def genuine(pad=0, extra=""):
    """The bytes of one genuine request that was not there yet."""
    global number
    number += 1
    message_id = "evt_l%d" % number
    body = json.dumps({"id": message_id, "type": "customer.created", "timestamp": "2026-01-01T00:00:00Z",
                       "data": {"id": "cus_l%d" % number, "updated_at": "2026-01-01T00:00:00Z", "pad": "x" * pad}}).encode()
    raw = deliver.request("/in/demo", message_id, body)
    return raw.replace(b"Host: sluice\r\n", b"Host: sluice\r\n" + extra.encode(), 1)


def connect(server, source="127.0.0.1", timeout=15):
    s = socket.create_connection(("127.0.0.1", server.port), timeout, (source, 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def answer(s):
    """The status and head of one answer, read to its end; (0, "") when the connection just ends."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            more = s.recv(4096)
            if not more:
                return 0, ""
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        length = int((re.search(rb"(?i)content-length: *(\d+)", head) or [0, 0])[1])
        while len(rest) < length:
            rest += s.recv(4096)
    except (ConnectionResetError, BrokenPipeError):
        return 0, ""
    return int(head.split()[1]), head.decode()


def ask(s, raw):
    try:
        s.sendall(raw)
    except (ConnectionResetError, BrokenPipeError):
        pass
    return answer(s)[0]


def is_refused(s):
    """Whether the server closes this fresh connection without a word."""
    s.settimeout(3)
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True
    except socket.timeout:
        return False


def with_server(extra, files=None):
    s = Sluice(CONFIG + extra, {"secrets/demo": deliver.SECRET, "secrets/key": provider.TOKEN, **(files or {})})
    try:
        return s.start()
    except BaseException:
        s.__exit__(None)
        raise


def finish(server):
    """It is alive, its books balance, and it ends in order."""
    with connect(server, GENUINE) as s:
        assert ask(s, genuine()) == 200
    books = json.loads(server.run("status", "--json", code=None)[0])["books"]
    assert books["balanced"], books
    assert server.stop() == 0, server.logged()
    server.__exit__(None)


# ---- time ----

def drip(s, raw, start, every, limit):
    """Sends the first `start` bytes, then one every so often, until it is cut off; returns after how long, or None."""
    began = time.monotonic()
    s.sendall(raw[:start])
    s.settimeout(every)
    for at in range(start, len(raw)):
        if time.monotonic() - began > limit:
            return None
        try:
            if s.recv(1) == b"":
                return time.monotonic() - began
        except socket.timeout:
            pass
        except (ConnectionResetError, BrokenPipeError):
            return time.monotonic() - began
        try:
            s.sendall(raw[at:at + 1])
        except (ConnectionResetError, BrokenPipeError):
            return time.monotonic() - began
    return None


class Meanwhile:
    """Genuine requests from another address, on and on; each must be answered, and soon."""

    def __init__(self, server):
        self.server, self.stop, self.n, self.slowest, self.bad = server, False, 0, 0.0, []

    def work(self):
        with connect(self.server, GENUINE) as s:
            while not self.stop:
                t = time.monotonic()
                status = ask(s, genuine())
                self.slowest = max(self.slowest, time.monotonic() - t)
                self.n += 1
                if status != 200:
                    self.bad.append(status)
                    return
                time.sleep(0.05)

    def __enter__(self):
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop = True
        self.thread.join()
        assert not self.bad and self.n > 5, (self.bad, self.n)
        assert self.slowest < 2, "a genuine request took %.1f s" % self.slowest


def slow_senders_are_cut_off():
    """Each where its own limit says, not later, while genuine requests go on."""
    server = with_server(SLOW)
    raw = genuine(3000)
    head = raw.index(b"\r\n\r\n") + 4
    found = {}

    def run(name, prepare, start, every):
        with connect(server) as s:
            if prepare:
                prepare(s)
            found[name] = drip(s, raw, start, every, 12)

    def one_request_first(s):
        assert ask(s, genuine()) == 200
        time.sleep(1)

    def slow_head(s):
        """Uses 2.4 of the head's 3 seconds; the body's 5 would then end after the whole request's 7."""
        for at in range(0, head, head // 4 + 1):
            s.sendall(raw[at:min(at + head // 4 + 1, head)])
            time.sleep(0.6)

    def idle():
        with connect(server) as s:
            assert ask(s, genuine()) == 200
            began = time.monotonic()
            found["idle"] = time.monotonic() - began if s.recv(1) == b"" else None

    def whole():
        with connect(server) as s:
            began = time.monotonic()
            slow_head(s)
            s.settimeout(0.5)
            for at in range(head, len(raw)):
                try:
                    if s.recv(1) == b"":
                        break
                except socket.timeout:
                    s.sendall(raw[at:at + 1])
                except (ConnectionResetError, BrokenPipeError):
                    break
                if time.monotonic() - began > 12:
                    return
            found["whole"] = time.monotonic() - began

    threads = [threading.Thread(target=run, args=a) for a in (
        ("first byte", None, 1, 1), ("request line", None, 10, 1), ("headers", None, head // 2, 1),
        ("second request", one_request_first, 1, 1), ("second request's headers", one_request_first, 60, 1),
        ("body", None, head + 10, 1))] + [threading.Thread(target=idle), threading.Thread(target=whole)]
    with Meanwhile(server):
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    print("cut off after", {k: v and round(v, 1) for k, v in found.items()})
    for name in ("first byte", "request line", "headers", "second request", "second request's headers"):
        assert found[name] and 2 <= found[name] < 4.6, (name, found)
    assert found["body"] and 4.5 <= found["body"] < 6.6, found
    assert found["idle"] and 3 <= found["idle"] < 6.6, found
    assert found["whole"] and 6 <= found["whole"] < 8.2, found
    finish(server)


# ---- addresses ----

def one_address_has_its_limit():
    server = with_server(FEW)
    held = [connect(server, "127.0.0.3") for _ in range(4)]
    for s in held:
        assert ask(s, genuine()) == 200
    for claim in ("", "X-Forwarded-For: 203.0.113.7\r\n", "X-Forwarded-For: 127.0.0.9\r\n"):
        with connect(server, "127.0.0.3") as s:
            assert ask(s, genuine(extra=claim)) == 0, "served over the limit with %r" % claim
    with connect(server, "127.0.0.3") as s:
        assert is_refused(s)
    with connect(server, GENUINE) as s:
        assert ask(s, genuine()) == 200
    assert all(ask(s, genuine()) == 200 for s in held), "those within the limit are served on"
    held.pop().close()
    for _ in range(100):  # the place is free as soon as the server saw the end
        with connect(server, "127.0.0.3") as s:
            if ask(s, genuine()) == 200:
                break
        time.sleep(0.02)
    else:
        raise AssertionError("a closed connection counts for ever")
    for s in held:
        s.close()
    assert "too many connections open" in server.logged() and "client=127.0.0.3" in server.logged(), server.logged()
    finish(server)


def forwarded_addresses_of_proxies_count():
    server = with_server(FEW)
    proxies = ("127.0.0.8", "127.0.0.9")

    def begin(source, claim):
        """A request whose body has begun: open until the rest comes."""
        s, raw = connect(server, source), genuine(100, claim)
        s.sendall(raw[:-20])
        return s, raw[-20:]
    # A proxy's own connections have no limit, and who is forwarded has one over all proxies.
    held = [begin(proxies[i % 2], "X-Forwarded-For: 198.51.100.%d, 203.0.113.7, 127.0.0.9\r\n" % i) for i in range(4)]
    others = [begin("127.0.0.9", "X-Forwarded-For: 203.0.113.%d\r\n" % i) for i in range(20, 40)]
    time.sleep(0.5)
    over = {"the same": "X-Forwarded-For: 203.0.113.7\r\n", "with a port": "X-Forwarded-For: 203.0.113.7:4711\r\n",
            "mapped": "x-forwarded-for: ::ffff:203.0.113.7\r\n", "two headers": "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 203.0.113.7\r\n",
            "a made up one in front": "X-Forwarded-For: 203.0.113.99, 203.0.113.7\r\n"}
    for name, claim in over.items():
        with connect(server, "127.0.0.9") as s:
            s.sendall(genuine(extra=claim))
            status, head = answer(s)
            assert status == 503 and "Retry-After" in head, (name, status)
    for claim in ("X-Forwarded-For: 203.0.113.8\r\n", "X-Forwarded-For: 203.0.113.7, 203.0.113.8\r\n", "X-Forwarded-For: 127.0.0.8\r\n", ""):
        with connect(server, "127.0.0.9") as s:
            assert ask(s, genuine(extra=claim)) == 200, claim
    with connect(server, GENUINE) as s:  # no proxy: what it says is only kept
        assert ask(s, genuine(extra="X-Forwarded-For: 203.0.113.7\r\n")) == 200
    for s, rest in held + others:
        assert ask(s, rest) == 200
    with connect(server, "127.0.0.9") as s:
        for _ in range(10):
            assert ask(s, genuine(extra="X-Forwarded-For: 203.0.113.7\r\n")) == 200, "a finished request counts for ever"
    # Refusals name the client, and only a proxy can say who that is.
    time.sleep(1.1)  # such lines are limited to one a second
    for source, claim, told in (("127.0.0.9", "203.0.113.7", "203.0.113.7"), ("127.0.0.4", "203.0.113.66", "127.0.0.4")):
        with connect(server, source) as s:
            raw = genuine(extra="X-Forwarded-For: %s\r\n" % claim)
            assert ask(s, raw[:-2] + b"!" + raw[-1:]) in (400, 401)
        time.sleep(1.1)
        assert re.search(r"reason=bad_signature client=%s\s" % re.escape(told), server.logged()), server.logged()
    assert "203.0.113.66" not in server.logged()
    finish(server)


# ---- TLS ----

def make_certificate(name):
    """(certificate, key) as PEM, self-signed."""
    import tempfile
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=" + name, "-keyout", d + "/key", "-out", d + "/cert"], check=True, capture_output=True)
        with open(d + "/cert") as c, open(d + "/key") as k:
            return c.read(), k.read()


def context(version=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    if version:
        c.minimum_version = c.maximum_version = version
        c.set_ciphers("ALL:@SECLEVEL=0")
    return c


def secure(server, version=None, source="127.0.0.1"):
    s = connect(server, source)
    try:
        return context(version).wrap_socket(s)
    except BaseException:
        s.close()
        raise


def served(server):
    with secure(server) as s:
        return ssl.DER_cert_to_PEM_cert(s.getpeercert(True)).strip()


def finish_tls(server):
    with secure(server) as s:
        assert ask(s, genuine()) == 200
    assert json.loads(server.run("status", "--json", code=None)[0])["books"]["balanced"]
    assert server.stop() == 0, server.logged()
    server.__exit__(None)


def tls_takes_deliveries_and_nothing_old():
    cert, key = make_certificate("one")
    server = with_server(TLS, {"tls/cert.pem": cert, "tls/key.pem": key})
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        with secure(server, version) as s:
            assert s.version() == name
            for _ in range(5):
                assert ask(s, genuine()) == 200
            assert ask(s, genuine(300000)) == 200, "a body of many records"
            raw = genuine()
            assert ask(s, raw[:-2] + b"!" + raw[-1:]) in (400, 401)
            assert ask(s, genuine()) == 200, "the connection lives on"
    import warnings
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                secure(server, version).close()
        except (ssl.SSLError, ConnectionResetError):
            pass
        else:
            raise AssertionError("%s was accepted" % version)
    out, err, _ = server.run("send", "demo")
    assert "200" in out and "the certificate is not checked" in err, (out, err)
    out, err, _ = server.run("send", "demo", "--url", "https://127.0.0.1:%d/in/demo" % server.port, code=None)
    assert "200" not in out and "certificate" in err, (out, err)
    finish_tls(server)


def early_refusals_stay_inside_tls():
    """Too large, unknown, in the middle of a body: the answer comes as a record, never as plain text between records."""
    cert, key = make_certificate("one")
    server = with_server(TLS, {"tls/cert.pem": cert, "tls/key.pem": key})
    chunk = b"%x\r\n" % 65536 + b"y" * 65536 + b"\r\n"
    for path, head, expected in ((b"demo", b"Transfer-Encoding: chunked", 413), (b"nobody", b"Transfer-Encoding: chunked", 404),
                                 (b"demo", b"Content-Length: 104857600", 413), (b"nobody", b"Content-Length: 104857600", 404)):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with secure(server, version) as s:
                s.sendall(b"POST /in/" + path + b" HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
                s.settimeout(5)
                try:
                    for _ in range(40 if expected == 413 and b"chunked" in head else 3):
                        s.sendall(chunk)
                except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                    pass
                assert answer(s)[0] == expected, (path, head, version)
    finish_tls(server)


def no_tls_on_the_tls_port():
    cert, key = make_certificate("one")
    server = with_server(TLS, {"tls/cert.pem": cert, "tls/key.pem": key})
    for raw in (genuine(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + b"z" * 70000, os.urandom(500), b""):
        with connect(server) as s:
            try:
                s.sendall(raw)
                s.shutdown(socket.SHUT_WR)
                s.settimeout(5)
                data = s.recv(4096)
            except socket.timeout:
                raise AssertionError("a connection that cannot become TLS is kept: %r" % raw[:20])
            except OSError:
                data = b""
            assert not data.startswith(b"HTTP/"), "answered in plain text"
    with connect(server) as s:  # a handshake that drips is a head that drips
        took = drip(s, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"z" * 600, 3, 1, 10)
        assert took and took < 4.6, took
    with secure(server) as s:
        assert ask(s, genuine()) == 200
    finish_tls(server)


def a_replaced_certificate_is_taken_up():
    pairs = [make_certificate(n) for n in ("one", "two", "three")]
    server = with_server(TLS, {"tls/cert.pem": pairs[0][0], "tls/key.pem": pairs[0][1]})

    def put(cert, key):
        for name, text in (("cert.pem", cert), ("key.pem", key)):
            server.write("tls/.new", text)
            os.replace(server.path("tls", ".new"), server.path("tls", name))

    def await_served(cert):
        began = time.monotonic()
        while served(server) != cert.strip():
            assert time.monotonic() - began < 10, "not served after 10 s:\n" + server.logged()
            time.sleep(0.1)
        return time.monotonic() - began

    def warned():
        with open(server.path("serve.log")) as f:
            return f.read().count("the replaced certificate is not taken up")
    assert served(server) == pairs[0][0].strip()
    with secure(server) as old, secure(server) as busy:
        assert ask(old, genuine()) == 200
        put(*pairs[1])
        began = time.monotonic()
        while served(server) != pairs[1][0].strip():
            assert time.monotonic() - began < 10, "not served after 10 s:\n" + server.logged()
            assert ask(busy, genuine()) == 200
        print("the new certificate was served after %.1f s" % (time.monotonic() - began))
        assert ask(old, genuine()) == 200 and ask(busy, genuine()) == 200, "open connections go on"
        # What is broken changes nothing, and is told once.
        for n, (cert, key) in enumerate((("no certificate\n", pairs[1][1]), (pairs[2][0], pairs[1][1]), (pairs[1][0], "")), 1):
            put(cert, key)
            end = time.monotonic() + 12
            while warned() < n and time.monotonic() < end:
                assert served(server) == pairs[1][0].strip()
                time.sleep(0.3)
            time.sleep(2.5)
            assert warned() == n, "%d warnings, not %d:\n%s" % (warned(), n, server.logged())
            assert served(server) == pairs[1][0].strip()
            assert ask(old, genuine()) == 200
        os.unlink(server.path("tls", "key.pem"))
        time.sleep(5)
        assert served(server) == pairs[1][0].strip() and warned() == 4, server.logged()
        put(*pairs[2])
        await_served(pairs[2][0])
        assert ask(old, genuine()) == 200
    with open(server.path("serve.log")) as f:
        assert "PRIVATE KEY" not in f.read()
    finish_tls(server)


def a_wrong_certificate_is_told_at_the_start():
    one, two = make_certificate("one"), make_certificate("two")
    s = Sluice(CONFIG + TLS, {"secrets/demo": deliver.SECRET, "secrets/key": provider.TOKEN, "tls/cert.pem": one[0], "tls/key.pem": two[1]})
    with s:
        _, err, code = s.run("serve", code=None)
        assert code == 2 and "tls/cert.pem" in err and "PRIVATE" not in err, (code, err)
        s.write("tls/key.pem", one[1])
        os.chmod(s.path("tls", "key.pem"), 0o644)
        out, err, _ = s.run("config", "check", code=None)
        assert "chmod 600 " + s.path("tls", "key.pem") in out + err, out + err
        os.unlink(s.path("tls", "key.pem"))
        out, err, _ = s.run("config", "check", code=None)
        assert "tls.key: cannot read" in out + err, out + err
        _, err, code = s.run("serve", code=None)
        assert code == 2 and "tls/key.pem" in err, (code, err)


if __name__ == "__main__":
    sys.exit(main([slow_senders_are_cut_off, one_address_has_its_limit, forwarded_addresses_of_proxies_count,
                   tls_takes_deliveries_and_nothing_old, early_refusals_stay_inside_tls, no_tls_on_the_tls_port,
                   a_replaced_certificate_is_taken_up, a_wrong_certificate_is_told_at_the_start], "limits"))
