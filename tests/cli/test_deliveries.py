#!/usr/bin/env python3
"""The list of the last deliveries: complete, bounded, searched, and there again after a restart."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import main  # noqa: E402
from test_admin import FAST, event, eventually, instance, post, start  # noqa: E402


def listed(s, *args):
    return [json.loads(line) for line in s.run("deliveries", "demo", "--json", *args)[0].splitlines()]


def each_delivery_is_listed_and_found():
    with instance() as s:
        start(s)
        assert post(s, "a") == 200 and post(s, "b") == 200 and post(s, "a") == 200
        assert post(s, "c", signature="v1,AAAA") in (400, 401)
        got = eventually(lambda: len(listed(s)) == 4 and listed(s))
        assert [d["outcome"] for d in got][1:] == ["duplicate", "accepted", "accepted"], got
        assert [d["id"] for d in got] == ["", "evt_a", "evt_b", "evt_a"], got
        assert [d["status"] for d in got][1:] == [200, 200, 200] and got[0]["status"] in (400, 401)
        assert got[1]["entry"] == got[3]["entry"] and got[3]["type"] == "customer.created"
        assert all(d["bytes"] == len(event("a")) and 0 < d["latency_us"] < 20_000_000 for d in got), got
        assert len(listed(s, "--id", "evt_a")) == 2 and len(listed(s, "--outcome", "rejected")) == 1
        assert len(listed(s, "--type", "customer.*")) == 3 and listed(s, "--type", "invoice.*") == []
        assert len(listed(s, "-n", "1")) == 1
        s.run("deliveries", "demo", "--outcome", "lost", code=2)
        text, _, _ = s.run("deliveries", "demo")
        assert "evt_b" in text and "duplicate" in text
        assert s.stop() == 0
        assert listed(s) == got, "the same from the file"
        start(s)
        assert listed(s) == got
        assert post(s, "d") == 200
        eventually(lambda: [d["id"] for d in listed(s)] == ["evt_d", "", "evt_a", "evt_b", "evt_a"])
        eventually(lambda: "evt" in json.dumps(listed(s)) and os.path.exists(s.path("data/deliveries/demo.json")))
        assert os.stat(s.path("data/deliveries/demo.json")).st_mode & 0o777 == 0o600


def the_list_is_bounded():
    with instance(FAST + "retention: {deliveries: 5}\n") as s:
        start(s)
        for i in range(12):
            assert post(s, "n%d" % i) == 200
        eventually(lambda: [d["id"] for d in listed(s)] == ["evt_n%d" % i for i in range(11, 6, -1)])
        s.stop()
        assert len(listed(s)) == 5


if __name__ == "__main__":
    sys.exit(main([each_delivery_is_listed_and_found, the_list_is_bounded], "deliveries"))
