"""A list API that answers every request in one way: an error, nothing at all, or an empty list."""
import http.server
import json
import threading

WORDS = {401: "Expired API key", 403: "insufficient permissions", 429: "slow down", 500: "oops"}


class Grumpy:
    """with Grumpy(401) as p: …   `p.mood` may be changed: a status, "hang" (never answers), or 200 (an empty list)."""

    def __init__(self, mood, headers=()):
        self.mood, self.headers, self.asked, self.over = mood, list(headers), 0, threading.Event()

    def __enter__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.asked += 1
                if outer.mood == "hang":
                    outer.over.wait(120)
                    self.close_connection = True
                    return
                body = {"object": "list", "data": [], "has_more": False}
                if outer.mood != 200:
                    body = {"error": {"message": WORDS[outer.mood]}}
                raw = json.dumps(body).encode()
                self.send_response(outer.mood)
                for name, value in outer.headers if outer.mood != 200 else ():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.base = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
