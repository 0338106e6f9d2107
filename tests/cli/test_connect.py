#!/usr/bin/env python3
"""connect, from the check to the status, stopped and gone on with, by an API and by hand; and secrets in a Kubernetes Secret."""
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from sluice import Sluice, main  # noqa: E402
import kubernetes  # noqa: E402
import manage  # noqa: E402
import test_rotation as rotation  # noqa: E402
import test_webhook as webhook  # noqa: E402

CUSTOMERS = {"object": "list", "has_more": False, "data": [{"id": "cus_%d" % i, "object": "customer", "created": 1700000000 + i} for i in range(5)]}
NOTHING = {"object": "list", "has_more": False, "data": []}


def by_the_api():
    with manage.Manage("stripe") as m:
        text = webhook.config("stripe", m.base).replace("    config:", "    tables: [customers]\n    config:")
        with Sluice(text, {"secrets/api_key": m.p["secrets"]["api_key"]}) as s:
            m.mode = "forbidden"
            out, err = webhook.run(m, s, "connect", "s", code=1)
            assert "1/4" in out and "2/4" in out and "3/4" not in out and "Webhook Endpoints: write" in err and "goes on" in err, (out, err)
            m.mode, m.lists = None, {}
            out, err, code = s.run("connect", "s", code=None)
            assert code != 0 and "3/4" in out and "4/4" not in out and len(m.endpoints) == 1, (code, out, err)
            m.lists = {"/v1/customers": CUSTOMERS, "/v1/events": NOTHING}
            out, err = webhook.run(m, s, "connect", "s")
            assert "nothing to change" in out and "4/4 status" in out and len(m.endpoints) == 1, (out, err)
            pages = m.pages
            out, _ = webhook.run(m, s, "connect", "s")
            assert "every table was pulled" in out and m.pages == pages and m.calls == ["create"], (out, m.calls)
            s.run("merge")
            assert len(s.run("table", "head", "s", "customers")[0].splitlines()) == 5


def by_hand():
    secret = "8f742231b10e8888abcd99yyyzzz85a5"
    text = ("listen: 127.0.0.1:{port}\ndata_dir: ./data\npublic_url: https://hooks.example\nsources:\n  s:\n    manifest: slack\n    secrets: [{file: ./secrets/signing}]\n"
            "    tables: [events]\n    config: {token: {file: ./secrets/token}}\n")
    with Sluice(text, {"secrets/token": "xoxb-1", "secrets/signing": secret}) as s:
        out, err, _ = s.run("connect", "s", code=3)
        assert "https://hooks.example/in/s" in out and "sluice serve" in err, (out, err)
        s.start()
        out, err, _ = s.run("connect", "s", "--timeout", "1s", code=3)
        assert "no genuine delivery" in err and "--last-rejected" in err, err
        waiting = s.popen("connect", "s", "--timeout", "60s")
        time.sleep(0.5)
        load = rotation.Load(s.port, rotation.slack, lambda: [secret])
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20)
        body = rotation.event(1)
        assert load.post(connection, body, rotation.slack("forged-0123456789abcdef", body, 1)) == 401
        time.sleep(0.5)
        assert waiting.poll() is None, "a forged one is none"
        assert load.post(connection, body, rotation.slack(secret, body, 1)) == 200
        out, err = waiting.communicate(timeout=60)
        assert waiting.returncode == 0 and "a genuine delivery came" in out and "4/4 status" in out, (waiting.returncode, out, err)
        out, _, _ = s.run("connect", "s")
        assert "deliveries come in" in out and "no table has a list API" in out, out


def pod(k, api):
    return "kubernetes: {secret: sluice-secrets, api: \"%s\", account: %s}" % (api, k.account)


def mounted(name, m, k, api=None):
    text = webhook.config(name, m.base, pod(k, api or k.base)).replace("./secrets/signing", os.path.join(k.mount, "signing"))
    return Sluice(text, {"secrets/" + f: v for f, v in m.p["secrets"].items()})


def a_kubernetes_secret():
    with tempfile.TemporaryDirectory() as folder, kubernetes.Kubernetes(folder, lag=1.0) as k, manage.Manage("stripe") as m, mounted("stripe", m, k) as s:
        k.mode = "forbidden"
        err = webhook.run(m, s, "webhook", "register", "s", code=2)[1]
        assert "verbs get and patch" in err and "sluice-secrets" in err and not m.endpoints, err
        k.mode, k.name = None, "another"
        err = webhook.run(m, s, "webhook", "register", "s", code=2)[1]
        assert "kubectl create secret generic sluice-secrets" in err, err
        k.name = "sluice-secrets"
        s.start()
        out, err = webhook.run(m, s, "webhook", "register", "s")
        assert k.text("signing") == m.endpoints[0].secret and "Kubernetes Secret sluice-secrets, key signing" in out, out
        assert kubernetes.TOKEN not in out + err + s.logged()
        assert not os.path.exists(os.path.join(k.mount, "signing")), "the mount is late"
        load = rotation.Load(s.port, rotation.stripe, list)
        import http.client
        connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=20)
        body = rotation.event(1)
        assert load.post(connection, body, rotation.stripe(m.endpoints[0].secret, body, 1)) == 200, "it verifies before it is mounted"
        patches = list(k.patches)
        assert "nothing to change" in webhook.run(m, s, "webhook", "register", "s")[0] and k.patches == patches


def an_api_server_that_is_another():
    """Only the account's certificate authority counts, and only over TLS."""
    with tempfile.TemporaryDirectory() as folder, kubernetes.Kubernetes(folder) as k, manage.Manage("stripe") as m, mounted("stripe", m, k) as s:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=other", "-keyout", os.path.join(folder, "o.key"),
                        "-out", os.path.join(k.account, "ca.crt")], check=True, capture_output=True)
        err = webhook.run(m, s, "webhook", "register", "s", code=1)[1]
        assert "API server" in err and not m.endpoints and not k.patches, err
    with tempfile.TemporaryDirectory() as folder, kubernetes.Kubernetes(folder) as k, manage.Manage("stripe") as m, mounted("stripe", m, k, "http://127.0.0.1:1") as s:
        assert "https://" in webhook.run(m, s, "webhook", "register", "s", code=2)[1]


def rotation_with_a_late_mount():
    """The provider is moved to a chosen secret only when the mount shows it, and nothing is refused."""
    with tempfile.TemporaryDirectory() as folder, kubernetes.Kubernetes(folder, lag=1.5) as k, manage.Manage("github") as m, mounted("github", m, k) as s:
        s.start()
        webhook.run(m, s, "webhook", "register", "s")
        old = m.endpoints[0].secret
        shown = []
        m.before_answer = lambda verb, e: shown.append(os.path.exists(os.path.join(k.mount, "signing.next"))) if verb == "roll" else None
        with rotation.Load(s.port, rotation.github, lambda: [e.secret for e in m.endpoints]) as load:
            load.settle(2)
            out, err = webhook.run(m, s, "secret", "rotate", "s", "--unused", "1s")
            load.settle(2.5)
        load.judge()
        assert shown == [True] and "mounted" in err, (shown, err)
        assert load.again == 0 and {old, m.endpoints[0].secret} <= load.used
        assert k.text("signing") == m.endpoints[0].secret and "signing.next" not in k.data
        states = [json.loads(line)["state"] for line in s.run("secret", "list", "s", "--json")[0].splitlines()]
        assert states == ["active"], ("no grace for what is retired", states)
        assert k.patches[-1] == ["signing", "signing.next"], "in one PATCH"


TESTS = [by_the_api, by_hand, a_kubernetes_secret, an_api_server_that_is_another, rotation_with_a_late_mount]
if __name__ == "__main__":
    sys.exit(main(TESTS, "connect"))
