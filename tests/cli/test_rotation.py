#!/usr/bin/env python3
"""Rotation of secrets under load, by each way: the provider's call with a chosen secret and with one that it makes, a second endpoint,
a person. Both secrets are in flight; no genuine request may be refused, no forged one accepted; what was killed goes on."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import random
import select
import signal
import socket
import stat
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sluice import Sluice, free_port, main  # noqa: E402
import manage  # noqa: E402
import test_webhook as webhook  # noqa: E402

SEED = int(os.environ.get("SEED", "11"))


def mac(secret, text, digest="sha256"):
    return hmac.new(secret.encode(), text, digest)


def github(secret, body, n):
    return {"X-Hub-Signature-256": "sha256=" + mac(secret, body).hexdigest(), "X-GitHub-Event": "push", "X-GitHub-Delivery": "g%d" % n}


def stripe(secret, body, n):
    t = int(time.time())
    return {"Stripe-Signature": "t=%d,v1=%s" % (t, mac(secret, b"%d." % t + body).hexdigest())}


def calendly(secret, body, n):
    t = int(time.time())
    return {"Calendly-Webhook-Signature": "t=%d,v1=%s" % (t, mac(secret, b"%d." % t + body).hexdigest())}


def zendesk(secret, body, n):
    t = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"X-Zendesk-Webhook-Signature-Timestamp": t, "X-Zendesk-Webhook-Signature": base64.b64encode(mac(secret, t.encode() + body).digest()).decode()}


def bitbucket(secret, body, n):
    return {"X-Hub-Signature": "sha256=" + mac(secret, body).hexdigest(), "X-Request-UUID": "b%d" % n, "X-Event-Key": "repo:push"}


def slack(secret, body, n):
    t = int(time.time())
    return {"X-Slack-Request-Timestamp": str(t), "X-Slack-Signature": "v0=" + mac(secret, b"v0:%d:" % t + body).hexdigest()}


def event(n):
    return json.dumps({"id": "evt_%d" % n, "event_id": "Ev%d" % n, "type": "event_callback", "created": int(time.time()), "livemode": True, "api_version": "2026-07-29", "team_id": "T",
                       "event": {"type": "message"}, "data": {"object": {"id": "x%d" % n, "object": "thing"}}}).encode()


class Load:
    """Deliveries at full speed: each event by every endpoint that the provider has, signed with what it signs with at that moment;
    what is not answered with 2xx but 503 is sent again, as providers do. Beside them forged ones."""

    def __init__(self, port, sign, secrets):
        self.port, self.sign, self.secrets = port, sign, secrets  # secrets(): those that sign now
        self.stopping, self.n, self.lock = False, 0, threading.Lock()
        self.sent = self.again = self.forged = 0
        self.refused, self.taken_forged, self.used = [], [], set()
        self.threads = [threading.Thread(target=self.send), threading.Thread(target=self.send), threading.Thread(target=self.send), threading.Thread(target=self.forge)]

    def next(self):
        with self.lock:
            self.n += 1
            return self.n

    def post(self, connection, body, headers):
        try:
            connection.request("POST", "/in/s", body, dict(headers, **{"Content-Type": "application/json"}))
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            connection.close()
            return 0

    def send(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.stopping:
            n = self.next()
            body = event(n)
            for secret in self.secrets():
                while True:  # until it is taken: a delivery is signed once, and may be old when it arrives
                    status = self.post(connection, body, self.sign(secret, body, n))
                    if 200 <= status < 300:
                        self.used.add(secret)
                        self.sent += 1
                        break
                    if status not in (0, 503):
                        self.refused.append((status, secret, n))
                        break
                    self.again += 1
                    time.sleep(0.05)
        connection.close()

    def forge(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        r = random.Random(SEED)
        while not self.stopping:
            n = self.next() + 10 ** 9
            body = event(n)
            status = self.post(connection, body, self.sign("forged-%030x" % r.getrandbits(120), body, n))
            self.forged += 1
            if 200 <= status < 300:
                self.taken_forged.append(n)
            time.sleep(0.002)
        connection.close()

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stopping = True
        for t in self.threads:
            t.join()

    def settle(self, seconds=0.7):
        time.sleep(seconds)

    def judge(self, seconds=None):
        assert not self.refused, ("genuine ones were refused", len(self.refused), self.refused[:3], self.sent)
        assert not self.taken_forged, self.taken_forged[:3]
        assert self.sent > 200 and self.forged > 50, (self.sent, self.forged)


def secret_files(s):
    names = sorted(os.listdir(s.path("secrets")))
    return [n for n in names if n.startswith("signing")]


def rotated(s, m, load, old, new, said):
    assert old != new and webhook.stored(s) == new, (old, new)
    assert secret_files(s) == ["signing"] and stat.S_IMODE(os.stat(s.path("secrets", "signing")).st_mode) == 0o600
    assert {old, new} <= load.used, "both were in flight"
    for text in said:
        assert old not in text and new not in text
    assert old not in s.logged() and new not in s.logged()
    states = [json.loads(line)["state"] for line in s.run("secret", "list", "s", "--json")[0].splitlines()]
    assert states == ["active"], states
    connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20)
    body = event(10 ** 6)
    assert load.post(connection, body, load.sign(old, body, 10 ** 6)) in (400, 401), "the old one is retired"
    assert load.post(connection, body, load.sign(new, body, 10 ** 6)) == 200
    connection.close()


def by_calls(name, sign):
    with manage.Manage(name) as m, webhook.instance(name, m.base) as s:
        s.start()
        webhook.run(m, s, "webhook", "register", "s")
        first = [e.id for e in m.endpoints]
        old = m.endpoints[0].secret
        m.before_answer = lambda verb, e: time.sleep(0.5) if verb in ("roll", "create", "update") else None  # it signs with it before its answer is here
        with Load(s.port, sign, lambda: [e.secret for e in m.endpoints]) as load:
            load.settle()
            said = webhook.run(m, s, "secret", "rotate", "s", "--unused", "1s")
            load.settle()
        load.judge()
        new = m.endpoints[0].secret
        rotated(s, m, load, old, new, said)
        assert len(m.endpoints) == 1 and (m.p["way"] == "call") == ([e.id for e in m.endpoints] == first)
        assert load.again == 0, "a chosen secret verifies before the provider has it; for one that the provider makes deliveries are held"
        print("    %s: %d genuine, %d forged" % (name, load.sent, load.forged))
        calls = list(m.calls)
        webhook.run(m, s, "webhook", "register", "s")
        assert m.calls == calls, "what was rotated is as it should be"
        assert s.stop() == 0


def by_a_call_with_a_chosen_secret():
    by_calls("github", github)


def by_an_update():
    by_calls("bitbucket", bitbucket)


def by_a_call_that_makes_the_secret():
    by_calls("zendesk", zendesk)


def by_a_second_endpoint():
    by_calls("stripe", stripe)


def by_a_second_endpoint_with_a_chosen_secret():
    by_calls("calendly", calendly)


def by_a_person():
    old, new = "8f742231b10e8888abcd99yyyzzz85a5", "1a2b3c4d5e6f778899aabbccddeeff00"
    now = [old]
    text = ("listen: 127.0.0.1:{port}\ndata_dir: ./data\npublic_url: https://hooks.example\nsources:\n  s:\n    manifest: slack\n    secrets: [{file: ./secrets/signing}]\n"
            "    config: {token: {file: ./secrets/token}}\n")
    with Sluice(text, {"secrets/token": "xoxb-1", "secrets/signing": old}) as s:
        s.start()
        with Load(s.port, slack, lambda: [now[0]]) as load:
            load.settle()
            out, err, _ = s.run("secret", "rotate", "s", code=3)
            assert "api.slack.com" in out and "--from FILE" in err, (out, err)
            now[0] = new  # the person clicks: there is no overlap
            load.settle(1)
            said = s.run("secret", "rotate", "s", "--from", "-", "--unused", "1s", input=new + "\n")
            load.settle()
        load.judge()
        assert load.again == 0, "what the new secret signs is held until it is here"
        rotated(s, None, load, old, new, said[:2])


def by_a_replaced_file():
    """Somebody else replaces the file; it is noticed by itself, by SIGHUP, by the admin API. The old one is still in flight."""
    old, new = "8f742231b10e8888abcd99yyyzzz85a5", "1a2b3c4d5e6f778899aabbccddeeff00"
    for way in ("itself", "SIGHUP", "api"):
        admin = free_port()
        text = ("listen: 127.0.0.1:{port}\nadmin: {listen: 127.0.0.1:%d, token_file: ./secrets/admin}\ndata_dir: ./data\nsources:\n  s:\n"
                "    manifest: slack\n    secrets: [{file: ./secrets/signing}]\n    config: {token: {file: ./secrets/token}}\n" % admin)
        with Sluice(text, {"secrets/token": "xoxb-1", "secrets/admin": "an-admin-token", "secrets/signing": old}) as s:
            s.start()
            now = [[old]]
            with Load(s.port, slack, lambda: list(now[0])) as load:
                load.settle()
                s.write("secrets/next", new)
                os.rename(s.path("secrets", "next"), s.path("secrets", "signing"))
                began = time.monotonic()
                if way == "SIGHUP":
                    s.server.send_signal(signal.SIGHUP)
                if way == "api":
                    request = urllib.request.Request("http://127.0.0.1:%d/api/v1/secrets/refresh" % admin, method="POST",
                                                     headers={"Authorization": "Bearer an-admin-token"})
                    assert urllib.request.urlopen(request, timeout=10).status == 200
                while ("the configuration was reloaded" if way == "SIGHUP" else "replaced secrets are in use") not in s.logged():
                    assert way != "api" and time.monotonic() - began < 10, way
                    time.sleep(0.005)
                now[0] = [old, new]
                load.settle()
                now[0] = [new]
                load.settle()
            load.judge()
            assert load.again == 0 and load.used == {old, new}
            assert s.stop() == 0


def readable(connections, n, seconds):
    """Those with an answer, as soon as there are n, or the time is up."""
    poll, end, found = select.poll(), time.monotonic() + seconds, set()
    for c in connections:
        poll.register(c, select.POLLIN)
    while len(found) < n and time.monotonic() < end:
        for fd, _ in poll.poll(50):
            found.add(fd)
            poll.unregister(fd)
    return found


def held_for_a_moment_only():
    """Nobody is held for longer than three seconds, nor beside too many others, nor over the server's end."""
    old, new = "8f742231b10e8888abcd99yyyzzz85a5", "1a2b3c4d5e6f778899aabbccddeeff00"
    text = ("listen: 127.0.0.1:{port}\ndata_dir: ./data\nlimits: {per_address: 0}\nsources:\n  s:\n    manifest: slack\n"
            "    secrets: [{file: ./secrets/signing}]\n    config: {token: {file: ./secrets/token}}\n")
    with Sluice(text, {"secrets/token": "xoxb-1", "secrets/signing": old}) as s:
        s.start()

        def post(secret, n, body=None):
            connection, body = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20), body or event(n)
            began = time.monotonic()
            connection.request("POST", "/in/s", body, dict(slack(secret, body, n), **{"Content-Type": "application/json"}))
            status = connection.getresponse().status
            connection.close()
            return status, time.monotonic() - began

        assert post(new, 1)[0] == 401
        s.run("secret", "rotate", "s", code=3)
        status, took = post(new, 2)
        assert status == 503 and 2.5 < took < 8, (status, took)
        assert post(old, 3)[0] == 200
        # 512 at most, the others are told at once; who has a secret that is known is not kept waiting by them
        raw = []
        for n in range(600):
            body = event(n)
            head = "".join("%s: %s\r\n" % h for h in slack(new, body, n).items())
            raw.append(("POST /in/s HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n" % (head, len(body))).encode() + body)
        many = [socket.create_connection(("127.0.0.1", s.port), 20) for _ in raw]
        began = time.monotonic()
        for connection, text in zip(many, raw):
            connection.sendall(text)
        sent = time.monotonic() - began
        soon = readable(many, 88, 2.5)
        assert len(soon) == 88 or sent > 0.4, (sent, len(soon))  # a busy machine: the first ones' time is up
        assert post(old, 4)[0] == 200
        assert len(readable(many, 600, 10)) == 600
        assert {connection.recv(65536)[9:12] for connection in many} == {b"503"}
        for connection in many:
            connection.close()
        # 16 MiB at most
        big = json.dumps({"event_id": "EvBig", "type": "event_callback", "pad": "x" * 900000}).encode()
        answers = []
        many = [threading.Thread(target=lambda i=i: answers.append(post(new, i, big))) for i in range(24)]
        for t in many:
            t.start()
        for t in many:
            t.join()
        at_once = [took for status, took in answers if took < 2.5]
        assert {status for status, _ in answers} == {503} and len(at_once) >= 6, answers
        # and one whose sender goes away, and one that the server's end finds
        gone = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20)
        body = event(5)
        gone.request("POST", "/in/s", body, dict(slack(new, body, 5), **{"Content-Type": "application/json"}))
        last = threading.Thread(target=lambda: answers.append(post(new, 6)))
        last.start()
        time.sleep(0.3)
        gone.close()
        assert s.stop() == 0
        last.join()
        assert answers[-1][0] == 503 and answers[-1][1] < 2.5, answers[-1]


def what_was_stopped_goes_on():
    with manage.Manage("github") as m, webhook.instance("github", m.base) as s:
        s.start()
        webhook.run(m, s, "webhook", "register", "s")
        old = m.endpoints[0].secret
        with Load(s.port, github, lambda: [e.secret for e in m.endpoints]) as load:
            load.settle()
            said = list(webhook.run(m, s, "secret", "rotate", "s", "--no-wait", code=3))
            assert secret_files(s) == ["signing", "signing.next"]
            assert stat.S_IMODE(os.stat(s.path("secrets", "signing.next")).st_mode) == 0o600
            load.settle()
            s.kill()  # what is in flight is sent again
            s.start()
            calls = list(m.calls)
            said += webhook.run(m, s, "secret", "rotate", "s", "--unused", "1s")
            assert m.calls == calls, "the provider was moved before"
            load.settle()
        load.judge()
        rotated(s, m, load, old, m.endpoints[0].secret, said)


def no_wait_ends_at_the_first_wait():
    """Nothing is delivered: the second endpoint stays beside the first, and the same command goes on another day."""
    with manage.Manage("stripe") as m, webhook.instance("stripe", m.base) as s:
        s.start()
        webhook.run(m, s, "webhook", "register", "s")
        old = m.endpoints[0].secret
        began = time.monotonic()
        _, err = webhook.run(m, s, "secret", "rotate", "s", "--no-wait", code=3)
        assert time.monotonic() - began < 20 and "for the first delivery of the second endpoint" in err, err
        assert len(m.endpoints) == 2 and secret_files(s) == ["signing", "signing.next"]
        connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20)
        load = Load(s.port, stripe, None)
        for n, secret in enumerate((old, m.endpoints[1].secret)):
            assert load.post(connection, event(n), stripe(secret, event(n), n)) == 200
        connection.close()
        webhook.run(m, s, "secret", "rotate", "s", "--unused", "1s")
        assert len(m.endpoints) == 1 and webhook.stored(s) == m.endpoints[0].secret != old


def an_answer_that_is_lost():
    """Killed when the second endpoint was made and its secret not stored: it is found and replaced, and nothing is lost."""
    with manage.Manage("stripe") as m, webhook.instance("stripe", m.base) as s:
        s.start()
        webhook.run(m, s, "webhook", "register", "s")
        old = m.endpoints[0].secret
        m.before_answer = lambda verb, e: s.kill()
        s.run("secret", "rotate", "s", code=None)
        m.before_answer = None
        assert len(m.endpoints) == 2 and webhook.stored(s) == old and secret_files(s) == ["signing"]
        s.start()
        stray = m.endpoints[1].id
        with Load(s.port, stripe, lambda: [e.secret for e in m.endpoints if e.id != stray]) as load:
            out, _ = webhook.run(m, s, "secret", "rotate", "s", "--unused", "1s")
            load.settle()
        load.judge()
        assert "earlier try" in out and len(m.endpoints) == 1, out
        rotated(s, m, load, old, m.endpoints[0].secret, [out])


def the_grace_ends_it():
    """An old secret that goes on being used is retired when its grace is over."""
    with manage.Manage("github") as m, webhook.instance("github", m.base) as s:
        s.start()
        webhook.run(m, s, "webhook", "register", "s")
        old = m.endpoints[0].secret
        began = time.monotonic()
        with Load(s.port, github, lambda: [e.secret for e in m.endpoints] + ([old] if time.monotonic() < began + 2 else [])) as load:
            out, _ = webhook.run(m, s, "secret", "rotate", "s", "--grace", "4s")
        load.judge()
        assert "its grace is over" in out and time.monotonic() - began >= 4, out


def without_a_server():
    """Alone it goes the same way: the provider is moved, and the next start verifies with both."""
    with manage.Manage("square") as m, webhook.instance("square", m.base) as s:
        webhook.run(m, s, "webhook", "register", "s")
        old = m.endpoints[0].secret
        webhook.run(m, s, "secret", "rotate", "s", "--no-wait", code=3)
        assert webhook.stored(s) == old and m.endpoints[0].secret != old and secret_files(s) == ["signing", "signing.next"]
        listed = [json.loads(line) for line in s.run("secret", "list", "s", "--json")[0].splitlines()]
        assert len(listed) == 2, listed
        webhook.run(m, s, "secret", "rotate", "s", "--grace", "0s")
        assert webhook.stored(s) == m.endpoints[0].secret and secret_files(s) == ["signing"]


def a_state_that_was_lost():
    """Without state.db the secret to come is still the one that the provider signs with: it is kept, not chosen anew."""
    with manage.Manage("github") as m, webhook.instance("github", m.base) as s:
        s.start()
        webhook.run(m, s, "webhook", "register", "s")
        webhook.run(m, s, "secret", "rotate", "s", "--no-wait", code=3)
        new = m.endpoints[0].secret
        s.stop()
        for name in os.listdir(s.path("data")):
            if name.startswith("state.db"):
                os.unlink(s.path("data", name))
        s.start()
        webhook.run(m, s, "secret", "rotate", "s", "--grace", "0s")
        assert webhook.stored(s) == m.endpoints[0].secret == new and secret_files(s) == ["signing"]


TESTS = [by_a_call_with_a_chosen_secret, by_an_update, by_a_call_that_makes_the_secret, by_a_second_endpoint, by_a_second_endpoint_with_a_chosen_secret, by_a_person, by_a_replaced_file, held_for_a_moment_only,
         what_was_stopped_goes_on, no_wait_ends_at_the_first_wait, an_answer_that_is_lost, the_grace_ends_it, a_state_that_was_lost, without_a_server]
if __name__ == "__main__":
    sys.exit(main(TESTS, "rotation"))
