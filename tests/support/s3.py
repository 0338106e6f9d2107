"""Object stores for the tests: two real S3 servers, a client of our own that reads them back, and a proxy that breaks things.

S3Proxy (Java, from Maven Central) checks signatures of both versions and knows conditional writes. moto (Python, from PyPI) is
another implementation of the same protocol; it takes any signature. Both are fetched once, into build/cache.
"""
import datetime
import fcntl
import hashlib
import hmac
import http.client
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import xml.etree.ElementTree

from sluice import ROOT, free_port

CACHE = os.path.join(ROOT, "build", "cache")
KEY, SECRET, REGION = "testkey", "testsecret", "us-east-1"
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>sluice.tests</groupId><artifactId>s3</artifactId><version>1</version>
<dependencies><dependency><groupId>org.gaul</groupId><artifactId>s3proxy</artifactId><version>3.0.0</version></dependency></dependencies>
</project>
"""
LOGBACK = """<configuration><appender name="E" class="ch.qos.logback.core.ConsoleAppender"><target>System.err</target>
<encoder><pattern>%d %level %msg%n</pattern></encoder></appender><root level="WARN"><appender-ref ref="E"/></root></configuration>
"""
MOTO = "moto[server,s3]==5.*"


class Missing(Exception):
    """What a test needs is not on this machine; the words say what."""


def fetch(name, command, ready):
    """Runs an ordinary client of a registry once; half a download is none."""
    folder = os.path.join(CACHE, name)
    if os.path.exists(os.path.join(folder, ready)):
        return folder
    os.makedirs(CACHE, exist_ok=True)
    with open(folder + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder if os.path.exists(os.path.join(folder, ready)) else fetch_alone(name, folder, command, ready)


def fetch_alone(name, folder, command, ready):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    try:
        done = subprocess.run(command(folder), cwd=folder, capture_output=True, text=True, timeout=600)
    except OSError as e:
        raise Missing("%s: %s" % (name, e))
    if done.returncode or not os.path.exists(os.path.join(folder, ready)):
        shutil.rmtree(folder, ignore_errors=True)
        raise Missing("%s cannot be fetched: %s" % (name, (done.stdout + done.stderr).strip()[-300:]))
    return folder


def missing():
    """What S3Proxy lacks on this machine, or None."""
    try:
        S3Proxy.fetched()
    except Missing as e:
        return str(e)
    return None


class Server:
    """A running store with an empty bucket named `bucket`."""
    kind = ""

    def __init__(self):
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix="sluice-s3-")
        self.log = open(os.path.join(self.dir, "log"), "wb")
        self.process = None
        try:
            self.process = subprocess.Popen(self.command(), cwd=self.dir, stdout=self.log, stderr=self.log)
            self.wait()
        except BaseException:  # no test has it yet: nobody else would end it
            self.close()
            raise

    def wait(self, seconds=90):
        end = time.monotonic() + seconds
        while True:
            try:
                return self.bucket("bucket").make()
            except (OSError, http.client.HTTPException):
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError("%s does not start" % self.kind)
                time.sleep(0.1)

    def bucket(self, name="bucket", **kw):
        return Bucket(self.port, name, **kw)

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class S3Proxy(Server):
    kind = "s3proxy"
    options = ""

    @staticmethod
    def fetched():
        def maven(folder):
            with open(os.path.join(folder, "pom.xml"), "w") as f:
                f.write(POM)
            return ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
        jars = os.path.join(fetch("s3proxy", maven, "jars"), "jars")
        if not shutil.which("java"):
            raise Missing("java is not installed")
        return jars

    def command(self):
        jars = self.fetched()
        os.makedirs(os.path.join(self.dir, "data", "bucket"))  # a folder is a bucket
        with open(os.path.join(self.dir, "logback.xml"), "w") as f:
            f.write(LOGBACK)
        with open(os.path.join(self.dir, "s3proxy.conf"), "w") as f:
            f.write("s3proxy.endpoint=http://127.0.0.1:%d\ns3proxy.authorization=aws-v2-or-v4\ns3proxy.identity=%s\n"
                    "s3proxy.credential=%s\njclouds.provider=filesystem-nio2\n"
                    "jclouds.filesystem.basedir=%s/data\n%s" % (self.port, KEY, SECRET, self.dir, self.options))
        return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-Dlogback.configurationFile=%s/logback.xml" % self.dir, "-cp",
                jars + "/*", "org.gaul.s3proxy.Main", "--properties", "s3proxy.conf"]


class Moto(Server):
    kind = "moto"

    def command(self):
        def pip(folder):
            venv = os.path.join(folder, "venv")
            return ["sh", "-c", "%s -m venv %s && %s/bin/pip install -q '%s'" % (sys.executable, venv, venv, MOTO)]
        folder = fetch("moto", pip, "venv/bin/moto_server")
        return [os.path.join(folder, "venv", "bin", "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]


class Bucket:
    """A client of our own, so that what the product wrote is read back by other code. Signature v4, path style."""

    def __init__(self, port, name, host=None, key=KEY, secret=SECRET):
        """host: the bucket's own, for a store that knows no other way."""
        self.port, self.name, self.host, self.key, self.secret = port, name, host, key, secret

    def call(self, method, key="", params=(), body=b"", headers=None, ok=(200, 204), give_headers=False):
        place = "/" + key if self.host else "/" + self.name + ("/" + key if key else "")
        path = urllib.parse.quote(place, safe="/-_.~")
        query = "&".join("%s=%s" % (urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                         for k, v in sorted(params))
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = hashlib.sha256(body).hexdigest()
        signed = {"host": "%s:%d" % (self.host or "127.0.0.1", self.port), "x-amz-content-sha256": digest, "x-amz-date": now}
        names = ";".join(sorted(signed))
        canonical = "\n".join([method, path, query] + ["%s:%s" % (k, signed[k]) for k in sorted(signed)] + ["", names, digest])
        scope = "%s/%s/s3/aws4_request" % (now[:8], REGION)
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        mac = ("AWS4" + self.secret).encode()
        for part in (now[:8], REGION, "s3", "aws4_request", text):
            mac = hmac.new(mac, part.encode(), hashlib.sha256).digest()
        signed["Authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
            self.key, scope, names, mac.hex())
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            c.request(method, path + ("?" + query if query else ""), body, {**signed, **(headers or {})})
            answer = c.getresponse()
            data = answer.read()
        finally:
            c.close()
        if ok and answer.status not in ok:
            raise AssertionError("%s %s: %d %s" % (method, path, answer.status, data[:300]))
        return answer.status, {k.lower(): v for k, v in answer.getheaders()} if give_headers else data

    def make(self):
        """Makes the bucket where it isn't there."""
        if self.call("GET", ok=None)[0] == 404:
            self.call("PUT", ok=(200, 409))

    @staticmethod
    def texts(data, name):
        return [e.text or "" for e in xml.etree.ElementTree.fromstring(data).iter() if e.tag.split("}")[-1] == name]

    def keys(self, prefix=""):
        found, token = [], None
        while True:
            params = [("list-type", "2"), ("prefix", prefix)] + ([("continuation-token", token)] if token else [])
            data = self.call("GET", params=params)[1]
            found += self.texts(data, "Key")
            token = (self.texts(data, "NextContinuationToken") or [None])[0]
            if not token:
                return found

    def get(self, key):
        return self.call("GET", key)[1]

    def head(self, key):
        return self.call("HEAD", key, give_headers=True)[1]

    def put(self, key, body):
        self.call("PUT", key, body=body)

    def remove(self, key):
        self.call("DELETE", key)

    def uploads(self):
        return self.texts(self.call("GET", params=[("uploads", "")])[1], "Key")

    def begin_upload(self, key):
        return self.texts(self.call("POST", key, params=[("uploads", "")])[1], "UploadId")[0]

    def lines(self, prefix=""):
        """Every line of every staged object."""
        return [line for key in self.keys(prefix) if re.search(r"\.ndjson\.(zst|gz)$", key)
                for line in unpack(key, self.get(key)).splitlines()]


def unpack(key, data):
    tool = ["zstd", "-dcq"] if key.endswith(".zst") else ["gzip", "-dc"]
    return subprocess.run(tool, input=data, capture_output=True, check=True).stdout


ERROR = '<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message>%s</Error>'


class Faults:
    """An HTTP proxy before a store. rule(n, method, path) -> None or one of these, for the n-th request (from 1):

    "before"  the connection ends before the store hears of it      "lost"   the store has done it, the answer is lost
    "half"    half the answer's body arrives                         "slow"   the answer comes after two seconds
    ("status", 503, "SlowDown") an answer of our own, the store hears nothing; more elements of it as a fourth value
    ("send", 307, {"Location": …}) likewise, with headers            a function: is called, with forward(), and may answer
    """

    def __init__(self, port, rule=lambda n, method, path: None):
        self.target, self.rule, self.seen, self.lock = port, rule, [], threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def serve(self):
                outer.serve(self)
            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = serve

        class Threads(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self.server = Threads(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def forward(self, h, body):
        c = http.client.HTTPConnection("127.0.0.1", self.target, timeout=60)
        try:
            c.putrequest(h.command, h.path, skip_host=True, skip_accept_encoding=True)
            for k, v in h.headers.items():
                c.putheader(k, v)
            c.endheaders(body)
            answer = c.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            c.close()

    def serve(self, h):
        body = h.rfile.read(int(h.headers.get("Content-Length") or 0))
        with self.lock:
            self.seen.append((h.command, h.path))
            n = len(self.seen)
        fault = self.rule(n, h.command, h.path)
        if fault == "before":
            return self.cut(h)
        if isinstance(fault, tuple):
            kind, status, what = fault[:3]
            text = b""
            if kind == "status" and h.command != "HEAD":
                text = (ERROR % (what, "made by the test", fault[3] if len(fault) > 3 else "")).encode()
            headers = what if kind == "send" else {}
            return self.answer(h, status, list(headers.items()), text)
        status, headers, data = self.forward(h, body)
        if callable(fault):
            fault()
        if fault == "lost":
            return self.cut(h)
        if fault == "slow":
            time.sleep(2)
        return self.answer(h, status, headers, data, half=fault == "half")

    @staticmethod
    def cut(h):
        h.close_connection = True
        try:
            h.connection.shutdown(2)
        except OSError:
            pass

    def answer(self, h, status, headers, data, half=False):
        h.send_response_only(status)
        length = None
        for k, v in headers:
            if k.lower() == "content-length":
                length = v
            elif k.lower() not in ("transfer-encoding", "connection"):
                h.send_header(k, v)
        if status not in (204, 304):
            h.send_header("Content-Length", length if h.command == "HEAD" and length else str(len(data)))
        h.end_headers()
        h.wfile.write(data[:len(data) // 2] if half else data)
        if half:
            self.cut(h)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
