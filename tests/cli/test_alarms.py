#!/usr/bin/env python3
"""Alarms: raised once and cleared once over restarts, told to a receiver, and caught up from where the provider has a log."""
import contextlib
import itertools
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import free_port, main  # noqa: E402
import provider  # noqa: E402
import receiver  # noqa: E402
from receiver import Receiver, is_genuine  # noqa: E402
from test_admin import FAST, eventually, instance, post, scrape, start, value  # noqa: E402
from test_orders import Pulled, audit, rows  # noqa: E402
from test_status_faults import RESERVE, Disk, edit, finding, source, state, status  # noqa: E402

DAY_US = 86400 * 1000000
WEEK_US = 7 * DAY_US


def told(more="", fmt="standard"):
    return FAST + "alarms: {post: {file: ./secrets/receiver}, format: %s, secret: {file: ./secrets/alarms}%s}\n" % (fmt, more)


@contextlib.contextmanager
def watched(r, more="", fmt="standard", rest="", **kw):
    with instance(told(more, fmt) + rest, **kw) as s:
        s.write("secrets/receiver", r.url)
        s.write("secrets/alarms", receiver.SECRET)
        yield s


def alarms(s):
    return {(a["kind"], a["source"], a["subject"]): a for a in status(s)["alarms"]}


def kinds(posts):
    return [(p["body"]["type"].split(".")[-1], p["body"]["data"]["kind"]) for p in posts]


def rejected(s, n=8):
    for i in range(n):
        assert post(s, "bad%d" % i, key=b"the key of another endpoint") == 401


def remember(s, quiet_s, usual_s=2, longest_s=10, looked_ago_s=0):
    """The rhythm of weeks: an event each `usual_s`, the longest gap `longest_s`, the newest event `quiet_s` ago."""
    now = int(time.time() * 1e6)
    weeks = [[0] * 7 for _ in range(5)]
    week = now // WEEK_US
    weeks[week % 5] = [week, longest_s * 1000000, 1, 100000, 0, 100000, 100000 * usual_s * 1000000]
    numbers = [2 * WEEK_US, now - looked_ago_s * 1000000, quiet_s * 1000000, 0, 1, now // 3600000000, 0, 0]
    text = " ".join(map(str, [1] + numbers + sum(weeks, []) + [0, 0] * 168)) + "\n1 10 0 1000 0 %d 0 10 0\n" % now
    state(s, "INSERT OR REPLACE INTO rhythms(source, value) VALUES('demo', ?)", text.encode())


def a_rising_share_is_told_once_and_cleared_once():
    with Receiver() as r, watched(r) as s:
        start(s)
        for i in range(3):
            assert post(s, "a%d" % i) == 200
        time.sleep(1.5)
        assert not alarms(s) and not r.got
        rejected(s)
        a = eventually(lambda: alarms(s).get(("rejecting", "demo", "")))
        assert "8 of the last 11 deliveries failed verification" in a["cause"] and "sluice verify demo --last-rejected" in a["next"], a
        eventually(lambda: len(r.got) == 1)
        p = r.got[0]
        assert is_genuine(p) and not is_genuine(p, b"another key"), p
        assert p["body"]["type"] == "sluice.alarm.raised" and p["body"]["data"]["source"] == "demo", p
        assert abs(int(p["headers"]["webhook-timestamp"]) - time.time()) < 60 and p["headers"]["webhook-id"].startswith("alarm_")
        assert value(scrape(s), "sluice_alarm", kind="rejecting", source="demo", subject="") == 1
        s.kill()
        start(s)
        time.sleep(2.5)
        assert ("rejecting", "demo", "") in alarms(s) and len(r.got) == 1, "over kill -9 it stands, and is not told again"
        raised_at = alarms(s)[("rejecting", "demo", "")]["raised_at"]
        assert raised_at == a["raised_at"] == p["body"]["data"]["raised_at"], (raised_at, a)
        for i in range(1500):  # the share falls under what it was raised for
            assert post(s, "good%d" % i) == 200
        eventually(lambda: not alarms(s))
        eventually(lambda: len(r.got) == 2)
        assert kinds(r.got) == [("raised", "rejecting"), ("cleared", "rejecting")] and is_genuine(r.got[1])
        assert r.got[1]["body"]["data"]["cleared_at"] and r.got[1]["body"]["data"]["raised_at"] == raised_at
        now = scrape(s)
        assert value(now, "sluice_alarm", kind="rejecting", source="demo", subject="") == 0
        assert value(now, "sluice_alarm_posts_total", result="taken") == 1 and value(now, "sluice_alarm_posts_waiting") == 0
        s.stop()
        start(s)
        time.sleep(2)
        assert len(r.got) == 2 and not alarms(s)


def silence_is_told_and_caught_up_from():
    with Pulled() as p, Receiver() as r, watched(r, base=p.base, rest="catch_up: auto\n") as s:
        start(s)
        assert post(s, "a") == 200
        s.stop()
        remember(s, quiet_s=30)
        start(s)
        time.sleep(2)
        assert not alarms(s) and p.pages == 0, "thirty seconds are three times the longest gap"
        s.stop()
        remember(s, quiet_s=45)
        start(s)
        a = eventually(lambda: alarms(s).get(("silent", "demo", "")))
        assert a["cause"].startswith("silent for 4") and "each 2 s" in a["cause"] and "longer than 10 s" in a["cause"], a
        assert finding(s, "silent for")["next"] and source(s)["push"]["silent"] and source(s)["push"]["usual_gap_seconds"] >= 1
        out, _, _ = s.run("status", code=None)
        assert "silent 4" in out and "(usual: 2 s)" in out, out
        eventually(lambda: p.pages > 0)
        assert audit(s)[0]["who"] == "serve:catch_up" and audit(s)[0]["table"] == "events", audit(s)
        eventually(lambda: rows(s) > 1)
        pages = p.pages
        assert post(s, "b") == 200
        eventually(lambda: not alarms(s))
        eventually(lambda: kinds(r.got) == [("raised", "silent"), ("cleared", "silent")])
        eventually(lambda: p.pages > pages)


def a_downtime_is_caught_up_from():
    for how, expected in (("auto", True), ("off", False)):
        with Pulled() as p, instance(FAST + "catch_up: %s\n" % how, base=p.base) as s:
            start(s)
            time.sleep(1.5)
            s.stop()
            start(s)
            time.sleep(2.5)
            assert p.pages == 0, "a start at once after a stop is no downtime"
            s.stop()
            remember(s, quiet_s=1, looked_ago_s=3600)
            start(s)
            if expected:
                eventually(lambda: p.pages > 0 and rows(s) > 0)
                assert [a["who"] for a in audit(s)] == ["serve:catch_up"]
                assert "catching up from the provider's log" in s.logged()
            else:
                time.sleep(2.5)
                assert p.pages == 0 and not audit(s)
            assert not alarms(s), "nobody looked meanwhile: that is no silence of the source"


def catching_up_is_tried_again():
    with Pulled() as p, instance(FAST + "catch_up: auto\n", base=p.base) as s:
        s.write("secrets/key", "not the key")
        start(s)
        time.sleep(1.5)
        s.stop()
        remember(s, quiet_s=1, looked_ago_s=3600)
        start(s)
        finding(s, "does not take the credentials")
        assert p.pages == 0
        s.write("secrets/key", provider.TOKEN)
        eventually(lambda: p.pages > 0 and rows(s) > 0, 60)
        n = len(audit(s))
        assert n >= 2, "the first try failed"
        time.sleep(25)
        assert len(audit(s)) == n, "it is caught up"


def a_lost_endpoint_is_told_and_caught_up_from():
    put = "INSERT OR REPLACE INTO registrations(source, checked_us, cause, next, broken) VALUES('demo', 1, ?, 'sluice webhook register demo', ?)"
    with Pulled() as p, Receiver() as r, watched(r, base=p.base, rest="catch_up: auto\n") as s:
        start(s)
        state(s, put, "the endpoint is disabled", 1)
        a = eventually(lambda: alarms(s).get(("drift", "demo", "")), 30)
        assert a["cause"] == "at the provider: the endpoint is disabled" and a["next"] == "sluice webhook register demo"
        eventually(lambda: p.pages > 0)
        state(s, put, "events missing: invoice.paid", 0)
        eventually(lambda: "invoice.paid" in alarms(s)[("drift", "demo", "")]["cause"], 30)
        pages = p.pages
        state(s, put, "", 0)
        eventually(lambda: not alarms(s), 30)
        eventually(lambda: p.pages > pages)
        eventually(lambda: kinds(r.got) == [("raised", "drift"), ("cleared", "drift")])


def what_was_refused_for_want_of_room_is_caught_up_from():
    if os.geteuid() != 0:
        return print("skip alarms/what_was_refused_for_want_of_room_is_caught_up_from needs root for a file system of its own")
    with Pulled() as p, Disk() as disk, instance(FAST + RESERVE + "catch_up: auto\n", base=p.base) as s:
        disk.hold(s)
        start(s)
        disk.fill()
        number = itertools.count()
        eventually(lambda: post(s, "b%d" % next(number)) == 503)
        time.sleep(1)
        assert p.pages == 0, "there is no room for it yet"
        disk.free()
        eventually(lambda: post(s, "c%d" % next(number)) == 200)
        eventually(lambda: p.pages > 0, 60)
        assert [a["who"] for a in audit(s)] == ["serve:catch_up"]
        s.stop()


def an_old_secret_near_its_end():
    with Receiver() as r, watched(r) as s:
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2 * 86400))
        edit(s, "secrets: [{file: ./secrets/demo}]", "secrets: [{file: ./secrets/demo, retire_at: %s}]" % end)
        start(s)
        time.sleep(2)
        assert not alarms(s), "nobody uses it"
        assert post(s, "a") == 200
        key, a = eventually(lambda: next(iter(alarms(s).items()), None), 30)
        assert key[0] == "old_secret" and len(key[2]) == 6 and end in a["cause"] and "still verifies deliveries" in a["cause"], a
        assert "sluice secret list demo" in a["next"] and finding(s, "still verifies")
        edit(s, ", retire_at: " + end, "")
        eventually(lambda: not alarms(s), 30)
        eventually(lambda: kinds(r.got) == [("raised", "old_secret"), ("cleared", "old_secret")])


def what_is_not_shipped():
    with Receiver() as r, watched(r, ", unshipped: 2s") as s:
        s.write("data/staging", "no folder")
        start(s)
        assert post(s, "a") == 200
        a = eventually(lambda: alarms(s).get(("unshipped", "", "objects")), 40)
        assert "the oldest entry that objects has not taken is" in a["cause"], a
        assert any("has not taken" in w for w in status(s)["warnings"])
        os.unlink(s.path("data", "staging"))
        eventually(lambda: not alarms(s), 60)
        eventually(lambda: kinds(r.got) == [("raised", "unshipped"), ("cleared", "unshipped")])


def a_receiver_that_is_away():
    """Its failure is shown; then everything is told, in order, once; nothing shows the address."""
    with Receiver(status=500) as r, watched(r, fmt="slack") as s:
        start(s)
        rejected(s)
        eventually(lambda: len(r.refused) >= 2)
        w = eventually(lambda: next((w for w in status(s)["warnings"] if "alarms are not told" in w), None))
        assert "1 wait to be posted" in w and "127.0.0.1 answered 500: no_service" in w and "alarms.post" in w, w
        assert "alarms are not told" in s.run("status", code=None)[0]
        now = scrape(s)
        assert value(now, "sluice_alarm_posts_waiting") == 1 and value(now, "sluice_alarm_posts_total", result="failed") >= 2
        assert "an alarm could not be posted" in s.logged()
        s.kill()
        start(s)
        for i in range(1500):
            assert post(s, "good%d" % i) == 200
        eventually(lambda: not alarms(s))
        r.status = 200
        eventually(lambda: len(r.got) == 2, 60)
        texts = [p["body"]["text"] for p in r.got]
        assert list(r.got[0]["body"]) == ["text"] and texts[0].startswith(":rotating_light: *demo*: 8 of the last 8"), texts
        assert "→ sluice verify demo --last-rejected" in texts[0] and texts[1].startswith(":white_check_mark: cleared: *demo*"), texts
        assert "webhook-signature" not in r.got[0]["headers"]
        eventually(lambda: not status(s)["warnings"])
        time.sleep(2)
        assert len(r.got) == 2
        shown = s.logged() + s.run("status", code=None)[0] + json.dumps(status(s)) + s.run("config", "check", code=None)[0]
        assert "very-secret-part" not in shown


def nobody_listens_there():
    with Receiver() as r, watched(r) as s:
        s.write("secrets/receiver", "http://127.0.0.1:%d/very-secret-part" % free_port())
        start(s)
        rejected(s)
        eventually(lambda: any("alarms are not told" in w and "127.0.0.1" in w for w in status(s)["warnings"]))
        s.write("secrets/receiver", r.url)  # read anew for each try
        eventually(lambda: len(r.got) == 1, 60)
        assert is_genuine(r.got[0]) and "very-secret-part" not in s.logged()


TESTS = [a_rising_share_is_told_once_and_cleared_once, silence_is_told_and_caught_up_from, a_downtime_is_caught_up_from, catching_up_is_tried_again,
         a_lost_endpoint_is_told_and_caught_up_from, what_was_refused_for_want_of_room_is_caught_up_from,
         an_old_secret_near_its_end, what_is_not_shipped, a_receiver_that_is_away, nobody_listens_there]

if __name__ == "__main__":
    sys.exit(main(TESTS, "alarms"))
