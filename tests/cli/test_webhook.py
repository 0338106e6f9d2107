#!/usr/bin/env python3
"""Webhooks at the provider: register, list, info, update, delete against stand-ins that follow the documented calls, for every
provider whose manifest has them: the usual way, a missing permission, too many endpoints, one that is gone, one that is disabled."""
import hashlib
import hmac
import json
import os
import stat
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import ROOT, Sluice, main  # noqa: E402
import manage  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_admin import eventually  # noqa: E402

URL = "https://hooks.example/in/s"


def config(name, base, extra=""):
    p = manage.P[name]
    lines = ["listen: 127.0.0.1:{port}", "data_dir: ./data", "public_url: https://hooks.example", extra, "sources:", "  s:", "    manifest: %s" % name, "    base_url: %s" % base]
    if p.get("handshake") != "secret":
        lines.append("    secrets: [{file: ./secrets/signing}]")
    if "tables" in p:
        lines.append("    tables: [%s]" % p["tables"])
    lines.append("    config:")
    lines += ["      %s: %s" % (k, json.dumps(v)) for k, v in p["config"].items()]
    lines += ["      %s: {file: ./secrets/%s}" % (k, k) for k in p["secrets"]]
    return "\n".join(lines) + "\n"


def instance(name, base, extra="", files=None):
    return Sluice(config(name, base, extra), dict({"secrets/" + k: v for k, v in manage.P[name]["secrets"].items()}, **(files or {})))


def clean(m, *texts):
    """No secret that the provider knows or takes is said."""
    for text in texts:
        for secret in m.secrets_told + [v for v in m.p["secrets"].values()]:
            assert secret not in text, (m.name, text)


def run(m, s, *args, code=0):
    out, err, got = s.run(*args, code=code)
    clean(m, out, err)
    return out, err


def stored(s):
    try:
        with open(s.path("secrets", "signing")) as f:
            return f.read().strip()
    except FileNotFoundError:
        return None


def the_usual_way(name):
    p = manage.P[name]
    with manage.Manage(name) as m, instance(name, m.base) as s:
        if p.get("handshake"):
            m.door = "http://127.0.0.1:%d/in/s" % s.port
            s.start()
        run(m, s, "webhook", "info", "s", code=1)
        run(m, s, "webhook", "register", "s")
        assert m.endpoints and all(e.url == URL for e in m.endpoints), [e.url for e in m.endpoints]
        assert p.get("any_types") or all(e.types for e in m.endpoints)
        if p.get("per_type"):
            assert len(m.endpoints) > 2 and all(len(e.types) == 1 for e in m.endpoints)
        if "told" in p or p.get("chosen"):
            assert stored(s) == m.endpoints[0].secret and len(stored(s)) >= 16, name
            assert stat.S_IMODE(os.stat(s.path("secrets", "signing")).st_mode) == 0o600
        if "confirm" in p:
            assert m.endpoints[0].confirmed
        calls, secret, ids = list(m.calls), stored(s), [e.id for e in m.endpoints]
        out, _ = run(m, s, "webhook", "register", "s")
        assert "nothing to change" in out and m.calls == calls and stored(s) == secret, (name, out, m.calls)
        out, _ = run(m, s, "webhook", "list", "s")
        assert "* " in out and URL in out, out
        listed = [json.loads(line) for line in run(m, s, "webhook", "list", "s", "--json")[0].splitlines()]
        assert len(listed) == len(m.endpoints) and all(e["ours"] for e in listed)
        info = json.loads(run(m, s, "webhook", "info", "s", "--json")[0].splitlines()[0])
        assert info["exists"] and info["enabled"] and not info["missing"], info
        run(m, s, "webhook", "info", "s")
        # another address
        out, _ = run(m, s, "webhook", "update", "s", "--url", "https://other.example")
        assert all(e.url == "https://other.example/in/s" for e in m.endpoints), (name, out)
        run(m, s, "webhook", "register", "s", "--url", URL)
        # disabled by the provider
        if p.get("can_disable", True):
            m.endpoints[0].enabled = False
            out, _ = run(m, s, "webhook", "info", "s", code=1)
            assert "disabled" in out, out
            run(m, s, "webhook", "update", "s")
            assert all(e.enabled for e in m.endpoints), name
        # gone at the provider
        m.endpoints.clear()
        out, _ = run(m, s, "webhook", "info", "s", code=1)
        run(m, s, "webhook", "update", "s", code=1)
        if p.get("handshake"):
            return
        out, _ = run(m, s, "webhook", "register", "s")
        assert m.endpoints and ("gone" in out or p.get("singleton")), out
        if "told" in p or p.get("chosen"):
            assert stored(s) == m.endpoints[0].secret
        # deleted
        m.endpoints.append(manage.Endpoint(m.new_id() if not (p.get("singleton") or p.get("upsert")) else "foreign", "https://somebody.example/else", ["x"], "x" * 20))
        if p.get("singleton") or p.get("upsert"):
            m.endpoints.pop()
        err = run(m, s, "webhook", "delete", "s", "--yes", code=1)[1]
        assert p.get("tables", "events") in err and "--force" in err, err
        err = run(m, s, "webhook", "delete", "s", "--force", code=2)[1]
        assert "--yes" in err and URL in err, err
        run(m, s, "webhook", "delete", "s", "--force", "--yes")
        assert [e.url for e in m.endpoints] in ([], ["https://somebody.example/else"]), name
        run(m, s, "webhook", "delete", "s", "--force", "--yes")


def refusals(name):
    p = manage.P[name]
    with manage.Manage(name) as m, instance(name, m.base) as s:
        if p.get("handshake"):
            m.door = "http://127.0.0.1:9/"
        m.mode = "unauthorized"
        run(m, s, "webhook", "register", "s", code=2)
        m.mode = "forbidden"
        err = run(m, s, "webhook", "register", "s", code=1)[1]
        assert not p["scope"] or p["scope"] in err, (name, err)
        assert not m.endpoints
        if p.get("cap"):
            m.mode = "full"
            err = run(m, s, "webhook", "register", "s", code=1)[1]
            assert "take" in err or str(p["cap"]) in err, (name, err)
            m.mode = None
            for i in range(p["cap"]):
                m.endpoints.append(manage.Endpoint(m.new_id(), "https://somebody.example/%d" % i, ["x"], "x" * 20))
            calls = list(m.calls)
            err = run(m, s, "webhook", "register", "s", code=2)[1]
            assert "at most %d" % p["cap"] in err and "somebody.example" in err and m.calls == calls, (name, err)


def every_provider_with_calls_is_here():
    with_calls = set()
    for f in os.listdir(os.path.join(ROOT, "sources")):
        if f.endswith(".yaml") and "\n  create:" in open(os.path.join(ROOT, "sources", f)).read():
            with_calls.add(f[:-5])
    assert with_calls == set(manage.P), with_calls ^ set(manage.P)


def named(function, name):
    def test():
        function(name)
    test.__name__ = "%s_%s" % (name, function.__name__)
    return test


def the_events_are_those_of_the_tables():
    with manage.Manage("stripe") as m:
        text = config("stripe", m.base).replace("    config:", "    tables: [customers, products]\n    config:")
        with Sluice(text, {"secrets/api_key": m.p["secrets"]["api_key"]}) as s:
            run(m, s, "webhook", "register", "s")
            want = ["customer.created", "customer.deleted", "customer.updated", "product.created", "product.deleted", "product.updated"]
            assert sorted(m.endpoints[0].types) == want and m.endpoints[0].version == "2026-07-29"
            s.write("sluice.yaml", text.replace("{port}", str(s.port)).replace("[customers, products]", "[customers, prices]"))
            out, _ = run(m, s, "webhook", "info", "s", code=1)
            assert "missing: price.created" in out and "not wanted: product.created" in out, out
            run(m, s, "webhook", "update", "s")
            assert "price.created" in m.endpoints[0].types and "product.created" not in m.endpoints[0].types
            # the version can only be pinned at a create: a new endpoint takes the old one's place, never none between them
            old = m.endpoints[0].id
            s.write("sluice.yaml", open(s.path("sluice.yaml")).read().replace("2026-07-29", "2026-09-30"))
            assert "version" in run(m, s, "webhook", "info", "s", code=1)[0]
            run(m, s, "webhook", "register", "s")
            assert m.calls[-2:] == ["create", "delete"] and len(m.endpoints) == 1 and m.endpoints[0].id != old
            assert m.endpoints[0].version == "2026-09-30" and stored(s) == m.endpoints[0].secret


def a_lost_secret_means_a_new_endpoint():
    with manage.Manage("stripe") as m, instance("stripe", m.base) as s:
        run(m, s, "webhook", "register", "s")
        os.unlink(s.path("secrets", "signing"))
        out, _ = run(m, s, "webhook", "register", "s")
        assert len(m.endpoints) == 1 and stored(s) == m.endpoints[0].secret and "not told again" in out, out


def an_answer_that_is_cut_off():
    """The endpoint was made, the answer never came: nothing is sent twice, and the next run finds it."""
    for name in ("github", "stripe", "square"):
        with manage.Manage(name) as m, instance(name, m.base) as s:
            m.cut = 1
            run(m, s, "webhook", "register", "s", code=1)
            assert m.calls == ["create"] and len(m.endpoints) == 1, (name, m.calls)
            run(m, s, "webhook", "register", "s")
            assert len(m.endpoints) == 1 and stored(s) == m.endpoints[0].secret, name
            out, _ = run(m, s, "webhook", "register", "s")
            assert "nothing to change" in out, out


def one_at_a_time():
    with manage.Manage("github") as m, instance("github", m.base) as s:
        run(m, s, "webhook", "register", "s")
        m.slow = 1.5
        other = s.popen("webhook", "update", "s", "--url", "https://other.example")
        import time
        time.sleep(0.7)
        err = run(m, s, "webhook", "delete", "s", "--force", "--yes", code=None)[1]
        assert other.wait(60) == 0 and m.endpoints, err


def providers_without_calls():
    with Sluice("listen: 127.0.0.1:{port}\ndata_dir: ./data\npublic_url: https://hooks.example\nsources:\n  s:\n    manifest: slack\n    secrets: [{file: ./secrets/signing}]\n"
                "    config: {token: {file: ./secrets/token}}\n", {"secrets/token": "xoxb-1"}) as s:
        out, err, _ = s.run("webhook", "register", "s", code=3)
        assert "https://hooks.example/in/s" in out and "connect" in err, (out, err)
        assert "https://" in s.run("webhook", "register", "s", "--url", "http://hooks.example", code=2)[1]


def secrets_by_hand():
    with manage.Manage("shopify") as m, instance("shopify", m.base) as s:
        err = run(m, s, "webhook", "register", "s")[1]
        assert "Client secret" in err and "secret add s" in err, err
        s.run("secret", "add", "s", "--from", "-", input="shpss_0123456789abcdef\n")
        assert stored(s) == "shpss_0123456789abcdef" and stat.S_IMODE(os.stat(s.path("secrets", "signing")).st_mode) == 0o600
        s.run("secret", "add", "s", "--from", "-", input="shpss_0123456789abcdef\n")
        err = s.run("secret", "add", "s", "--from", "-", input="another-secret-0123\n", code=1)[1]
        assert "rotate" in err and "another" not in err
        assert "secret add" not in run(m, s, "webhook", "register", "s")[1]


def a_handshake_that_somebody_else_sends():
    """Anybody can bring a secret while our call waits. The provider's answer says which one is its own."""
    body = b'{"events": []}'
    planted = "somebody-elses-secret-0123456789"

    def shake(m, s):
        request = urllib.request.Request("http://127.0.0.1:%d/in/s" % s.port, data=b"{}", headers={"X-Hook-Secret": planted}, method="POST")
        return urllib.request.urlopen(request, timeout=5).status

    def answer(s, key):
        mac = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
        request = urllib.request.Request("http://127.0.0.1:%d/in/s" % s.port, data=body, headers={"X-Hook-Signature": mac}, method="POST")
        try:
            return urllib.request.urlopen(request, timeout=5).status
        except urllib.error.HTTPError as e:
            return e.code

    def planted_before(m, s):
        assert shake(m, s) == 200  # while there is none the first one is believed, as config check warns
        return answer(s, planted) == 200

    for told in (True, False):
        with manage.Manage("asana") as m, instance("asana", m.base) as s:
            m.p = dict(m.p) if told else dict(m.p, made=lambda e, record: record)
            m.door = "http://127.0.0.1:%d/in/s" % s.port
            m.before_answer = lambda verb, e: shake(m, s)
            s.start()
            assert not told or planted_before(m, s)
            out, err = run(m, s, "webhook", "register", "s", code=0 if told else 1)
            assert told or "2 handshakes brought secrets" in err, err
            assert answer(s, planted) in (401, 503)
            assert answer(s, m.endpoints[0].secret) == (200 if told else 503)
            s.stop()
            s.start()  # nor after a restart
            assert answer(s, planted) in (401, 503)
            assert answer(s, m.endpoints[0].secret) == (200 if told else 503)
            if not told:  # the same command mends it
                m.before_answer = None
                out, err = run(m, s, "webhook", "register", "s")
                assert len(m.endpoints) == 1 and "comes only with a new one" in out, out
                assert answer(s, m.endpoints[0].secret) == 200 and answer(s, planted) == 401
    # so many that the provider's own has no room: the call fails, and none of them is left
    with manage.Manage("asana") as m, instance("asana", m.base, "") as s:
        m.door = "http://127.0.0.1:%d/in/s" % s.port
        s.start()
        before = m.shake

        def crowd(e):
            for i in range(8):
                key = "somebody-elses-secret-%010d" % i
                try:
                    urllib.request.urlopen(urllib.request.Request(m.door, data=b"{}", headers={"X-Hook-Secret": key}, method="POST"), timeout=5)
                except urllib.error.HTTPError as refused:
                    assert i >= 4 and refused.code in (401, 403), (i, refused.code)
            return before(e)
        m.shake = crowd
        run(m, s, "webhook", "register", "s", code=1)
        assert not m.endpoints and [answer(s, "somebody-elses-secret-%010d" % i) for i in range(8)] == [503] * 8
        m.shake = before
        run(m, s, "webhook", "register", "s")
        assert answer(s, m.endpoints[0].secret) == 200


def what_changes_at_the_provider_is_noticed():
    """serve asks on a schedule; status names what it found and the command that helps, which then ends it."""
    with manage.Manage("stripe") as m, instance("stripe", m.base, "alarms: {check: 1s}") as s:
        run(m, s, "webhook", "register", "s")
        s.start()

        def found(text, command):
            def is_told():
                causes = json.loads(s.run("status", "--json", code=None)[0])["sources"][0]["findings"]
                return [c for c in causes if text in c["cause"] and command in c["next"]]
            eventually(is_told)

        def clean_again():
            run(m, s, "webhook", "register", "s")
            eventually(lambda: "at the provider" not in s.run("status", "--json", code=None)[0])
        e = m.endpoints[0]
        e.enabled = False
        found("endpoint %s is disabled" % e.id, "sluice webhook update s")
        clean_again()
        m.endpoints[0].types = m.endpoints[0].types[1:]
        found("events missing: ", "sluice webhook update s")
        clean_again()
        m.endpoints[0].url = "https://elsewhere.example/in/s"
        found("posts to https://elsewhere.example/in/s, registered was " + URL, "sluice webhook update s")
        clean_again()
        m.endpoints[0].version = "2001-01-01"
        found("of the API's version 2001-01-01", "sluice webhook update s")
        clean_again()
        m.endpoints.clear()
        found("the endpoint that was registered is gone", "sluice webhook register s")
        clean_again()
        assert len(m.endpoints) == 1
        s.stop()


TESTS = [every_provider_with_calls_is_here] + [named(f, n) for f in (the_usual_way, refusals) for n in sorted(manage.P)] + [
    the_events_are_those_of_the_tables, a_lost_secret_means_a_new_endpoint, an_answer_that_is_cut_off, one_at_a_time, a_handshake_that_somebody_else_sends, what_changes_at_the_provider_is_noticed, providers_without_calls, secrets_by_hand]
if __name__ == "__main__":
    sys.exit(main(TESTS, "webhook"))
