#!/usr/bin/env python3
"""deploy/kubernetes: what it builds is what the API takes, keeps to the restricted pod security standard, and agrees with itself."""
import copy
import glob
import json
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import ROOT, Sluice, main  # noqa: E402
import deliver  # noqa: E402

try:
    import yaml
    import kube
except ImportError:
    yaml = None

FOLDER = os.path.join(ROOT, "deploy", "kubernetes")
OVERLAYS = ("single", "kafka-s3")
MANAGED = "single-managed-secrets"  # the overlay single with the component
built = {}


def documents(overlay):
    if overlay == MANAGED and overlay not in built:
        with tempfile.TemporaryDirectory(dir=os.path.join(ROOT, "build")) as folder:
            base = os.path.relpath(FOLDER, folder)
            with open(os.path.join(folder, "kustomization.yaml"), "w") as f:
                f.write("resources: [%s/overlays/single]\ncomponents: [%s/components/managed-secrets]\nnamespace: sluice\n" % (base, base))
            built[overlay] = [d for d in yaml.safe_load_all(kube.kustomize(folder)) if d]
    if overlay not in built:
        text = kube.kustomize(os.path.join(FOLDER, "overlays", overlay))
        built[overlay] = [d for d in yaml.safe_load_all(text) if d]
    return copy.deepcopy(built[overlay])


def find(docs, kind, name):
    return next(d for d in docs if d["kind"] == kind and d["metadata"]["name"] == name)


def workloads(docs):
    return [d for d in docs if d["kind"] in ("StatefulSet", "Deployment")]


def configuration(docs, workload):
    """The sluice.yaml that the workload's pods find."""
    name = next(v["configMap"]["name"] for v in workload["spec"]["template"]["spec"]["volumes"] if "configMap" in v)
    return find(docs, "ConfigMap", name)["data"]["sluice.yaml"]


def seconds(text):
    n, unit = re.match(r"(\d+)(ms|s|m|h|d)\Z", text).groups()
    return int(n) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def size(text):
    n, unit = re.match(r"(\d+)(Ki|Mi|Gi)B?\Z", text).groups()
    return int(n) << {"Ki": 10, "Mi": 20, "Gi": 30}[unit]


# ---- tests ----

def the_schemas_take_all():
    known = kube.schemas()
    for overlay in OVERLAYS + (MANAGED,):
        docs = documents(overlay)
        assert len(docs) >= 9, [d["kind"] for d in docs]
        for d in docs:
            assert not kube.problems(d, known), (overlay, d["metadata"]["name"], kube.problems(d, known))
    # And they do find something: a wrong name, a wrong type, something missing, an unknown kind.
    sts = find(documents("single"), "StatefulSet", "sluice")
    for change, words in ((lambda d: d["spec"].update(replica=2), "has no field replica"),
                          (lambda d: d["spec"].update(replicas="2"), "is no integer"),
                          (lambda d: d["spec"].pop("selector"), "lacks selector"),
                          (lambda d: d.update(apiVersion="apps/v9"), "there is no StatefulSet")):
        wrong = copy.deepcopy(sts)
        change(wrong)
        assert any(words in p for p in kube.problems(wrong, known)), (words, kube.problems(wrong, known))


def pod_of(workload, namespace):
    """The pod that a controller would make of it."""
    template = copy.deepcopy(workload["spec"]["template"])
    for claim in workload["spec"].get("volumeClaimTemplates", []):
        name = claim["metadata"]["name"]
        template["spec"]["volumes"].append({"name": name, "persistentVolumeClaim": {"claimName": name + "-0"}})
    return {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
            "metadata": {**template["metadata"], "name": workload["metadata"]["name"] + "-0", "namespace": namespace}}


def a_server_takes_all():
    known = kube.schemas()
    with kube.ApiServer() as api:
        status, words = api.create(known[2])
        assert status == 201, words
        api.wait_for_kind("monitoring.coreos.com/v1", "PodMonitor")
        for overlay in (MANAGED,) + OVERLAYS:
            docs, namespace = documents(overlay), "sluice-" + overlay
            status, words = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
            assert status == 201, words
            for d in docs:
                assert d["metadata"].pop("namespace") == "sluice", d["metadata"]
                d["metadata"]["namespace"] = namespace
                status, words = api.apply(d)
                assert status == 201, (overlay, d["kind"], d["metadata"]["name"], words)
                assert api.apply(d)[0] == 200  # once more: nothing in it fights the server's defaults
            for w in workloads(docs):
                pod = pod_of(w, namespace)
                status, words = api.create(pod)
                assert status == 201, (overlay, words)
                pod["metadata"]["name"] += "-privileged"
                pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
                status, words = api.create(pod)
                assert status == 403 and "violates PodSecurity" in words, (status, words)
        wrong = find(docs, "StatefulSet", "sluice")
        wrong["spec"]["template"]["spec"]["terminationGraceSeconds"] = 1
        status, words = api.apply(wrong)
        assert status in (400, 500) and "terminationGraceSeconds" in words, (status, words)


def pods_may_do_nothing():
    for overlay in OVERLAYS:
        for w in workloads(documents(overlay)):
            spec = w["spec"]["template"]["spec"]
            assert spec["automountServiceAccountToken"] is False and spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for c in spec["containers"] + spec.get("initContainers", []):
                s = c["securityContext"]
                assert s["readOnlyRootFilesystem"] is True and s["allowPrivilegeEscalation"] is False
                assert s["capabilities"] == {"drop": ["ALL"]}, s
                assert {"cpu", "memory"} <= set(c["resources"]["requests"]) and "memory" in c["resources"]["limits"]
                assert c["livenessProbe"]["httpGet"]["path"] == "/livez" and c["readinessProbe"]["httpGet"]["path"] == "/readyz"
            for v in spec["volumes"]:
                if "secret" in v:
                    assert v["secret"]["defaultMode"] == 0o440, v
            assert not [m for c in spec["containers"] for m in c["volumeMounts"] if "subPath" in m], "a subPath is never swapped"


def an_account_may_change_its_one_secret():
    """With the component, and without it nothing at all."""
    docs, plain = documents(MANAGED), documents("single")
    assert not [d for d in plain if d["kind"] in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")]
    spec = find(docs, "StatefulSet", "sluice")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is True
    mounted = [v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v]
    assert find(docs, "Role", "sluice-secrets")["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": mounted, "verbs": ["get", "patch"]}]
    bound = find(docs, "RoleBinding", "sluice-secrets")
    assert bound["roleRef"]["name"] == "sluice-secrets" and bound["subjects"] == [
        {"kind": "ServiceAccount", "name": spec["serviceAccountName"], "namespace": "sluice"}], bound
    ports = [p["port"] for e in find(docs, "NetworkPolicy", "sluice")["spec"]["egress"] for p in e["ports"]]
    assert 6443 in ports and 6443 not in [p["port"] for e in find(plain, "NetworkPolicy", "sluice")["spec"]["egress"] for p in e["ports"]]


def times_and_sizes_agree():
    for overlay in OVERLAYS:
        docs = documents(overlay)
        ingress = find(docs, "Ingress", "sluice")["metadata"]["annotations"]
        assert ingress["nginx.ingress.kubernetes.io/proxy-body-size"] == "26m"  # limits.body's default
        assert int(ingress["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > 60  # limits.request's
        for w in workloads(docs):
            config, spec = yaml.safe_load(configuration(docs, w)), w["spec"]["template"]["spec"]
            container = spec["containers"][0]
            drain, stop = seconds(config.get("drain_delay", "0s")), seconds(config["stop_within"])
            command = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
            within = seconds(command[command.index("--within") + 1]) if command else 0
            assert spec["terminationGracePeriodSeconds"] >= within + drain + stop + 5, (overlay, w["metadata"]["name"])
            ports = {p["name"]: p["containerPort"] for p in container["ports"]}
            assert config["admin"]["listen"] == "0.0.0.0:%d" % ports["admin"]
            if w["kind"] == "StatefulSet":
                probe = container["readinessProbe"]
                assert command[:2] == ["sluice", "drain"] and within > drain
                assert drain > probe["periodSeconds"] * probe["failureThreshold"], "traffic would still come at the end"
                assert config["listen"] == "0.0.0.0:%d" % ports["http"]
                volume = w["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
                assert size(config["journal"]["max"]) + size(config["journal"]["reserve"]) <= size(volume)
                assert w["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenScaled": "Retain", "whenDeleted": "Retain"}
            mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
            assert config["data_dir"] == mounts["data"] and mounts["config"] == "/etc/sluice"
        selector = find(docs, "Service", "sluice")["spec"]["selector"]
        assert selector["app.kubernetes.io/component"] == "ingest", "deliveries would go to the merge worker"
        for d in (find(docs, "PodDisruptionBudget", "sluice"),):
            assert d["spec"]["selector"]["matchLabels"] == selector


def configurations_are_good():
    """Each sluice.yaml, as this program reads it, with the Secret's files where the pod has them."""
    for overlay in OVERLAYS:
        docs = documents(overlay)
        for w in workloads(docs):
            text = configuration(docs, w)
            names = sorted(set(re.findall(r"/run/secrets/sluice/([a-z0-9.-]+)", text)))
            assert "admin" in names
            with Sluice("", {"secrets/" + n: deliver.SECRET for n in names}) as s:
                s.write("secrets/kafka-ca.pem", open("/etc/ssl/certs/ca-certificates.crt").read())
                s.write("sluice.yaml", text.replace("/run/secrets/sluice", s.path("secrets")).replace("/var/lib/sluice", s.path("data")))
                s.run("config", "check")


def only_one_does_the_pulls_and_the_merge():
    docs = documents("kafka-s3")
    door = yaml.safe_load(configuration(docs, find(docs, "StatefulSet", "sluice")))
    worker = yaml.safe_load(configuration(docs, find(docs, "Deployment", "sluice-merge")))
    assert find(docs, "StatefulSet", "sluice")["spec"]["replicas"] == 3 and find(docs, "Deployment", "sluice-merge")["spec"]["replicas"] == 1
    assert "every" not in json.dumps(door["sources"]) and "every" in json.dumps(worker["sources"])
    assert door["merge"]["target"] == "none" and worker["merge"]["target"].startswith("sqlite:")
    assert door["staging"] == worker["staging"] and set(door["sources"]) == set(worker["sources"])


def nothing_is_forgotten():
    used = set()
    for overlay in glob.glob(os.path.join(FOLDER, "*", "*", "kustomization.yaml")) + [os.path.join(FOLDER, "base", "kustomization.yaml")]:
        text, folder = yaml.safe_load(open(overlay)), os.path.dirname(overlay)
        used.add(overlay)
        for name in text.get("resources", []) + [f.split("=")[-1] for g in text.get("configMapGenerator", []) for f in g["files"]]:
            used.add(os.path.join(folder, name))
    there = {f for f in glob.glob(os.path.join(FOLDER, "**"), recursive=True) if os.path.isfile(f)}
    assert there <= used, there - used


TESTS = [the_schemas_take_all, a_server_takes_all, pods_may_do_nothing, an_account_may_change_its_one_secret, times_and_sizes_agree, configurations_are_good,
         only_one_does_the_pulls_and_the_merge, nothing_is_forgotten]


if __name__ == "__main__":
    if not yaml:
        for t in TESTS:
            print("skip deploy/%s python3-yaml is not here" % t.__name__)
        sys.exit(0)
    try:
        documents("single")
        kube.schemas()
    except kube.Missing as e:
        for t in TESTS:
            print("skip deploy/%s %s" % (t.__name__, e))
        sys.exit(0)
    try:
        kube.api_server()
    except kube.Missing as e:
        if os.environ.get("LONG"):
            print("skip deploy/a_server_takes_all %s" % e)
        else:
            print("a_server_takes_all is left out: %s" % e)
        TESTS.remove(a_server_takes_all)
    sys.exit(main(TESTS, "deploy"))
