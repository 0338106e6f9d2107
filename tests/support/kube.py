"""What judges Kubernetes manifests: kustomize, the API's published schemas, and a real kube-apiserver with Debian's etcd.

All are built from Go modules into build/cache. kustomize and the schemas take a minute the first time; the server takes five to ten,
so it is built where LONG is set, and used from then on wherever it is there.

    kustomize(folder)           the text that `kustomize build` gives
    problems(document)          what the schemas say against it
    with ApiServer() as api: api.apply(document), api.create(document)
"""
import fcntl
import json
import os
import platform
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import zipfile

import yaml

from sluice import ROOT, free_port

CACHE = os.path.join(ROOT, "build", "cache")
GO, KUBERNETES, KUSTOMIZE, OPERATOR = "1.24.10", "1.34.2", "5.7.1", "0.74.0"
# The parts of Kubernetes that are modules of their own; the server's module names them without a version.
STAGED = """api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap code-generator
component-base component-helpers controller-manager cri-api cri-client csi-translation-lib dynamic-resource-allocation endpointslice
externaljwt kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils
pod-security-admission sample-apiserver""".split()
TOKEN = "the-tests-own"


class Missing(Exception):
    """What a test needs is not on this machine; the words say what."""


def run(*command, cwd=None, env=None, seconds=1800):
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=seconds)
    if done.returncode != 0:
        raise Missing("%s: %s" % (" ".join(command[:3]), (done.stderr or done.stdout).strip()[-400:]))
    return done.stdout


def made(name, make):
    """The file build/cache/<name>, made by make(path) where it is not there; one process at a time."""
    path = os.path.join(CACHE, name)
    os.makedirs(CACHE, exist_ok=True)
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            shutil.rmtree(path + ".part", ignore_errors=True)
            make(path + ".part")
            os.rename(path + ".part", path)
    return path


def module(path, version, go):
    with tempfile.TemporaryDirectory() as empty:
        return json.loads(run(go, "mod", "download", "-json", "%s@v%s" % (path, version), cwd=empty))["Dir"]


def go():
    """A Go that is new enough: the system's, or the one that the module proxy serves, since Debian 12's is too old."""
    if shutil.which("go"):
        version = run("go", "env", "GOVERSION").strip()[2:].split("-")[0].split(" ")[0]
        if tuple(int(n) for n in version.split(".")[:2]) >= (1, 24):
            return "go"
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    name = "golang.org/toolchain@v0.0.1-go%s.linux-%s" % (GO, machine)

    def fetch(part):
        proxy = os.environ.get("GOPROXY", "https://proxy.golang.org").split(",")[0].split("|")[0]
        os.makedirs(part)
        archive = os.path.join(part, "go.zip")
        try:
            with urllib.request.urlopen("%s/%s.zip" % (proxy, name.replace("@", "/@v/")), timeout=300) as r, open(archive, "wb") as f:
                shutil.copyfileobj(r, f)
        except OSError as e:
            raise Missing("no Go %s here, and none from %s: %s" % (GO, proxy, e))
        with zipfile.ZipFile(archive) as z:
            z.extractall(part)
        os.unlink(archive)
        for folder, _, names in os.walk(os.path.join(part, name)):
            if folder.endswith("bin") or "/pkg/tool/" in folder + "/":
                for n in names:
                    os.chmod(os.path.join(folder, n), 0o755)
    return os.path.join(made("go-" + GO, fetch), name, "bin", "go")


def build(part, go_mod, package):
    """One program of a module, with replacements, built into part."""
    tool = go()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "go.mod"), "w") as f:
            f.write(go_mod)
        run(tool, "build", "-p", "2", "-ldflags", "-s -w", "-o", part, package, cwd=folder,
            env={"GOFLAGS": "-mod=mod -buildvcs=false", "GOWORK": "off", "GOTOOLCHAIN": "local"})


def kustomize(folder):
    def make(part):
        build(part, "module sluice.test/kustomize\n\ngo 1.24.0\n\nrequire sigs.k8s.io/kustomize/kustomize/v5 v%s\n" % KUSTOMIZE,
              "sigs.k8s.io/kustomize/kustomize/v5")
    return run(made("kustomize-" + KUSTOMIZE, make), "build", folder, seconds=60)


# ---- the schemas ----

def schemas():
    def make(part):
        tool = go()
        os.makedirs(part)
        shutil.copy(os.path.join(module("k8s.io/kubernetes", KUBERNETES, tool), "api/openapi-spec/swagger.json"), part)
        shutil.copy(os.path.join(module("github.com/prometheus-operator/prometheus-operator", OPERATOR, tool),
                                 "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"), part)
    folder = made("kubernetes-schemas-%s-%s" % (KUBERNETES, OPERATOR), make)
    with open(os.path.join(folder, "swagger.json")) as f:
        definitions = json.load(f)["definitions"]
    with open(os.path.join(folder, "monitoring.coreos.com_podmonitors.yaml")) as f:
        crd = yaml.safe_load(f)
    kinds = {}
    for definition in definitions.values():
        for k in definition.get("x-kubernetes-group-version-kind", []):
            kinds[("%(group)s/%(version)s" % k).lstrip("/"), k["kind"]] = definition
    for version in crd["spec"]["versions"]:
        kinds["%s/%s" % (crd["spec"]["group"], version["name"]), crd["spec"]["names"]["kind"]] = version["schema"]["openAPIV3Schema"]
    return definitions, kinds, crd


TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "number": (int, float)}


def problems(document, known):
    """What is wrong with it, with the place of each."""
    definitions, kinds, _ = known
    kind = (document.get("apiVersion"), document.get("kind"))
    if kind not in kinds:
        return ["there is no %s in %s" % (kind[1], kind[0])]
    found, left = [], [(document, kinds[kind], kind[1])]
    while left:
        value, schema, place = left.pop()
        while "$ref" in schema:
            schema = definitions[schema["$ref"].rsplit("/", 1)[1]]
        wanted = schema.get("type")
        if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
            if not isinstance(value, (str, int)):
                found.append("%s: neither a number nor text" % place)
            continue
        if wanted and (not isinstance(value, TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean")):
            found.append("%s: %r is no %s" % (place, value, wanted))
            continue
        if "enum" in schema and value not in schema["enum"]:
            found.append("%s: %r is not one of %s" % (place, value, schema["enum"]))
        if isinstance(value, list):
            left += [(v, schema.get("items", {}), "%s[%d]" % (place, i)) for i, v in enumerate(value)]
        elif isinstance(value, dict):
            properties, rest = schema.get("properties", {}), schema.get("additionalProperties")
            found += ["%s: lacks %s" % (place, name) for name in schema.get("required", []) if name not in value]
            for name, v in value.items():
                if name in properties:
                    left.append((v, properties[name], "%s.%s" % (place, name)))
                elif isinstance(rest, dict):
                    left.append((v, rest, "%s.%s" % (place, name)))
                elif properties:
                    found.append("%s: has no field %s" % (place, name))
    return found


# ---- the server ----

def api_server():
    """The path of a kube-apiserver, or Missing."""
    def make(part):
        if not os.environ.get("LONG"):
            raise Missing("no kube-apiserver in build/cache; LONG=1 builds it, which takes some minutes")
        replacements = "".join("replace k8s.io/%s => k8s.io/%s v0%s\n" % (m, m, KUBERNETES[1:]) for m in STAGED)
        build(part, "module sluice.test/apiserver\n\ngo 1.24.0\n\nrequire k8s.io/kubernetes v%s\n\n%s" % (KUBERNETES, replacements),
              "k8s.io/kubernetes/cmd/kube-apiserver")
    return made("kube-apiserver-" + KUBERNETES, make)


class ApiServer:
    """A real kube-apiserver: it stores, defaults and refuses; nothing runs what it stores."""

    def __init__(self, seconds=120):
        program, etcd = api_server(), shutil.which("etcd")
        if not etcd:
            raise Missing("etcd is not here (apt-get install etcd-server)")
        self.dir, self.processes = tempfile.mkdtemp(prefix="sluice-kube-"), []
        self.port, client, peer = free_port(), free_port(), free_port()
        self.tls = ssl._create_unverified_context()  # its certificate is made at its start, by itself
        run("openssl", "genrsa", "-out", os.path.join(self.dir, "accounts.key"), "2048")
        with open(os.path.join(self.dir, "tokens.csv"), "w") as f:
            f.write('%s,tests,1,"system:masters"\n' % TOKEN)
        self._start("etcd", etcd, "--data-dir", "etcd", "--unsafe-no-fsync",
                    "--listen-client-urls", "http://127.0.0.1:%d" % client, "--advertise-client-urls", "http://127.0.0.1:%d" % client,
                    "--listen-peer-urls", "http://127.0.0.1:%d" % peer, "--initial-advertise-peer-urls", "http://127.0.0.1:%d" % peer,
                    "--initial-cluster", "default=http://127.0.0.1:%d" % peer)
        # Accounts of pods are made by a controller, and none runs here.
        self._start("kube-apiserver", program, "--etcd-servers=http://127.0.0.1:%d" % client, "--secure-port=%d" % self.port,
                    "--bind-address=127.0.0.1", "--cert-dir=certs", "--service-account-issuer=https://kubernetes.default.svc",
                    "--service-account-key-file=accounts.key", "--service-account-signing-key-file=accounts.key",
                    "--token-auth-file=tokens.csv", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16",
                    "--disable-admission-plugins=ServiceAccount")
        end = time.monotonic() + seconds
        while not self._ready():
            if time.monotonic() > end or any(p.poll() is not None for p in self.processes):
                words = open(os.path.join(self.dir, "kube-apiserver.log")).read()[-2000:]
                self.close()
                raise AssertionError("kube-apiserver did not become ready:\n" + words)
            time.sleep(0.3)

    def _start(self, name, *command):
        with open(os.path.join(self.dir, name + ".log"), "w") as log:
            self.processes.append(subprocess.Popen(command, cwd=self.dir, stdout=log, stderr=log))

    def _ready(self):
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for p in reversed(self.processes):
            p.terminate()
        for p in self.processes:
            try:
                p.wait(20)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def ask(self, method, path, body=None, kind="application/json"):
        """(status, text)"""
        request = urllib.request.Request("https://127.0.0.1:%d%s" % (self.port, path), method=method,
                                         data=json.dumps(body).encode() if body else None,
                                         headers={"Authorization": "Bearer " + TOKEN, "Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=30, context=self.tls) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()

    def _path(self, document):
        group = document["apiVersion"]
        root = "/api/v1" if group == "v1" else "/apis/" + group
        for resource in json.loads(self.ask("GET", root)[1]).get("resources", []):
            if resource["kind"] == document["kind"] and "/" not in resource["name"]:
                inside = "/namespaces/" + document["metadata"]["namespace"] if resource["namespaced"] else ""
                return "%s%s/%s" % (root, inside, resource["name"])
        raise AssertionError("the server knows no %s in %s" % (document["kind"], group))

    def apply(self, document):
        """As `kubectl apply --server-side --validate=strict` does. (status, words)"""
        path = "%s/%s?fieldManager=tests&fieldValidation=Strict&force=true" % (self._path(document), document["metadata"]["name"])
        status, text = self.ask("PATCH", path, document, "application/apply-patch+yaml")
        return status, text if status in (200, 201) else json.loads(text).get("message", text)

    def create(self, document):
        status, text = self.ask("POST", self._path(document) + "?fieldValidation=Strict", document)
        return status, text if status == 201 else json.loads(text).get("message", text)

    def wait_for_kind(self, group, kind, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status, text = self.ask("GET", "/apis/" + group)
            if status == 200 and any(r["kind"] == kind for r in json.loads(text)["resources"]):
                return
            time.sleep(0.1)
        raise AssertionError("the server does not come to know %s of %s" % (kind, group))
