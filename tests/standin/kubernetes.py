"""An API server with one Secret over TLS, as far as get and patch go, and the kubelet that brings it to a mount a while later."""
import base64
import http.server
import json
import os
import ssl
import subprocess
import threading
import time

TOKEN = "eyJ.standin-service-account.token"


class Kubernetes:
    """with Kubernetes(folder) as k: …   folder/account is the service account's, folder/mount where the Secret is mounted."""

    def __init__(self, folder, name="sluice-secrets", lag=0.5):
        self.folder, self.name, self.lag = folder, name, lag
        self.account, self.mount = os.path.join(folder, "account"), os.path.join(folder, "mount")
        self.data, self.patches, self.mode = {}, [], None
        self.stopping = False
        for d in (self.account, self.mount):
            os.makedirs(d, mode=0o700, exist_ok=True)
        key = os.path.join(folder, "api.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=api", "-addext",
                        "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", os.path.join(self.account, "ca.crt")], check=True, capture_output=True)
        self.write("token", TOKEN + "\n")
        self.write("namespace", "data")
        self.key = key

    def write(self, name, text):
        with open(os.path.join(self.account, name), "w") as f:
            f.write(text)

    def text(self, key):
        return base64.b64decode(self.data[key]).decode() if key in self.data else None

    def answer(self, method, path, headers, body):
        if headers.get("Authorization") != "Bearer " + TOKEN:
            return 401, {"kind": "Status", "code": 401}
        if path != "/api/v1/namespaces/data/secrets/" + self.name:
            return 404, {"kind": "Status", "code": 404}
        if self.mode == "forbidden":
            return 403, {"kind": "Status", "code": 403, "message": "secrets is forbidden"}
        if method == "PATCH":
            assert headers["Content-Type"] == "application/merge-patch+json"
            change = json.loads(body)
            assert list(change) == ["data"]
            self.patches.append(sorted(change["data"]))
            for key, value in change["data"].items():
                if value is None:
                    self.data.pop(key, None)
                else:
                    base64.b64decode(value, validate=True)
                    self.data[key] = value
            threading.Thread(target=self.bring, args=(dict(self.data),), daemon=True).start()
        return 200, {"kind": "Secret", "metadata": {"name": self.name}, "data": self.data}

    def bring(self, data):
        time.sleep(self.lag)
        for key, value in data.items():
            path = os.path.join(self.mount, key)
            with open(path + ".new", "wb") as f:
                f.write(base64.b64decode(value))
            os.rename(path + ".new", path)
        for name in os.listdir(self.mount):
            if name not in data and not name.endswith(".new"):
                os.unlink(os.path.join(self.mount, name))

    def __enter__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, out = outer.answer(self.command, self.path, self.headers, body)
                text = json.dumps(out).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_PATCH = serve

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(self.account, "ca.crt"), self.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # who refuses our certificate
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.base = "https://127.0.0.1:%d" % self.server.server_address[1]
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
