#!/usr/bin/env python3
"""The events that the benchmarks send, as files of raw HTTP requests (format: bench/measure.h).

    bench/payloads.py FOLDER [--generated]     writes github.req, mixed.req and small.req there, and says what is in them

github.req  GitHub's own published examples from npm where npm is there (the package and the version that tests/real takes), else
            made ones of the same form; 1 to 20 KB, signed once with the benchmark's secret. A delivery's id isn't part of what is
            signed, so the load generator gives every request an id of its own and no answer comes from the set of duplicates.
mixed.req   the same and as many Stripe events, invoices and subscriptions of 1 to 20 KB; for the loops that verify no signature.
small.req   bodies of about a hundred bytes, for journals of very many entries.
"""
import base64
import hashlib
import hmac
import json
import os
import random
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GITHUB_SECRET = "It's a Secret to Everybody"
STRIPE_SECRET = "whsec_bench_stripe_secret"
STRIPE_VERSION = "2025-02-24.acacia"
ID = "00000000-0000-4000-8000-000000000000"
LEAST, MOST = 1024, 20 * 1024


class Unavailable(Exception):
    pass


def github_examples():
    """[(type, body)] from GitHub's own examples; Unavailable where they cannot be had."""
    sys.path.insert(0, os.path.join(ROOT, "tests", "real"))
    try:
        import real
        requests = real.signed_requests()
    except Exception as e:  # no npm, no network, no node: the made ones do as well
        raise Unavailable(str(e).splitlines()[0] if str(e) else type(e).__name__)
    # A ping is a handshake: it is answered, not stored.
    return [(r["type"], base64.b64decode(r["body"])) for r in requests if r["source"] == "github" and r["type"] != "ping"]


def person(rnd):
    login = "".join(rnd.choice("abcdefghijklmnop") for _ in range(rnd.randint(5, 12)))
    urls = {k + "_url": "https://api.github.com/users/%s/%s" % (login, k) for k in (
        "followers", "following", "gists", "starred", "subscriptions", "organizations", "repos", "events", "received_events")}
    return {"login": login, "id": rnd.randint(1, 10**8), "node_id": "U_" + "%020x" % rnd.getrandbits(80), **urls,
            "gravatar_id": "", "avatar_url": "https://avatars.githubusercontent.com/u/1?v=4", "type": "User", "site_admin": False}


def repository(rnd, owner):
    name = owner["login"] + "/" + rnd.choice(("api", "web", "infra", "docs", "mobile"))
    urls = {k + "_url": "https://api.github.com/repos/%s/%s{/sha}" % (name, k) for k in (
        "forks", "keys", "collaborators", "teams", "hooks", "events", "assignees", "branches", "tags", "blobs", "git_refs",
        "trees", "statuses", "languages", "stargazers", "contributors", "subscribers", "commits", "comments", "issues", "contents",
        "compare", "merges", "archive", "downloads", "pulls", "milestones", "notifications", "labels", "releases", "deployments")}
    return {"id": rnd.randint(1, 10**9), "node_id": "R_" + "%020x" % rnd.getrandbits(80), "name": name.split("/")[1],
            "full_name": name, "private": rnd.random() < 0.5, "owner": owner, **urls, "created_at": "2019-05-15T15:19:25Z",
            "updated_at": "2026-05-15T15:20:41Z", "pushed_at": "2026-05-15T15:20:56Z", "size": rnd.randint(0, 9**6),
            "stargazers_count": rnd.randint(0, 999), "default_branch": "main", "description": words(rnd, 12)}


def words(rnd, n):
    return " ".join(rnd.choice(("fix", "the", "cursor", "résumé", "after", "a", "“torn”", "page", "when\nit", "restarts",
                                "→", "and", "checks\\", "rows", "of", "tables")) for _ in range(n))


def github_made(n, rnd):
    out = []
    for i in range(n):
        owner = person(rnd)
        issue = {"id": rnd.randint(1, 10**9), "number": i, "title": words(rnd, 8), "user": person(rnd),
                 "state": "open", "locked": False,
                 "labels": [{"id": k, "name": words(rnd, 2), "color": "d73a4a"} for k in range(rnd.randint(0, 5))],
                 "assignees": [person(rnd) for _ in range(rnd.randint(0, 4))], "comments": rnd.randint(0, 50), "milestone": None,
                 "created_at": "2026-05-15T15:20:18Z", "updated_at": "2026-05-15T15:20:%02dZ" % rnd.randint(0, 59),
                 "body": words(rnd, rnd.randint(20, 600))}
        event = {"action": rnd.choice(("opened", "edited", "labeled", "closed")), "issue": issue,
                 "repository": repository(rnd, owner), "sender": person(rnd)}
        out.append(("issues", json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()))
    return out


def stripe_made(n, rnd):
    """[body]: events as Stripe sends them, indented by two, invoices with 1 to 16 lines, and customers."""
    out = []
    for i in range(n):
        customer = "cus_%014d" % rnd.randint(0, 500)
        address = {"city": "Zürich", "country": "CH", "line1": words(rnd, 3), "line2": None, "postal_code": "8004", "state": None}
        if rnd.random() < 0.25:
            kind = "customer.updated"
            thing = {"id": customer, "object": "customer", "address": address, "balance": 0, "created": 1700000000 + i,
                     "currency": "eur", "default_source": None, "delinquent": False, "description": words(rnd, 20), "email": "zoe%d@example.com" % i,
                     "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None},
                     "metadata": {"k%d" % k: words(rnd, 2) for k in range(rnd.randint(0, 12))}, "name": "Zoë %d" % i,
                     "phone": None, "preferred_locales": [], "shipping": {"address": address, "name": "Zoë", "phone": None},
                     "livemode": False, "tax_exempt": "none"}
        else:
            kind = rnd.choice(("invoice.paid", "invoice.created", "invoice.updated"))
            lines = [{"id": "il_%020x" % rnd.getrandbits(80), "object": "line_item", "amount": rnd.randint(1, 10**6),
                      "currency": "eur", "description": words(rnd, 6), "discountable": True, "discounts": [],
                      "invoice": "in_%d" % i, "livemode": False, "metadata": {}, "period": {"end": 1700000000, "start": 1690000000}, "proration": False, "quantity": 1,
                      "price": {"id": "price_%d" % k, "object": "price", "active": True, "unit_amount": 100 * k,
                                "type": "recurring", "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"}}}
                     for k in range(rnd.randint(1, 16))]
            thing = {"id": "in_%d" % i, "object": "invoice", "amount_due": rnd.randint(1, 10**6), "amount_paid": 0,
                     "attempt_count": 1, "created": 1700000000 + i, "currency": "eur", "customer": customer, "customer_address": address,
                     "status": rnd.choice(("draft", "open", "paid")), "total": rnd.randint(1, 10**6),
                     "livemode": False, "metadata": {}, "lines": {"object": "list", "data": lines, "has_more": False,
                                                                  "total_count": len(lines), "url": "/v1/invoices/lines"}}
        event = {"id": "evt_bench_%d" % i, "object": "event", "api_version": STRIPE_VERSION, "created": 1700000000 + i,
                 "data": {"object": thing}, "livemode": False, "pending_webhooks": 1,
                 "request": {"id": "req_%d" % i, "idempotency_key": None}, "type": kind}
        out.append(json.dumps(event, ensure_ascii=False, indent=2).encode())
    return out


def github_request(kind, body):
    """(bytes, offset of the delivery's id)"""
    signature = hmac.new(GITHUB_SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = ("POST /in/github HTTP/1.1\r\nHost: hooks.example.com\r\nAccept: */*\r\nUser-Agent: GitHub-Hookshot/044aadd\r\n"
            "Content-Type: application/json\r\nX-GitHub-Event: %s\r\nX-GitHub-Hook-ID: 292430182\r\n"
            "X-GitHub-Hook-Installation-Target-ID: 79929171\r\nX-GitHub-Hook-Installation-Target-Type: repository\r\n"
            "X-Hub-Signature-256: sha256=%s\r\nContent-Length: %d\r\nX-GitHub-Delivery: " % (kind, signature, len(body))).encode()
    return head + ID.encode() + b"\r\n\r\n" + body, len(head)


def stripe_request(body, at):
    signature = hmac.new(STRIPE_SECRET.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    head = ("POST /in/stripe HTTP/1.1\r\nHost: hooks.example.com\r\nAccept: */*\r\nUser-Agent: Stripe/1.0\r\n"
            "Content-Type: application/json; charset=utf-8\r\nStripe-Signature: t=%d,v1=%s\r\nContent-Length: %d\r\n\r\n"
            % (at, signature, len(body))).encode()
    return head + body, 0


def write(path, requests):
    with open(path + ".partial", "wb") as f:
        f.write(b"SLBENCH1" + struct.pack("<I", len(requests)))
        for raw, id_offset in requests:
            f.write(struct.pack("<II", len(raw), id_offset) + raw)
    os.replace(path + ".partial", path)


def sizes(requests):
    body = sorted(len(raw) - raw.index(b"\r\n\r\n") - 4 for raw, _ in requests)
    return {"requests": len(body), "bytes_min": body[0], "bytes_median": body[len(body) // 2], "bytes_max": body[-1],
            "bytes_mean": round(sum(body) / len(body)),
            "request_bytes_mean": round(sum(len(r) for r, _ in requests) / len(requests))}


def make(folder, generated=False):
    """Writes the three files; what is in them, and where the GitHub events are from."""
    rnd = random.Random(7)
    os.makedirs(folder, exist_ok=True)
    origin = "made here"
    try:
        if generated:
            raise Unavailable("not asked for")
        events = github_examples()
        origin = "GitHub's own examples (@octokit/webhooks-examples)"
    except Unavailable as e:
        if not generated:
            origin += ", because GitHub's own cannot be had: %s" % e
        events = github_made(250, rnd)
    events = [(kind, body) for kind, body in events if LEAST <= len(body) <= MOST]
    github = [github_request(kind, body) for kind, body in events]
    stripe = [stripe_request(body, 1700000000) for body in stripe_made(3 * len(github), rnd) if LEAST <= len(body) <= MOST]
    mixed = github + stripe[:len(github)]
    rnd.shuffle(github)
    rnd.shuffle(mixed)
    small = [github_request("watch", json.dumps({"action": "started", "number": i, "repository": {"id": i}}).encode())
             for i in range(64)]
    what = {"origin": origin}
    for name, requests in (("github", github), ("mixed", mixed), ("small", small)):
        write(os.path.join(folder, name + ".req"), requests)
        what[name] = sizes(requests)
    return what


if __name__ == "__main__":
    args = [a for a in sys.argv[1:] if a != "--generated"]
    if len(args) != 1 or args[0].startswith("-"):
        sys.exit(__doc__)
    print(json.dumps(make(args[0], "--generated" in sys.argv), indent=1))
