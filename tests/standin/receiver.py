"""Who alarms are posted to: keeps what came, verifies Standard Webhooks, answers as it is told."""
import base64
import hashlib
import hmac
import http.server
import json
import threading

KEY = b"the key of the alarms' receiver."
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """with Receiver() as r: …   r.status may be changed; r.got: what was answered 2xx; r.refused: what was not."""

    def __init__(self, status=200, port=0):
        self.status, self.port, self.got, self.refused, self.lock = status, port, [], [], threading.Lock()

    def __enter__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    status = outer.status
                    (outer.got if 200 <= status < 300 else outer.refused).append(
                        {"path": self.path, "headers": dict((k.lower(), v) for k, v in self.headers.items()), "raw": raw,
                         "body": json.loads(raw)})
                answer = b"ok" if status == 200 else b"no_service"
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d/services/T000/B000/very-secret-part" % self.port
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def is_genuine(post, key=KEY):
    h = post["headers"]
    text = b"%s.%s." % (h["webhook-id"].encode(), h["webhook-timestamp"].encode()) + post["raw"]
    want = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(want, h["webhook-signature"])
