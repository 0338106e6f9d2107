"""A provider's past as a seeded list of changes, and the truth that follows from it.

Every change has the second in which the provider says it happened, the object after it, and the event that its webhook
carries. Times run from `span_s` before now up to now, several changes share a second, and what the real world adds is
in it: keys deleted and made again, cancelled subscriptions whose row stays, events that carry a wrong clock.
"""
import copy
import datetime
import random

TABLES = ("customers", "invoices", "subscriptions", "tickets")
INVOICE_PATH = ("draft", "open", "paid")


def iso(second):
    return datetime.datetime.fromtimestamp(second, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Change:
    __slots__ = ("second", "table", "verb", "key", "state", "event")

    def __init__(self, second, table, verb, key, state, event):
        self.second, self.table, self.verb, self.key, self.state, self.event = second, table, verb, key, state, event


class History:
    """changes: in the order in which they happened. truth(n): the tables after the first n of them."""

    def __init__(self, seed, objects, now_s, span_s=3600, wrong_clocks=True):
        self.random = random.Random(seed)
        self.now_s, self.span_s, self.wrong_clocks = now_s, span_s, wrong_clocks
        self.changes = []
        self.live = {t: {} for t in TABLES}
        self.final_keys = set()  # never deleted any more: a wrong clock may touch them
        self.touched = {}  # ticket -> second of its last change
        self._make(objects)

    # -- making -----------------------------------------------------------------------------------------------------
    def _make(self, objects):
        rnd = self.random
        plans = []
        for i in range(objects):
            table = rnd.choices(TABLES, (4, 4, 2, 3))[0]
            plans.append(self._plan(table, i))
        # Interleave the objects' lives: each step of a life happens after the one before it.
        steps = []
        for plan in plans:
            at = rnd.random()
            for verb, key, table in plan:
                steps.append((at, len(steps), verb, key, table))
                at += rnd.random() * (1 - at) * 0.5
        steps.sort()
        for place, _, verb, key, table in steps:
            second = int(self.now_s - self.span_s + place * (self.span_s - 5))
            self._apply(second, table, verb, key)

    def _plan(self, table, i):
        rnd = self.random
        key = {"customers": "cus", "invoices": "in", "subscriptions": "sub", "tickets": "tic"}[table] + "_%06d" % i
        if table == "tickets":
            key = 9007199254740993 + i * 7  # above 2^53: must come through untouched
        if table == "invoices":
            verbs = ["created"] + ["updated"] * rnd.randint(0, 2) + rnd.choice(([], ["paid"], ["voided"]))
        elif table == "subscriptions":
            verbs = ["created"] + ["updated"] * rnd.randint(0, 1) + rnd.choice(([], ["cancelled"]))
        else:
            verbs = ["created"] + ["updated"] * rnd.randint(0, 4)
        fate = rnd.random()
        if table in ("customers", "tickets", "invoices") and fate < 0.15:
            verbs += ["deleted"]
            if fate < 0.05:
                verbs += ["created"] + ["updated"] * rnd.randint(0, 2)
        if "deleted" not in verbs:
            self.final_keys.add((table, key))
        return [(verb, key, table) for verb in verbs]

    def _fresh(self, table, key, second):
        rnd = self.random
        row = {"id": key, "object": table[:-1], "created": second, "name": rnd.choice(("Zoë", "Ann", "李", "O'Neil", "a\"b"))}
        if table == "customers":
            row.update(updated_at=iso(second), email="%s@example.com" % key, balance=rnd.randint(-10**6, 10**6))
        elif table == "invoices":
            row.update(status="draft", amount=rnd.randint(1, 10**7), lines=[{"n": 1, "price": 1.50}])
        elif table == "subscriptions":
            row.update(status="active", plan=rnd.choice(("basic", "pro")))
        else:
            row.update(updated_at=iso(second), title="t%d" % rnd.randint(0, 999), body="long text %d" % rnd.randint(0, 9999),
                       votes=rnd.randint(0, 99))
        return row

    def _mutate(self, row, table, verb, second):
        rnd = self.random
        row["name"] = rnd.choice(("Zoë", "Ann", "李", "Bob %d" % rnd.randint(0, 99)))
        if table == "customers":
            row.update(updated_at=iso(second), balance=rnd.randint(-10**6, 10**6))
            if rnd.random() < 0.1:
                row["note_%d" % rnd.randint(1, 3)] = rnd.choice((None, True, "late column"))
        elif table == "invoices":
            if verb == "paid":
                row["status"] = "paid"
            elif verb == "voided":
                row["status"] = "void"
            else:
                row["status"] = "open"
        elif table == "subscriptions":
            row["status"] = "cancelled" if verb == "cancelled" else row["status"]
            row["plan"] = rnd.choice(("basic", "pro", "max"))
        else:
            row.update(updated_at=iso(second), body="long text %d" % rnd.randint(0, 9999), votes=rnd.randint(0, 99))

    def _apply(self, second, table, verb, key):
        rows = self.live[table]
        if table == "tickets":
            # What no page carries (body, votes) can only come from events, so no pull could settle two of the same second.
            second = max(second, self.touched.get(key, 0) + 1)
            self.touched[key] = second
        if verb == "created":
            rows[key] = self._fresh(table, key, second)
        elif verb != "deleted":
            self._mutate(rows[key], table, verb, second)
        state = copy.deepcopy(rows[key])
        if verb == "deleted":
            del rows[key]
        said = second
        if self.wrong_clocks and table in ("invoices", "subscriptions") and (table, key) in self.final_keys:
            if self.random.random() < 0.01:
                said = second + 366 * 86400
        number = len(self.changes)
        data = {"id": key} if verb == "deleted" else state
        event = {"id": "evt_%07d" % number, "type": "%s.%s" % (table[:-1], verb), "timestamp": iso(said), "created": second,
                 "data": data}
        self.changes.append(Change(second, table, verb, key, None if verb == "deleted" else state, event))

    # -- the truth --------------------------------------------------------------------------------------------------
    def truth(self, n=None):
        tables = {t: {} for t in TABLES}
        for c in self.changes[:n]:
            if c.state is None:
                tables[c.table].pop(c.key, None)
            else:
                tables[c.table][c.key] = c.state
        return tables
