#!/usr/bin/env python3
"""The configuration of a running server is replaced: sources come, change and go while deliveries come in, and none is refused."""
import json
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import ROOT, Sluice, free_port, main  # noqa: E402
import base64  # noqa: E402
import deliver  # noqa: E402
import history  # noqa: E402
import provider  # noqa: E402
from test_admin import ask, eventually, parse  # noqa: E402

HEAD = """listen: 127.0.0.1:{port}
admin: {listen: "127.0.0.1:@admin@"}
data_dir: ./data
staging: {objects: {url: "file://./data/staging", cut_age: 100ms}}
merge: {target: "sqlite:./data/tables.db", every: 100ms}
"""
DEMO = "  demo: {secrets: [{file: ./secrets/demo}]}\n"
OTHER = "  other: {manifest: demo, secrets: [{file: ./secrets/demo}]}\n"
THIRD = "  third: {manifest: demo, secrets: [{file: ./secrets/demo}]}\n"
SLOW = int(os.environ.get("SLUICE_SLOW", "1"))  # a sanitizer's build takes longer


def server(sources, more="", files=None):
    admin = free_port()
    head = HEAD.replace("@admin@", str(admin)) + more
    kept = {"secrets/demo": deliver.SECRET, "secrets/new": "whsec_" + base64.b64encode(b"n" * 24).decode(), "secrets/key": "not it"}
    s = Sluice(head + "sources:\n" + sources, {**kept, **(files or {})})
    s.admin, s.head = admin, head.replace("{port}", str(s.port))
    return s


def write(s, sources, more=""):
    """As an editor or kubectl does: another file in its place."""
    s.write("next.yaml", s.head + more + "sources:\n" + sources)
    os.rename(s.path("next.yaml"), s.path("sluice.yaml"))


def hup(s):
    s.server.send_signal(signal.SIGHUP)


def event(key):
    at = "2026-01-01T00:00:00Z"
    return json.dumps({"id": "evt_" + key, "type": "customer.created", "timestamp": at, "data": {"id": key, "updated_at": at}}).encode()


def post(s, source, name, connection=None, key=deliver.KEY):
    return (connection or deliver.Connection(s.port)).post(deliver.request("/in/" + source, "evt_" + name, event(name), key=key))


def told(s, words, times=1):
    with open(s.path("serve.log"), errors="replace") as f:
        return f.read().count(words) >= times


def ok_metric(s):
    return parse(ask(s, "/metrics")[1])["sluice_config_reload_ok"][1][0][2] == 1


class Load(threading.Thread):
    """Posts to one source until it is ended; remembers every answer that is no 200."""

    def __init__(self, s, source, name):
        super().__init__(daemon=True)
        self.s, self.source, self.name_of, self.n, self.bad, self.over = s, source, name, 0, [], False

    def run(self):
        connection = deliver.Connection(self.s.port)
        while not self.over:
            status = post(self.s, self.source, "%s_%d" % (self.name_of, self.n), connection)
            self.n += 1
            if status != 200:
                self.bad.append((self.n, status))

    def end(self):
        self.over = True
        self.join(60)
        return self.n, self.bad


def rows(s, table):
    out, _, _ = s.run("table", "list", "--json")
    return sum(json.loads(line)["rows"] for line in out.splitlines() if json.loads(line)["name"] == table)


def sources_come_change_and_go_under_load():
    """SIGHUP again and again: whatever happens to other sources, no delivery to one that stays is refused or lost."""
    with server(DEMO) as s:
        s.start(60)
        loads = [Load(s, "demo", "a"), Load(s, "demo", "b")]
        for load in loads:
            load.start()
        changes = 0
        for turn in range(6):
            for sources, expect in ((DEMO + OTHER, {"other": 200, "third": 404}),
                                    (DEMO + OTHER.replace("secrets/demo", "secrets/new") + THIRD, {"third": 200}),
                                    (DEMO.replace("}]}", "}], public_url: \"https://x.example/%d\"}" % turn) + THIRD, {"other": 404})):
                write(s, sources)
                hup(s)
                changes += 1
                eventually(lambda: told(s, "the configuration was reloaded", changes), 30 * SLOW)
                for source, status in expect.items():
                    got = post(s, source, "%s_%d" % (source, changes))
                    assert got == status, (source, got, status)
            write(s, "  demo: {secrets: 7}\n")
            hup(s)
            eventually(lambda: told(s, "is not taken", turn + 1), 30 * SLOW)
        write(s, DEMO + THIRD)
        hup(s)
        done = [load.end() for load in loads]
        assert all(n > 20 and not bad for n, bad in done), done
        total = sum(n for n, _ in done)
        eventually(lambda: rows(s, "demo_events") == total, 60 * SLOW)
        eventually(lambda: rows(s, "third_events") == 6, 60 * SLOW)
        out, _, _ = s.run("dead", "list", "--json", code=None)
        assert not out.strip(), out
        assert json.loads(s.run("status", "--json", code=None)[0])["books"]["balanced"]
        print("   %d deliveries, %d changes, 0 refused" % (total, changes))
        assert s.stop(60 * SLOW) == 0


def a_changed_file_is_taken_without_a_signal():
    with server(DEMO) as s:
        s.start()
        assert post(s, "other", "x") == 404
        write(s, DEMO + OTHER)
        eventually(lambda: post(s, "other", "x") == 200)
        assert "added=1" in s.logged(), s.logged()


def a_mounted_volume_is_followed():
    """As the kubelet does it: sluice.yaml -> ..data/sluice.yaml, ..data -> a folder that is replaced."""
    with server(DEMO) as s:
        def mount(n, sources):
            s.write("..v%d/sluice.yaml" % n, s.head + "sources:\n" + sources)
            os.symlink("..v%d" % n, s.path("..data_tmp"))
            os.rename(s.path("..data_tmp"), s.path("..data"))
        mount(1, DEMO)
        os.remove(s.path("sluice.yaml"))
        os.symlink("..data/sluice.yaml", s.path("sluice.yaml"))
        s.start()
        assert os.path.isdir(s.path("data", "journal")), "what is relative belongs to the volume's folder"
        mount(2, DEMO + OTHER)
        eventually(lambda: post(s, "other", "x") == 200)
        assert "need a restart" not in s.logged(), s.logged()


def an_included_file_is_followed():
    with server("  demo: {secrets: [{file: ./secrets/demo}]}\ninclude: sources.d/*.yaml\n") as s:
        os.mkdir(s.path("sources.d"))
        s.start()
        s.write("sources.d/other.yaml", "sources:\n" + OTHER)
        eventually(lambda: post(s, "other", "x") == 200)
        os.remove(s.path("sources.d/other.yaml"))
        eventually(lambda: post(s, "other", "y") == 404)


def a_bad_file_keeps_the_old_one_and_says_so():
    with server(DEMO) as s:
        s.start()
        assert ok_metric(s)
        write(s, "  demo: {secretz: []}\n")
        eventually(lambda: not ok_metric(s))
        assert "is not taken" in s.logged() and "secretz" in s.logged(), s.logged()
        assert post(s, "demo", "a") == 200
        time.sleep(2.5)
        with open(s.path("serve.log")) as f:
            assert f.read().count("is not taken") == 1, "a bad file is told once"
        write(s, DEMO)
        eventually(lambda: ok_metric(s))


def a_mistake_in_a_new_manifest_is_mended_there():
    with open(os.path.join(ROOT, "tests", "e2e", "acme.yaml")) as f:
        manifest = f.read()
    with server(DEMO) as s:
        s.start()
        s.write("sources/acme.yaml", manifest.replace("sluice: 1", "sluice: one", 1))
        write(s, DEMO + "  acme: {secrets: [{file: ./secrets/demo}], config: {api_key: {file: ./secrets/key}}, base_url: http://127.0.0.1:9}\n")
        eventually(lambda: not ok_metric(s))
        time.sleep(6)
        with open(s.path("serve.log")) as f:
            assert f.read().count("is not taken") == 1, "it is read again, and told once"
        s.write("sources/acme.yaml", manifest)
        eventually(lambda: ok_metric(s))
        assert post(s, "acme", "a") == 200


def what_needs_a_restart_is_named():
    with server(DEMO) as s:
        s.start()
        port = free_port()
        text = s.head.replace("127.0.0.1:%d" % s.port, "127.0.0.1:%d" % port).replace("data_dir: ./data", "data_dir: ./elsewhere")
        s.write("sluice.yaml", text + "limits: {body: 1MiB}\nsources:\n" + DEMO + OTHER)
        hup(s)
        eventually(lambda: told(s, "need a restart"))
        assert 'keys="listen, data_dir, limits.body"' in s.logged(), s.logged()
        assert post(s, "other", "x") == 200 and not os.path.exists(s.path("elsewhere"))


def secrets_that_change_place_are_taken_up():
    """The secret's own file, another file, and what was signed with the one before."""
    with server(DEMO) as s:
        s.start()
        assert post(s, "demo", "a") == 200 and post(s, "demo", "b", key=b"n" * 24) == 401
        write(s, DEMO.replace("secrets/demo", "secrets/new"))
        hup(s)
        eventually(lambda: told(s, "was reloaded"))
        assert post(s, "demo", "c", key=b"n" * 24) == 200
        assert post(s, "demo", "d") == 200, "what was signed before the change is on its way"


def the_log_changes_its_form_and_level():
    with server(DEMO) as s:
        s.start()
        assert post(s, "demo", "a") == 200
        time.sleep(0.2)
        assert "msg=\"request\"" not in s.logged(), s.logged()
        write(s, DEMO, "log: {format: json, level: debug}\n")
        hup(s)
        eventually(lambda: told(s, '"msg":"the configuration was reloaded"'))
        assert post(s, "demo", "b") == 200
        eventually(lambda: told(s, '"msg":"request","source":"demo","outcome":"accepted"'))


def a_new_key_resumes_a_stopped_table_at_once():
    p = provider.Provider(history.History(3, 60, int(time.time())), 3)
    p.advance(60)
    p.start()
    table = "  demo: {secrets: [{file: ./secrets/demo}], base_url: \"%s\", config: {api_key: {file: ./secrets/key}}, " \
            "tables: {customers: {every: 1h}}}\n" % p.base
    try:
        with server(table) as s:
            s.start()
            eventually(lambda: told(s, "a scheduled pull failed"))
            s.write("secrets/key", provider.TOKEN)
            eventually(lambda: told(s, "msg=\"pulled\" source=demo table=customers"), 15)
            assert "its credentials were replaced" in s.logged(), s.logged()
    finally:
        p.stop()


TESTS = [sources_come_change_and_go_under_load, a_changed_file_is_taken_without_a_signal, a_mounted_volume_is_followed,
         an_included_file_is_followed, a_bad_file_keeps_the_old_one_and_says_so, a_mistake_in_a_new_manifest_is_mended_there, what_needs_a_restart_is_named,
         secrets_that_change_place_are_taken_up, the_log_changes_its_form_and_level, a_new_key_resumes_a_stopped_table_at_once]

if __name__ == "__main__":
    sys.exit(main(TESTS, "reload"))
