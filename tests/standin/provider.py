"""A provider to pull from: paged list APIs over a History, in which rows change while they are read, with faults.

GET /v1/<table>?limit=&starting_after=     id cursor, newest first (customers, invoices, subscriptions)
GET /v1/tickets?per_page=&page=            Link header, root array; without the columns body and votes
GET /v1/events?limit=&starting_after=      the log of past events, newest first

`advance(n)` lets the first n changes have happened; with `step` each page lets that many more happen. The Date header is the provider's
own clock: the second of the last change, or `clock_s` once it is set.
"""
import email.utils
import http.server
import json
import random
import socket
import threading
import time
import urllib.parse

TOKEN = "sk_test_standin"


class Provider:
    def __init__(self, history, seed=0, faults=(), step=0):
        """faults: a list of ("429", "500", "cut", "html") served once each, in order, at seeded places; see also fault_rate."""
        self.history, self.step = history, step
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.happened = 0
        self.rows = {t: {} for t in ("customers", "invoices", "subscriptions", "tickets")}
        self.born = {}  # (table, key) -> order of creation, kept when deleted: a cursor may stand on it
        self.log = []
        self.clock_s = None
        self.second = history.now_s - history.span_s
        self.faults, self.fault_rate = list(faults), 0.0
        self.pages = self.waits = self.errors = self.refused = 0
        self.server = None

    # -- time passes ------------------------------------------------------------------------------------------------
    def advance(self, n):
        with self.lock:
            self._advance(n)

    def _advance(self, n):
        for c in self.history.changes[self.happened:n]:
            if c.state is None:
                self.rows[c.table].pop(c.key, None)
            else:
                self.rows[c.table][c.key] = c.state
            self.born.setdefault((c.table, c.key), len(self.born))
            self.log.append(c.event)
            self.second = max(self.second, c.second)
        self.happened = max(self.happened, min(n, len(self.history.changes)))

    def now_s(self):
        if self.clock_s is not None:
            return self.clock_s
        return self.second

    # -- pages ------------------------------------------------------------------------------------------------------
    def cursor_page(self, table, query):
        limit = max(1, min(100, int(query.get("limit", ["10"])[0])))
        after = query.get("starting_after", [None])[0]
        if table == "events":
            end = len(self.log)
            if after is not None:
                end = int(after.split("_")[1])
            chosen = list(reversed(self.log[max(0, end - limit):end]))
            return {"object": "list", "data": chosen, "has_more": end - limit > 0}
        order = sorted(self.rows[table], key=lambda k: self.born[(table, k)], reverse=True)
        if after is not None:
            place = self.born[(table, after)]
            order = [k for k in order if self.born[(table, k)] < place]
        return {"object": "list", "data": [self.rows[table][k] for k in order[:limit]], "has_more": len(order) > limit}

    def link_page(self, query, base):
        size = max(1, min(100, int(query.get("per_page", ["30"])[0])))
        page = max(1, int(query.get("page", ["1"])[0]))
        order = sorted(self.rows["tickets"], key=lambda k: self.born[("tickets", k)])
        chosen = [dict(self.rows["tickets"][k]) for k in order[(page - 1) * size:page * size]]
        for row in chosen:
            row.pop("body"), row.pop("votes")
        link = None
        if len(order) > page * size:
            link = '<%s/v1/tickets?per_page=%d&page=%d>; rel="next"' % (base, size, page + 1)
        return chosen, link

    def fault(self):
        if self.faults and self.pages >= 2 and self.random.random() < 0.5:
            return self.faults.pop(0)
        if self.random.random() < self.fault_rate:
            return self.random.choice(("500", "cut", "429"))
        return None

    # -- serving ----------------------------------------------------------------------------------------------------
    def start(self, port=0):
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536  # head and body leave together

            def log_message(self, *args):
                pass

            def date_time_string(self, timestamp=None):
                return email.utils.formatdate(provider.now_s(), usegmt=True)

            def answer(self, status, body, headers=()):
                raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
                self.wfile.flush()

            def do_GET(self):
                with provider.lock:
                    provider.get(self)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass  # a puller that was killed: no news

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.base = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def get(self, handler):
        url = urllib.parse.urlsplit(handler.path)
        query = urllib.parse.parse_qs(url.query)
        table = url.path.rsplit("/", 1)[-1]
        if handler.headers.get("Authorization") != "Bearer " + TOKEN:
            self.refused += 1
            return handler.answer(401, {"error": {"message": "no such key"}})
        if table != "events" and table not in self.rows:
            return handler.answer(404, {"error": {"message": "no such resource"}})
        fault = self.fault()
        if fault == "429":
            self.waits += 1
            return handler.answer(429, {"error": {"message": "slow down"}}, [("Retry-After", "1")])
        if fault == "500":
            self.errors += 1
            return handler.answer(500, b"<html>oops</html>")
        if self.step:
            self._advance(self.happened + self.random.randint(0, 2 * self.step))
        headers = []
        if table == "tickets":
            body, link = self.link_page(query, self.base)
            headers = [("Link", link)] if link else []
        else:
            body = self.cursor_page(table, query)
        self.pages += 1
        if fault == "cut":
            self.errors += 1
            raw = json.dumps(body).encode()
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(raw) + 100))
            handler.end_headers()
            handler.wfile.write(raw[:len(raw) // 2])
            handler.wfile.flush()
            handler.close_connection = True
            try:
                handler.connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            return None
        return handler.answer(200, body, headers)

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()


def wait_port(port, seconds=10.0):
    """True when something accepts connections on the port within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False
