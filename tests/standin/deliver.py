"""The provider's webhook side: signs events as Standard Webhooks says and posts them, late, twice, out of order, and some never.

A delivery that is not answered with 2xx is tried again, as providers do, until `deadline`.
"""
import base64
import hashlib
import hmac
import json
import random
import socket
import threading
import time

KEY = b"the stand-in's signing key, 32 b"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def sign(message_id, timestamp, body, key=KEY):
    mac = hmac.new(key, b"%s.%d." % (message_id.encode(), timestamp) + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(mac).decode()


def request(path, message_id, body, timestamp=None, signature=None, key=KEY):
    """The bytes of one signed POST."""
    timestamp = int(time.time()) if timestamp is None else timestamp
    if signature is None:
        signature = sign(message_id, timestamp, body, key)
    head = ("POST %s HTTP/1.1\r\nHost: sluice\r\nContent-Type: application/json\r\nwebhook-id: %s\r\n"
            "webhook-timestamp: %d\r\n" % (path, message_id, timestamp))
    if signature:
        head += "webhook-signature: %s\r\n" % signature
    return (head + "Content-Length: %d\r\n\r\n" % len(body)).encode() + body


class Connection:
    """One keep-alive connection that answers status codes; reconnects by itself."""

    def __init__(self, port):
        self.port, self.sock, self.rest = port, None, b""

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock, self.rest = None, b""

    def post(self, raw):
        """The status, or 0 when the connection failed."""
        try:
            if not self.sock:
                self.sock = socket.create_connection(("127.0.0.1", self.port), 5)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sock.settimeout(10)
            self.sock.sendall(raw)
            return self._status()
        except OSError:
            self.close()
            return 0

    def _status(self):
        data = self.rest
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(65536)
            if not more:
                raise OSError("closed")
            data += more
        head, _, data = data.partition(b"\r\n\r\n")
        length, close = 0, False
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            if name.lower() == b"connection" and value.strip().lower() == b"close":
                close = True
        while len(data) < length:
            more = self.sock.recv(65536)
            if not more:
                raise OSError("closed")
            data += more
        self.rest = data[length:]
        if close:
            self.close()
        return int(head.split()[1])


class Deliverer:
    """Posts the events of a history. Counts what the endpoint answered."""

    def __init__(self, port, path, seed, never=0.05, twice=0.10, late=40, forged=0.03):
        self.port, self.path = port, path
        self.random = random.Random(seed)
        self.never, self.twice, self.late, self.forged = never, twice, late, forged
        self.lock = threading.Lock()
        self.sent = self.accepted = self.repeated = self.forgeries = self.tries = 0
        self.refused = {}        # status -> forged requests answered so
        self.forged_accepted = 0
        self.withheld = 0

    def plan(self, changes):
        """The deliveries in the order in which they are posted: (place, raw body, id, kind)."""
        rnd, out = self.random, []
        for i, change in enumerate(changes):
            body = json.dumps(change.event, ensure_ascii=False, separators=(",", ":")).encode()
            place = i + (rnd.random() * self.late if rnd.random() < 0.5 else 0)
            if rnd.random() < self.never:
                self.withheld += 1
                continue
            out.append((place, change.event["id"], body, "genuine"))
            if rnd.random() < self.twice:
                out.append((place + 1 + rnd.random() * self.late, change.event["id"], body, "again"))
            if rnd.random() < self.forged:
                out.append((place, change.event["id"], body, rnd.choice(("forged", "unsigned", "old", "altered"))))
        out.sort(key=lambda d: d[0])
        return out

    def raw(self, message_id, body, kind):
        if kind == "forged":
            return request(self.path, message_id, body, key=b"somebody else's key")
        if kind == "unsigned":
            return request(self.path, message_id, body, signature="")
        if kind == "old":
            return request(self.path, message_id, body, timestamp=int(time.time()) - 4000)
        if kind == "altered":
            now = int(time.time())
            return request(self.path, message_id, body.replace(b'"id"', b'"Id"', 1), now, sign(message_id, now, body))
        return request(self.path, message_id, body)

    def one(self, connection, message_id, body, kind, deadline):
        genuine = kind in ("genuine", "again")
        while time.monotonic() < deadline:
            with self.lock:
                self.tries += 1
            status = connection.post(self.raw(message_id, body, kind))
            if not genuine and status and status != 503:
                with self.lock:
                    self.forgeries += 1
                    self.refused[status] = self.refused.get(status, 0) + 1
                    self.forged_accepted += 200 <= status < 300
                return True
            if 200 <= status < 300:
                with self.lock:
                    self.sent += 1
                    self.accepted += kind == "genuine"
                    self.repeated += kind == "again"
                return True
            time.sleep(0.02)
        return False

    def run(self, deliveries, connections=8, seconds=120, upto=None):
        """Posts all of them over several connections at once; True when every genuine one was answered 2xx. `upto`: a
        function that is told how many of the changes must have happened before this delivery."""
        deadline = time.monotonic() + seconds
        queue = iter(deliveries)
        failed = []

        def work():
            connection = Connection(self.port)
            while True:
                with self.lock:
                    item = next(queue, None)
                if item is None:
                    break
                place, message_id, body, kind = item
                if upto:
                    upto(int(message_id.split("_")[1]) + 1)
                if not self.one(connection, message_id, body, kind, deadline):
                    failed.append(message_id)
            connection.close()

        threads = [threading.Thread(target=work, daemon=True) for _ in range(connections)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return not failed
