#!/usr/bin/env python3
"""Staging into buckets: two real S3 servers, everything that a network and a store can do wrong, kill -9 between any two requests,
and credentials from every place; after each the whole bucket is read back and compared with what the journal holds.

Prints "ok s3/NAME", "FAIL s3/NAME", or "skip s3/NAME reason" for each; names as arguments run only these. LONG=1: more kills, more
histories.
"""
import contextlib
import http.server
import itertools
import json
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import Sluice  # noqa: E402
import beside  # noqa: E402
import deliver  # noqa: E402
import s3  # noqa: E402

CONFIG = """
listen: 127.0.0.1:{port}
data_dir: ./data
sources:
  acme:
    manifest: generic
    secrets: [{file: ./secrets/acme}]
    verify:
      standard-webhooks-v1:
        algorithm: hmac-sha256
        signature: {header: webhook-signature, list: " ", pick: "v1,", encoding: base64}
        key: {encoding: base64, strip: whsec_}
        time: {from: header.webhook-timestamp, unit: s, past: 300s, future: 300s}
        signed: "{header.webhook-id}.{time}.{body}"
staging:
  objects: {url: "s3://@bucket@/in/here", endpoint: "@endpoint@", cut_age: 100ms@keys@@more@}
merge: {target: "sqlite:./data/tables.db", every: 200ms}
limits: {threads: 1}
"""
LONG = bool(os.environ.get("LONG"))
KEYS = ", access_key: {file: ./secrets/id}, secret_key: {file: ./secrets/key}"


def instance(port, more="", keys=KEYS, bucket="bucket", host="127.0.0.1", key=s3.KEY, secret=s3.SECRET, url=None):
    text = CONFIG.replace("@endpoint@", url or "http://%s:%d" % (host, port)).replace("@keys@", keys).replace("@more@", more)
    return Sluice(text.replace("@bucket@", bucket), {"secrets/acme": deliver.SECRET, "secrets/id": key, "secrets/key": secret})


def push(s, n, first=0, pad=0, patience=0):
    """Delivers n events; all must be answered 200, after so many seconds of 503 at most."""
    c = deliver.Connection(s.port)
    for i in range(first, first + n):
        body = json.dumps({"id": "e%d" % i, "pad": os.urandom(pad // 2).hex()}).encode()
        end = time.monotonic() + patience
        while True:
            status = c.post(deliver.request("/in/acme", "m%d" % i, body))
            if status != 503 or time.monotonic() > end:
                break
            time.sleep(0.1)
        assert status == 200, (i, status)
    c.close()


def entries(lines):
    return sorted(int(json.loads(line)["entry"].rsplit("/", 1)[1]) for line in lines)


def wait(what, seconds=60):
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        assert time.monotonic() < end, "waited %d s for %s" % (seconds, what.__doc__ or what)
        time.sleep(0.1)


def staged(s):
    """The number of entries in the books that are staged."""
    found = re.search(r"= (\d+) staged", s.run("status", code=None)[0])
    return int(found.group(1)) if found else 0


def settle(s, n, seconds=90):
    wait(lambda: staged(s) == n, seconds)


def check(s, bucket, n, seconds=90):
    """Everything is in the bucket, once, and in the tables; the books balance; nothing is left over."""
    settle(s, n, seconds)
    assert entries(bucket.lines()) == list(range(1, n + 1)), entries(bucket.lines())
    out = wait(lambda: (lambda o: o if "✗" not in o and "+ 0 waiting\n" in o.split("rows:")[1] else None)(s.run("status", code=None)[0]))
    assert "books balance" in out and "rows:    %d staged = %d merged + 0 waiting" % (n, n) in out, out


def spool(s):
    return os.listdir(s.path("data", "spool")) if os.path.isdir(s.path("data", "spool")) else []


SERVERS = {}


def server(kind):
    """One of each kind serves all tests; each test has a bucket prefix of its own, because its bucket is emptied before."""
    if kind not in SERVERS:
        SERVERS[kind] = kind()
    bucket = SERVERS[kind].bucket()
    for key in bucket.keys():
        bucket.remove(key)
    return SERVERS[kind], bucket


def whole_way(kind, more="", n=30, **kw):
    at, bucket = server(kind)
    with instance(at.port, more, **kw) as s:
        s.start()
        push(s, n // 2)
        settle(s, n // 2)
        push(s, n - n // 2, n // 2)
        check(s, bucket, n)
        assert s.stop() == 0, s.logged()
        assert not spool(s), spool(s)
        assert all(k.startswith("in/here/acme/events/dt=") for k in bucket.keys())
        # What a server wrote, one that comes later reads: the tables, made anew, hold the same.
        for end in ("", "-wal", "-shm"):
            if os.path.exists(s.path("data", "tables.db" + end)):
                os.remove(s.path("data", "tables.db" + end))
        s.run("merge", "--once")
        assert "rows:    %d staged = %d merged" % (n, n) in s.run("status")[0]
        assert not bucket.uploads()
        return bucket.keys()


def s3proxy_whole_way():
    whole_way(s3.S3Proxy)


def moto_whole_way():
    whole_way(s3.Moto)


def gzip_whole_way():
    keys = whole_way(s3.S3Proxy, ", compression: gzip")
    assert keys and all(k.endswith(".ndjson.gz") for k in keys), keys


def signature_v2():
    """S3Proxy checks it; with parts, lists of several pages and every kind of request."""
    with s3.Faults(server(s3.S3Proxy)[0].port) as proxy:
        bucket = server(s3.S3Proxy)[1]
        with instance(proxy.port, ", signature: v2, cut_bytes: 1GiB") as s:
            s.start()
            push(s, 3)
            settle(s, 3)
            push(s, 1, 3, pad=20 << 20)
            check(s, bucket, 4)
            assert [p for m, p in proxy.seen if "partNumber=2" in p]
            s.kill()
            bucket.begin_upload("in/here/a/b/dt=2026-01-01/%s.x" % node_of(bucket))
            s.start()
            wait(lambda: not bucket.uploads())
            s.stop()
    trouble("the secret key does not belong", server(s3.S3Proxy)[0].port, ", signature: v2", secret="wrong")


def virtual_style():
    class Virtual(s3.S3Proxy):
        options = "s3proxy.virtual-host=localhost\n"

        def bucket(self, name="bucket", **kw):
            return s3.Bucket(self.port, name, host="bucket.localhost", **kw)
    SERVERS.setdefault(Virtual, Virtual())
    whole_way(Virtual, ", style: virtual", host="localhost")


def encryption_header_is_sent():
    at, bucket = server(s3.Moto)
    with instance(at.port, ", encryption: AES256") as s:
        s.start()
        push(s, 3)
        check(s, bucket, 3)
        s.stop()
        headers = bucket.head(bucket.keys()[0])
        assert headers.get("x-amz-server-side-encryption") == "AES256", headers


def large(kind):
    """More than one part: 40 MiB that do not compress; memory stays small, and nothing unfinished is left."""
    at, bucket = server(kind)
    with s3.Faults(at.port) as proxy, instance(proxy.port, ", cut_bytes: 1GiB") as s:
        s.write("sluice.yaml", open(s.path("sluice.yaml")).read().replace("cut_age: 100ms", "cut_age: 6s"))
        s.start()
        push(s, 40, pad=1 << 20)
        before = s.rss_kib()
        settle(s, 40)
        grown = s.rss_kib() - before
        check(s, bucket, 40)
        parts = [p for m, p in proxy.seen if m == "PUT" and "partNumber=" in p]
        assert len(parts) >= 2, proxy.seen
        s.stop()
        assert not bucket.uploads() and not spool(s)
        if "asan" not in os.environ.get("SLUICE", "") and "dev" not in os.environ.get("SLUICE", ""):
            assert grown < 60 << 10, grown


def s3proxy_multipart():
    large(s3.S3Proxy)


def moto_multipart():
    large(s3.Moto)


FAULTS = {
    "before": "before", "lost": "lost", "half": "half", "slow": "slow",
    "500": ("status", 500, "InternalError"), "503": ("status", 503, "ServiceUnavailable"), "slow-down": ("status", 503, "SlowDown"),
    "timeout": ("status", 400, "RequestTimeout"), "bad-gateway": ("send", 502, {"Content-Type": "text/html"}),
}


def faults_of(kind):
    """Each fault at every third request: nothing is missing, nothing is there twice."""
    at, bucket = server(kind)
    total = 0
    with s3.Faults(at.port) as proxy, instance(proxy.port) as s:
        s.start()
        for fault in FAULTS.values():
            proxy.rule = lambda n, method, path, fault=fault: fault if n % 3 == 0 else None
            push(s, 6, total)
            total += 6
            settle(s, total)
        proxy.rule = lambda *_: None
        check(s, bucket, total)
        assert s.stop() == 0, s.logged()


def s3proxy_faults():
    faults_of(s3.S3Proxy)


def moto_faults():
    faults_of(s3.Moto)


def lost_answers_of_parts():
    """A multipart upload whose every kind of request is done while its answer is lost, once each."""
    at, bucket = server(s3.S3Proxy)
    seen = set()

    def rule(n, method, path):
        what = (method, re.sub(r"=[^&]*|/[^?]*", "", path))
        if what in seen or "upload" not in path:
            return None
        seen.add(what)
        return "lost"
    with s3.Faults(at.port, rule) as proxy, instance(proxy.port, ", cut_bytes: 1GiB") as s:
        s.start()
        push(s, 1, pad=20 << 20)
        check(s, bucket, 1)
        assert len(seen) >= 4, seen
        s.stop()
        # The upload whose id nobody has learned stays until this node starts again.
        assert len(bucket.uploads()) <= 1
        s.start()
        wait(lambda: not bucket.uploads())
        s.stop()


def dead_uploads_are_ended():
    at, bucket = server(s3.S3Proxy)
    with instance(at.port) as s:
        s.start()
        push(s, 1)
        check(s, bucket, 1)
        node = bucket.keys()[0].rsplit("/", 1)[1].split(".")[0]
        s.kill()
        mine = "in/here/acme/events/dt=2026-01-01/%s.events.%020d-%020d.0.ndjson.zst" % (node, 5, 6)
        bucket.begin_upload(mine)
        bucket.begin_upload(mine.replace(node, "sluice-otherone"))
        s.write("data/spool/%s.events.left" % node, "left over")
        s.write("data/spool/other.events.left", "another's")
        s.start()
        wait(lambda: len(bucket.uploads()) == 1)
        assert "otherone" in bucket.uploads()[0]
        assert spool(s) == ["other.events.left"], spool(s)
        s.stop()


def kills_of(kind, pad, most):
    """kill -9 before and behind each request of a cut, each on a server of its own: what the next one ends with is whole."""
    at, bucket = server(kind)
    point = done = 0
    with instance(at.port, ", cut_bytes: 1GiB") as s, s3.Faults(at.port) as proxy:
        text = open(s.path("sluice.yaml")).read()
        s.write("sluice.yaml", re.sub(r'endpoint: "[^"]*"', 'endpoint: "http://127.0.0.1:%d"' % proxy.port, text))
        while point < most:
            killed = []

            def rule(n, method, path):
                if killed or method == "GET" and "uploads" not in path or n < point // 2:
                    return None
                killed.append(1)
                if point % 2:
                    return s.kill
                s.kill()
                return "before"
            s.start()
            proxy.seen.clear()
            proxy.rule = rule
            push_until_dead(s, done, 3, pad)
            ended = False
            end = time.monotonic() + 60
            while s.server.poll() is None and time.monotonic() < end:
                if not killed and staged(s) >= journalled(s):
                    ended = True
                    break
                time.sleep(0.05)  # a kill behind a request comes when the store has done it
            proxy.rule = lambda *_: None
            if s.server.poll() is None:
                s.kill()
            done += 3
            point += 1
            if ended and point > 12:
                break
        s.start()
        n = journalled(s)
        check(s, bucket, n)
        assert n >= point, (n, point)
        s.stop()


def push_until_dead(s, first, n, pad):
    c = deliver.Connection(s.port)
    for i in range(first, first + n):
        c.post(deliver.request("/in/acme", "m%d" % i, json.dumps({"id": "e%d" % i, "pad": os.urandom(pad // 2).hex()}).encode()))
    c.close()


def journalled(s):
    out = s.run("status", code=None)[0]
    found = re.search(r"entries: (\d+) events", out)
    return int(found.group(1)) if found else 1 << 30


def s3proxy_kills():
    kills_of(s3.S3Proxy, 10, 24 if LONG else 12)


def moto_kills():
    kills_of(s3.Moto, 10, 14 if LONG else 8)


def kills_of_parts():
    kills_of(s3.S3Proxy, 5 << 20, 24 if LONG else 12)


def nobody_replaces_other_rows():
    """An object of the very name that ours will have, with other rows: it stays as it is, and status says what is wrong."""
    at, bucket = server(s3.S3Proxy)
    with s3.Faults(at.port) as proxy, instance(proxy.port) as s:
        foreign = []

        def rule(n, method, path):
            if method == "PUT" and not foreign:
                foreign.append(path.split("/", 2)[2].replace("%3D", "="))
                bucket.put(foreign[0], b"other rows")
            return None
        proxy.rule = rule
        s.start()
        push(s, 2)
        out = wait(lambda: (lambda o: o if "holds other rows" in o else None)(s.run("status", code=None)[0]))
        assert "Nothing was replaced" in out, out
        assert bucket.get(foreign[0]) == b"other rows"
        assert staged(s) == 0
        push(s, 2, 2)  # the endpoint is undisturbed
        bucket.remove(foreign[0])
        check(s, bucket, 4)
        s.stop()


def unconditional_stores():
    """A store that answers 501 to conditional writes is asked first."""
    at, bucket = server(s3.S3Proxy)

    class Old(s3.Faults):
        def serve(self, h):
            if h.headers.get("If-None-Match"):
                h.rfile.read(int(h.headers.get("Content-Length") or 0))
                return self.answer(h, 501, [], (s3.ERROR % ("NotImplemented", "no", "")).encode())
            return super().serve(h)
    with Old(at.port) as proxy, instance(proxy.port) as s:
        s.start()
        push(s, 5)
        settle(s, 5)
        proxy.rule = lambda n, method, path: "lost" if method == "PUT" and n % 2 else None
        push(s, 5, 5)
        check(s, bucket, 10)
        s.stop()


def regions_and_redirects():
    at, bucket = server(s3.S3Proxy)
    second = s3.Faults(at.port)

    puts = itertools.count()

    def rule(n, method, path):
        if method == "PUT" and next(puts) % 3 == 1:
            return ("send", 307, {"Location": "http://127.0.0.1:%d%s" % (second.port, path)})
        return None
    with second, s3.Faults(at.port, rule) as proxy, instance(proxy.port) as s:
        s.start()
        for i in range(6):
            push(s, 1, i)
            settle(s, i + 1)
        check(s, bucket, 6)
        assert [m for m, p in second.seen if m == "PUT"], second.seen
        s.stop()
    # A store that wants another region: it is taken over, and stays known. The request's scope shows which one it was.
    bucket = server(s3.S3Proxy)[1]
    scopes = []

    class Elsewhere(s3.Faults):
        def serve(self, h):
            region = h.headers["Authorization"].split("/")[2]
            scopes.append(region)
            if region != "eu-west-9":
                h.rfile.read(int(h.headers.get("Content-Length") or 0))
                text = (s3.ERROR % ("AuthorizationHeaderMalformed", "no", "<Region>eu-west-9</Region>")).encode()
                return self.answer(h, 400, [("x-amz-bucket-region", "eu-west-9")], b"" if h.command == "HEAD" else text)
            return super().serve(h)
    with Elsewhere(at.port) as proxy, instance(proxy.port) as s:
        s.start()
        push(s, 3)
        check(s, bucket, 3)
        s.stop()
        assert "us-east-1" in scopes and scopes.count("eu-west-9") > 2 * scopes.count("us-east-1"), scopes


def trouble(words, port, more="", mend=None, **kw):
    """status names it with what to do; deliveries are taken all the while; once it is mended everything arrives."""
    bucket = server(s3.S3Proxy)[1]
    with instance(port, more, **kw) as s:
        s.start()
        push(s, 3)
        out = wait(lambda: (lambda o: o if words in o else None)(s.run("status", code=None)[0]))
        assert s3.SECRET not in out and s3.SECRET not in s.logged()
        push(s, 3, 3)
        if mend:
            mend(s)
            check(s, bucket, 6)
        s.stop()


def troubles_are_named():
    at = server(s3.S3Proxy)[0]
    trouble("does not know the access key", at.port, key="nobody", mend=lambda s: s.write("secrets/id", s3.KEY))
    trouble("the secret key does not belong", at.port, secret="wrong", mend=lambda s: s.write("secrets/key", s3.SECRET))
    trouble("there is no bucket 'elsewhere'", at.port, bucket="elsewhere")
    for fault, words in ((("status", 403, "AccessDenied"), "access denied; the credentials need s3:PutObject"),
                         (("status", 403, "RequestTimeTooSkewed"), "this machine's clock is wrong"),
                         (("status", 301, "PermanentRedirect"), "is not in region us-east-1"),
                         (("status", 503, "SlowDown"), "overloaded"), ("before", "PUT")):
        with s3.Faults(at.port, lambda n, method, path, fault=fault: fault if method == "PUT" else None) as proxy:
            trouble(words, proxy.port, mend=lambda s: setattr(proxy, "rule", lambda *_: None))


def stops_while_the_store_hangs():
    """A store that takes requests and never answers does not hold up an orderly stop; nothing is lost by it."""
    at, bucket = server(s3.S3Proxy)
    release = threading.Event()
    with s3.Faults(at.port, lambda n, method, path: release.wait if method == "PUT" else None) as proxy, instance(proxy.port) as s:
        s.start()
        push(s, 3)
        wait(lambda: [m for m, p in proxy.seen if m == "PUT"])
        began = time.monotonic()
        assert s.stop() == 0, s.logged()
        assert time.monotonic() - began < 25
        release.set()
        proxy.rule = lambda *_: None
        s.start()
        check(s, bucket, 3)
        s.stop()


class Giver:
    """What gives temporary credentials: STS or a container's endpoint. Each time new keys that last `seconds`."""

    def __init__(self, seconds):
        self.seconds, self.asked, self.good = seconds, [], True
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_POST(self):
                outer.asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                until = outer.until()
                self.give("<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
                          "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s"
                          "</SecretAccessKey><SessionToken>token-%d</SessionToken><Expiration>%s</Expiration></Credentials>"
                          "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                          % (s3.KEY, s3.SECRET, len(outer.asked), until))

            def do_GET(self):
                outer.asked.append(self.headers.get("Authorization"))
                self.give(json.dumps({"AccessKeyId": s3.KEY, "SecretAccessKey": s3.SECRET, "Token": "token-%d" % len(outer.asked),
                                      "Expiration": outer.until()}))

            def give(self, text):
                if not outer.good:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.end_headers()
                self.wfile.write(text.encode())
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def until(self):
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.seconds))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def environment(**values):
    names = [n for n in os.environ if n.startswith("AWS_")] + list(values) + ["HOME"]
    before = {n: os.environ.get(n) for n in names}
    for n in before:
        os.environ.pop(n, None)
    os.environ.update(values)
    try:
        yield
    finally:
        for n, v in before.items():
            os.environ.pop(n, None)
            if v is not None:
                os.environ[n] = v


class Tokens(s3.Faults):
    """Takes the session token off (S3Proxy knows none) and notes it."""

    def __init__(self, port, **kw):
        self.tokens = []
        super().__init__(port, **kw)

    def serve(self, h):
        token = h.headers.get("x-amz-security-token")
        self.tokens.append(token)
        signed = h.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        assert not token or "x-amz-security-token" in signed, signed
        return super().serve(h)


def temporary(values, giver, asked):
    """Keys that last four seconds are renewed before they are over, and again after the store has refused them."""
    at, bucket = server(s3.Moto)
    with giver, Tokens(at.port) as proxy, environment(**values):
        with instance(proxy.port, keys="") as s:
            s.start()
            push(s, 2)
            settle(s, 2)
            wait(lambda: len(giver.asked) >= 3)
            assert asked in giver.asked[0], giver.asked[0]
            refused = []

            def rule(n, method, path):
                if method == "PUT" and not refused:
                    refused.append(len(giver.asked))
                    return ("status", 400, "ExpiredToken")
            proxy.rule = rule
            push(s, 2, 2)
            check(s, bucket, 4)
            assert refused and len(giver.asked) > refused[0]
            assert len(set(proxy.tokens)) >= 3 and None not in proxy.tokens, proxy.tokens
            s.stop()


def web_identity():
    giver = Giver(4)
    token = os.path.join(s3.CACHE, "token")
    os.makedirs(s3.CACHE, exist_ok=True)
    with open(token, "w") as f:
        f.write("the.pod's+token\n")
    temporary({"AWS_WEB_IDENTITY_TOKEN_FILE": token, "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_ENDPOINT_URL_STS": giver.url},
              giver, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&"
                     "RoleSessionName=sluice&WebIdentityToken=the.pod%27s%2Btoken")


def container():
    giver = Giver(4)
    temporary({"AWS_CONTAINER_CREDENTIALS_FULL_URI": giver.url + "/v1", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "Bearer x"}, giver,
              "Bearer x")


def environment_and_file():
    at, bucket = server(s3.S3Proxy)
    with environment(AWS_ACCESS_KEY_ID=s3.KEY, AWS_SECRET_ACCESS_KEY=s3.SECRET), instance(at.port, keys="") as s:
        s.start()
        push(s, 2)
        check(s, bucket, 2)
        s.stop()
    bucket = server(s3.S3Proxy)[1]
    with instance(at.port, keys="") as s:
        s.write("aws", "[default]\naws_access_key_id = no\naws_secret_access_key = no\n[work]\naws_access_key_id = %s\n"
                       "aws_secret_access_key = %s\n" % (s3.KEY, s3.SECRET))
        with environment(AWS_SHARED_CREDENTIALS_FILE=s.path("aws"), AWS_PROFILE="work"):
            s.start()
        push(s, 2)
        check(s, bucket, 2)
        s.stop()
    with environment(HOME="/nonexistent"):
        trouble("no credentials for the object store", at.port, keys="")


def tls_by_our_own_authority():
    import ssl
    import subprocess
    at, bucket = server(s3.S3Proxy)
    with s3.Faults(at.port) as proxy, instance(proxy.port, ", ca: ./ca.pem", url="https://localhost:%d" % proxy.port) as s:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", s.path("key.pem"),
                        "-out", s.path("ca.pem")], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(s.path("ca.pem"), s.path("key.pem"))
        proxy.server.socket = context.wrap_socket(proxy.server.socket, server_side=True)
        s.start()
        push(s, 3)
        check(s, bucket, 3)
        s.stop()
        s.write("sluice.yaml", open(s.path("sluice.yaml")).read().replace(", ca: ./ca.pem", ""))
        s.start()
        push(s, 1, 3)
        wait(lambda: "certificate" in s.run("status", code=None)[0])
        s.stop()


def archived(bucket, lane="events"):
    """The sequences that the archive's names say it holds."""
    pairs = [re.search(r"\.(\d{20})-(\d{20})\.\d{20}-\d{20}\.seg\.zst$", k).groups() for k in bucket.keys("in/here/_archive/%s/" % lane)]
    return sorted((int(a), int(b)) for a, b in pairs)


def archive_and_replay():
    """Segments that the journal no longer holds come back as rows of origin replay, chosen by time, type and id, once."""
    at, bucket = server(s3.S3Proxy)
    down = []
    rule = lambda n, method, path: "before" if down and method == "PUT" and "_archive" in path else None  # noqa: E731
    with s3.Faults(at.port, rule) as proxy, instance(proxy.port, ", archive: true") as s:
        s.write("sluice.yaml", open(s.path("sluice.yaml")).read() + "journal: {max: 1MiB, segment: 64KiB, reserve: 0}\n")
        s.start()
        down.append(1)
        push(s, 40, pad=8000)
        settle(s, 40)
        wait(lambda: "the archive" in s.run("status", code=None)[0])
        assert not archived(bucket)
        s.run("events", "show", "%s/events/1" % node_of(bucket))  # what is not archived stays
        down.clear()
        n = 40
        for _ in range(6):
            push(s, 40, n, pad=8000, patience=60)
            n += 40
            settle(s, n)
        shown = lambda: s.run("events", "show", "%s/events/1" % node_of(bucket), code=None)[2]  # noqa: E731
        wait(lambda: shown() != 0)
        ranges = archived(bucket)
        assert ranges[0][0] == 1 and all(a[1] + 1 == b[0] for a, b in zip(ranges, ranges[1:])), ranges
        out = s.run("events", "replay", "--from", "2026-01-01", "--to", "2100-01-01", "--dry-run", "--json")[0]
        assert json.loads(out)["entries"] == n, out
        before = len(bucket.keys("in/here/acme/"))
        assert json.loads(s.run("events", "replay", "acme", "--id", "%s/events/3" % node_of(bucket), "--json",
                                "--from", "2026-01-01")[0])["rows"] == 1
        assert len(bucket.keys("in/here/acme/")) == before + 1
        for _ in range(2):  # the second time changes nothing
            out = s.run("events", "replay", "--from", "2026-01-01", "--to", "2100-01-01", "--json")[0]
            assert json.loads(out)["rows"] == n, out
        lines = [json.loads(line) for line in bucket.lines("in/here/acme/")]
        first = entries([json.dumps(x) for x in lines if x["origin"] == "webhook"])
        again = entries([json.dumps(x) for x in lines if x["origin"] == "replay"])
        assert first == list(range(1, n + 1))
        assert again == sorted(first + [3]), len(again)
        out = wait(lambda: (lambda o: o if "+ 0 waiting\n" in o.split("rows:")[1] else None)(s.run("status", code=None)[0]))
        assert "books balance" in out and "rows:    %d staged" % (2 * n + 1) in out, out
        # Nothing chosen, nothing staged; a time that nothing was received in is nothing, too.
        assert json.loads(s.run("events", "replay", "--to", "2026-01-01", "--json")[0])["entries"] == 0
        assert json.loads(s.run("events", "replay", "--from", "2026-01-01", "--type", "nosuch.*", "--json")[0])["entries"] == 0
        assert s.run("events", "replay", code=2)[1]
        assert s.stop() == 0, s.logged()
        assert not os.path.isdir(s.path("data", "replay", "events")) or not os.listdir(s.path("data", "replay", "events"))


def histories_in_a_bucket():
    """The end-to-end test's random histories, transforms that change and kill -9 among it, with a bucket that fails now and then."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
    import e2e
    import random
    plain = e2e.CONFIG
    try:
        for seed in (3, 4, 6, 7, 9) if LONG else (4, 6):
            at, bucket = server(s3.Moto if seed == 4 else s3.S3Proxy)
            rnd = random.Random(seed)
            rule = lambda n, method, path: (  # noqa: E731
                rnd.choice(("before", "lost", "half", ("status", 503, "SlowDown"))) if rnd.random() < 0.05 else None)
            with s3.Faults(at.port, rule) as proxy, environment(AWS_ACCESS_KEY_ID=s3.KEY, AWS_SECRET_ACCESS_KEY=s3.SECRET):
                e2e.CONFIG = plain.replace('url: "file://./data/staging"',
                                           'url: "s3://bucket/in/here", endpoint: "http://127.0.0.1:%d"%s' % (
                                               proxy.port, ", compact: 1s" if seed != 3 else ""))
                print("   ", e2e.Run(seed, 300, False).run(), flush=True)
            # Each row that was staged is there once: an object's rows are a function of its range, and no two ranges overlap.
            seen = {}
            for key in bucket.keys("in/here/acme/"):
                folder, name = key.rsplit("/", 1)
                if name == "_manifest.json":
                    continue
                lane, pair = re.match(r"[^.]+\.([^.]+)\.(\d{20}-\d{20})\.", name).groups()
                first, last = (int(x) for x in pair.split("-"))
                for other_first, other_last in seen.get((folder, lane), []):
                    assert last < other_first or first > other_last, (key, other_first, other_last)
                seen.setdefault((folder, lane), []).append((first, last))
    finally:
        e2e.CONFIG = plain


def lists_of_several_pages():
    """1,200 objects of another node: each is found and merged, once."""
    import sqlite3
    import subprocess
    at, bucket = server(s3.S3Proxy)
    with instance(at.port) as s:
        s.start()
        push(s, 1)
        check(s, bucket, 1)
        s.stop()
        key = bucket.keys()[0]
        body = subprocess.run(["zstd", "-q", "-1"], input=unpacked(bucket, key), capture_output=True, check=True).stdout
        folder, name = key.rsplit("/", 1)
        for i in range(1, 1201):
            bucket.put("%s/other-00000000.events.%020d-%020d.%s" % (folder, i, i, name.split(".", 3)[3]), body)
        assert len(bucket.keys()) == 1201
        s.run("merge")
        db = sqlite3.connect(s.path("data", "tables.db"))
        assert db.execute("SELECT count(*) FROM _sluice_inputs").fetchone()[0] == 1201
        db.close()


def unpacked(bucket, key):
    return s3.unpack(key, bucket.get(key))


def node_of(bucket):
    return bucket.keys("in/here/acme/")[0].rsplit("/", 1)[1].split(".")[0]


def live_lines(bucket):
    """What a reader takes that honours the manifests: it reads them before it lists, so that what they name is there."""
    lines = []
    joined, dead = set(), set()
    keys = bucket.keys("in/here/acme/")
    for key in keys:
        if key.endswith("/_manifest.json"):
            for one in json.loads(bucket.get(key))["joined"]:
                joined.add("in/here/" + one["object"])
                dead |= {"in/here/" + part["object"] for part in one["parts"]}
    for key in bucket.keys("in/here/acme/"):
        if key.endswith("/_manifest.json") or key in dead or (".joined-" in key and key not in joined):
            continue
        lines += unpacked(bucket, key).splitlines()
    return lines


def parts_left(bucket):
    return [k for k in bucket.keys("in/here/acme/") if ".joined-" not in k and not k.endswith("_manifest.json")]


def push_apart(s, n, first):
    """n objects of three events each."""
    for i in range(n):
        push(s, 3, first + 3 * i)
        wait(lambda: s.server.poll() is not None or staged(s) == first + 3 * i + 3, 90)
        assert s.server.poll() is None, "the server was ended"


def balanced(s, n):
    out = s.run("status", code=None)[0]
    assert "books balance" in out, out
    return "rows:    %d staged = %d merged + 0 waiting" % (n, n) in out


def joins_of(kind):
    import sqlite3
    at, bucket = server(kind)
    with instance(at.port, ", compact: 1s") as s:
        s.start()
        for round_ in range(2):
            push_apart(s, 6, 18 * round_)
            n = 18 * (round_ + 1)

            def joined():
                assert entries(live_lines_or_again(bucket)) == list(range(1, n + 1))
                return balanced(s, n) and not parts_left(bucket)
            wait(joined)
        assert s.stop() == 0, s.logged()
        objects = [k for k in bucket.keys("in/here/acme/") if ".joined-" in k]
        assert 2 <= len(objects) <= 6, objects
        text = s.run("table", "head", "acme", "events", "-n", "50")[0]
        # A target that knows some parts, but neither the others nor the joined objects, takes what it lacks, and counts only that.
        db = sqlite3.connect(s.path("data", "tables.db"))
        parts = [row[0] for row in db.execute("SELECT object FROM _sluice_inputs WHERE object NOT LIKE '%joined-%' ORDER BY object")]
        assert len(parts) == 12, parts
        db.execute("DELETE FROM _sluice_inputs WHERE object LIKE '%joined-%'")
        db.executemany("DELETE FROM _sluice_inputs WHERE object = ?", [(p,) for p in parts[::2]])
        db.execute("UPDATE _sluice_counts SET rows = rows - 18")
        db.commit()
        db.close()
        out = s.run("status", code=None)[0]
        assert "books balance" in out and "18 merged + 18 waiting" in out, out
        s.run("merge")
        assert balanced(s, n), s.run("status", code=None)[0]
        # One that knows nothing takes the joined objects alone.
        for end in ("", "-wal", "-shm"):
            if os.path.exists(s.path("data", "tables.db" + end)):
                os.remove(s.path("data", "tables.db" + end))
        s.run("merge")
        assert balanced(s, n), s.run("status", code=None)[0]
        assert s.run("table", "head", "acme", "events", "-n", "50")[0] == text
        key = json.loads(live_lines(bucket)[0])["key"]["id"]
        assert s.run("table", "explain", "acme", "events", key)[0].count("events/1 ") <= 1
        assert ".joined-" in s.run("trace", json.loads(live_lines(bucket)[0])["entry"])[0]


def live_lines_or_again(bucket):
    """Between its list and its reads a part may go: a reader then begins again."""
    for _ in range(20):
        try:
            return live_lines(bucket)
        except AssertionError as e:
            if " 404 " not in str(e):
                raise
    raise AssertionError("parts go all the time")


def s3proxy_joins():
    joins_of(s3.S3Proxy)


def moto_joins():
    joins_of(s3.Moto)


def joins_and_kills():
    """kill -9 before and behind each request that a join makes: no row is missing and none is there twice, whenever one looks."""
    at, bucket = server(s3.S3Proxy)
    with instance(at.port, ", compact: 1s") as s, s3.Faults(at.port) as proxy:
        text = open(s.path("sluice.yaml")).read()
        s.write("sluice.yaml", re.sub(r'endpoint: "[^"]*"', 'endpoint: "http://127.0.0.1:%d"' % proxy.port, text))
        n = 0
        for what in (("PUT", "joined-"), ("PUT", "_manifest"), ("DELETE", ".events.")):
            for behind in (False, True):
                killed = []

                def rule(_, method, path):
                    if killed or method != what[0] or what[1] not in path:
                        return None
                    killed.append(1)
                    if behind:
                        return s.kill
                    s.kill()
                    return "before"
                proxy.rule = lambda *_: None
                s.start()
                proxy.rule = rule
                try:
                    push_apart(s, 3, n)
                except (AssertionError, OSError):  # what was left from before was joined meanwhile, and killed the server
                    assert killed
                wait(lambda: killed, 90)
                wait(lambda: s.server.poll() is not None)
                proxy.rule = lambda *_: None
                s.start()
                n = journalled(s)

                def whole():
                    return staged(s) == n and balanced(s, n)
                wait(whole)
                assert entries(live_lines_or_again(bucket)) == list(range(1, n + 1))
                s.stop()
        s.start()
        wait(lambda: not parts_left(bucket) and balanced(s, n))
        assert entries(live_lines(bucket)) == list(range(1, n + 1))
        s.stop()


def joins_in_a_folder():
    """The same with the directory store, whose manifest is replaced by a rename under a lock."""
    with instance(1) as s:
        text = open(s.path("sluice.yaml")).read()
        s.write("sluice.yaml", re.sub(r"  objects: .*", '  objects: {url: "file://./data/staging", cut_age: 100ms, compact: 1s}', text))
        s.start()
        push_apart(s, 6, 0)
        folder = s.path("data", "staging", "acme", "events")
        names = lambda: [n for d in os.listdir(folder) for n in os.listdir(os.path.join(folder, d))]  # noqa: E731
        wait(lambda: balanced(s, 18) and len(names()) == 2)
        assert s.stop() == 0, s.logged()
        assert sorted(n.startswith("_manifest.json") for n in names()) == [False, True], names()


TESTS = (s3proxy_whole_way, moto_whole_way, gzip_whole_way, signature_v2, virtual_style, encryption_header_is_sent, s3proxy_multipart,
         moto_multipart, s3proxy_faults, moto_faults, lost_answers_of_parts, dead_uploads_are_ended, s3proxy_kills, moto_kills,
         kills_of_parts, nobody_replaces_other_rows, unconditional_stores, regions_and_redirects, troubles_are_named,
         stops_while_the_store_hangs, web_identity, container, environment_and_file, lists_of_several_pages, histories_in_a_bucket,
         archive_and_replay, s3proxy_joins, moto_joins, joins_and_kills, joins_in_a_folder, tls_by_our_own_authority)


@contextlib.contextmanager
def servers():
    """They are started by the first test that needs one."""
    try:
        yield
    finally:
        for at in SERVERS.values():
            at.close()


if __name__ == "__main__":
    sys.exit(beside.main(TESTS, "s3", around=servers, missing=s3.Missing))
