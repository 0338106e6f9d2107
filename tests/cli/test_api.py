#!/usr/bin/env python3
"""The admin API: every operation of docs/api.yaml is called on a running server, and every answer checked against it."""
import json
import os
import sys
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import ROOT, main  # noqa: E402
import deliver  # noqa: E402
import history  # noqa: E402
import provider  # noqa: E402
from test_admin import FAST, TOKEN, ask, eventually, instance, post, start  # noqa: E402

try:
    import jsonschema
    import yaml
except ImportError as e:
    print("skip api %s" % e)
    sys.exit(1 if os.environ.get("SLUICE_NO_SKIPS") else 0)

with open(os.path.join(ROOT, "docs", "api.yaml")) as f:
    SPEC = yaml.safe_load(f)
called = set()


def server(more="", **kw):
    return with_token(instance(FAST + more, **kw))


def with_token(s):
    s.write("sluice.yaml", open(s.path("sluice.yaml")).read().replace('admin: {listen: "127.0.0.1:%d"}' % s.admin,
            'admin: {listen: "127.0.0.1:%d", token_file: ./secrets/admin}' % s.admin))
    return s


def operation(method, path):
    """The description's operation that a request is of: (its path, it) or None."""
    for template, item in SPEC["paths"].items():
        want, got = template.strip("/").split("/"), path.split("?")[0].strip("/").split("/")
        if len(want) == len(got) and all(w[0] == "{" or w == g for w, g in zip(want, got)) and method.lower() in item:
            return template, item[method.lower()]
    return None


def deref(node):
    while "$ref" in node:
        at = SPEC
        for part in node["$ref"][2:].split("/"):
            at = at[part]
        node = at
    return node


def validate(schema, value):
    jsonschema.Draft202012Validator({"$schema": "https://json-schema.org/draft/2020-12/schema", "components": SPEC["components"],
                                     **schema}).validate(value)


def call(s, path, method="GET", body=None, token=TOKEN, status=200):
    text = json.dumps(body) if isinstance(body, dict) else body
    headers = {"Authorization": "Bearer " + token} if token else {}
    got, answer, heads = ask(s, "/api/v1" + path, method, headers, text)
    assert got == status, (method, path, got, status, answer)
    assert heads["Content-Type"] == "application/json" and heads["Cache-Control"] == "no-store", dict(heads)
    value = json.loads(answer)
    found = operation(method, path)
    if found:
        responses = found[1]["responses"]
        described = deref(responses.get(str(got), responses["default"]))
        assert str(got) in responses or got >= 400, (path, got)
        validate(described["content"]["application/json"]["schema"], value)
        if got < 400:
            called.add((method, found[0]))
    else:
        assert got >= 400, (method, path, got)
        validate({"$ref": "#/components/schemas/Error"}, value)
    return value


def the_description_is_sound():
    for path, item in SPEC["paths"].items():
        parameters = {deref(p)["name"] for p in item.get("parameters", [])}
        for part in path.split("/"):
            assert not part.startswith("{") or part[1:-1] in parameters, path
        for method, op in item.items():
            if method != "parameters":
                assert op["operationId"] and op["summary"] and "default" in op["responses"], (path, method)
    for name, schema in SPEC["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
    ids = [op["operationId"] for item in SPEC["paths"].values() for m, op in item.items() if m != "parameters"]
    assert len(ids) == len(set(ids))


def every_operation_answers_as_described():
    past = history.History(3, 60, int(time.time()))
    p = provider.Provider(past, 3)
    p.start()
    p.advance(len(past.changes))
    try:
        with server(base=p.base) as s:
            start(s)
            assert post(s, "a") == 200 and post(s, "a") == 200 and post(s, "b", signature="v1,AAAA") == 401
            assert call(s, "/status")["books"]["balanced"]
            assert [x["source"] for x in call(s, "/sources")["sources"]] == ["demo"]
            assert call(s, "/sources/demo")["config"]["api_key"]["file"].endswith("secrets/key")
            names = [t["table"] for t in call(s, "/sources/demo/tables")["tables"]]
            assert "customers" in names and "events" in names, names
            customers = "/sources/demo/tables/customers"
            for order in ("pause", "resume", "cancel"):
                got = call(s, "%s/%s" % (customers, order), "POST", status=202)
                assert got["orders"]["paused"] == (order == "pause"), got
            assert call(s, customers)["last_pull"] is None
            call(s, customers + "/pull", "POST", status=202)
            eventually(lambda: (call(s, customers)["last_pull"] or {}).get("status") == "completed")
            eventually(lambda: call(s, customers)["orders"]["pull_ordered_at"] is None)
            s.run("merge")
            n = call(s, customers)["rows"]
            assert n > 1
            assert str(n) in call(s, customers + "/drop", "POST", status=409)["error"]["message"]
            call(s, customers + "/drop", "POST", {"confirm": "invoices"}, status=409)
            assert call(s, customers)["rows"] == n
            call(s, customers + "/drop", "POST", {"confirm": "customers"}, status=202)
            eventually(lambda: call(s, customers)["rows"] == 0 and not call(s, customers)["orders"]["clearing"])
            call(s, customers + "/reset", "POST", {"confirm": "customers"}, status=202)
            eventually(lambda: call(s, customers)["rows"] == n - 1)  # without the one that an event alone had told
            assert call(s, customers + "/set", "POST", {"mode": "full"}, status=202)["orders"]["mode"] == "full"
            got = call(s, "/sources/demo/deliveries")["deliveries"]
            assert [d["outcome"] for d in got] == ["bad_signature", "duplicate", "accepted"], got
            assert len(call(s, "/sources/demo/deliveries?outcome=rejected")["deliveries"]) == 1
            assert len(call(s, "/sources/demo/deliveries?id=evt_a&type=customer.%2A&limit=1")["deliveries"]) == 1
            assert call(s, "/sources/demo/secrets")["secrets"][0]["state"] == "active"
            call(s, "/secrets/refresh", "POST")
            assert call(s, "/dead")["sources"] == [{"source": "demo", "letters": 0}]
            assert call(s, "/config")["reload"]["ok"]
            assert call(s, "/reload", "POST") == {"added": 0, "changed": 0, "removed": 0, "needs_restart": []}
            trail = call(s, "/audit?source=demo&table=customers")["audit"]
            assert [r["what"] for r in trail] == ["set", "reset", "drop", "pull", "cancel", "resume", "pause"], trail
            assert {r["who"] for r in trail} == {"token:admin"}
            assert [r["what"] for r in call(s, "/audit?limit=2")["audit"]] == ["reload", "refresh secrets"]
            described = {(m.upper(), path) for path, item in SPEC["paths"].items() for m in item if m != "parameters"}
            assert called == described, described - called
            assert call(s, "/status")["books"]["balanced"]
            assert s.stop() == 0
    finally:
        p.stop()


def what_is_wrong_is_told_as_described():
    with server() as s:
        start(s)
        for path, method, body, status, code in (
                ("/nothing", "GET", None, 404, "not_found"), ("/sources/none", "GET", None, 404, "no_such_source"),
                ("/sources/demo/tables/none", "GET", None, 404, "no_such_table"), ("/status", "POST", None, 405, "method_not_allowed"),
                ("/reload", "GET", None, 405, "method_not_allowed"), ("/sources/demo/tables/events/burn", "POST", None, 404, "not_found"),
                ("/sources/demo/tables/events/set", "POST", None, 400, "bad_request"),
                ("/sources/demo/tables/events/set", "POST", {"mode": "sideways"}, 400, "bad_request"),
                ("/sources/demo/tables/events/set", "POST", {"mode": 7}, 400, "bad_request"),
                ("/sources/demo/tables/customers/set", "POST", {"incremental": "a b"}, 400, "bad_request"),
                ("/sources/demo/tables/customers/pause", "POST", "{", 400, "bad_request"),
                ("/sources/demo/tables/customers/pause", "POST", "[]", 400, "bad_request"),
                ("/sources/demo/deliveries?limit=0", "GET", None, 400, "bad_request"),
                ("/sources/demo/deliveries?limit=1001", "GET", None, 400, "bad_request"),
                ("/sources/demo/deliveries?outcome=lost", "GET", None, 400, "bad_request"),
                ("/sources//tables", "GET", None, 404, "not_found"), ("/", "GET", None, 404, "not_found")):
            got = call(s, path, method, body, status=status)
            assert got["error"]["code"] == code, (path, got)
        assert ask(s, "/api/v2/status", headers={"Authorization": "Bearer " + TOKEN})[0] == 404
        s.write("sluice.yaml", "sources: 7\n")
        assert "sources" in call(s, "/reload", "POST", status=422)["error"]["message"]
        assert call(s, "/config")["reload"]["ok"] is False
        assert s.stop() == 0


def only_who_has_the_token_is_answered():
    with server() as s:
        start(s)
        for token in (None, "", TOKEN + "x", TOKEN[:-1], "Bearer"):
            for path, method in (("/status", "GET"), ("/reload", "POST"), ("/nothing", "GET")):
                assert call(s, path, method, token=token, status=401)["error"]["code"] == "unauthorized"
        s.write("secrets/admin", "another token\n")
        eventually(lambda: ask(s, "/api/v1/status", headers={"Authorization": "Bearer another token"})[0] == 200)
        assert call(s, "/status", status=401)
        os.remove(s.path("secrets/admin"))
        time.sleep(1.2)
        assert call(s, "/status", token="another token"), "a file that is gone takes nothing away"
    with instance() as s:
        start(s)
        assert call(s, "/status", status=403)["error"]["code"] == "no_token"


def no_secret_is_told():
    with server() as s:
        start(s)
        assert post(s, "a") == 200
        said = ""
        for path, item in SPEC["paths"].items():
            if "get" in item:
                said += json.dumps(call(s, path.replace("{source}", "demo").replace("{table}", "events")))
        said += s.logged()
        for secret in (TOKEN, deliver.SECRET, deliver.SECRET[6:], provider.TOKEN):
            assert secret not in said


TESTS = [the_description_is_sound, every_operation_answers_as_described, what_is_wrong_is_told_as_described,
         only_who_has_the_token_is_answered, no_secret_is_told]

if __name__ == "__main__":
    sys.exit(main(TESTS, "api"))
