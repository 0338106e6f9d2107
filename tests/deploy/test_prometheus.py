#!/usr/bin/env python3
"""deploy/prometheus and deploy/grafana: every rule fires when it should and not when it should not, and every expression, of rules and
panels, is evaluated by a real Prometheus over what a running server said."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))
from sluice import ROOT, Sluice, free_port, main  # noqa: E402
import deliver  # noqa: E402
import history  # noqa: E402
import provider  # noqa: E402

RULES = os.path.join(ROOT, "deploy", "prometheus", "sluice.rules.yaml")
DASHBOARD = os.path.join(ROOT, "deploy", "grafana", "sluice.json")
TOKEN = "a token for the scraper"
METRIC = re.compile(r"\b(?:sluice_[a-z_]+|up)\b(?=[^(a-z_])(?:\{[^}]*\})?")

# alert: (series, values that make it fire, values that do not, minutes until it has to fire). Series of one case are all given.
R = "sluice_requests_total{instance='a',source='s',outcome='%s'}"
BUCKET = "sluice_%s_seconds_bucket{instance='a',le='%s'}"
CASES = {
    "SluiceDown": ([("up{job='sluice',instance='a'}", "1x5 0x30", "1x40")], 20),
    "SluiceGone": ([("up{job='sluice',instance='a'}", "_x40", "1x40"), ("up{job='other'}", "1x40", "1x40")], 20),
    "SluiceDeliveriesNotStored": ([(R % "unavailable", "0+1x40", "5+0x40")], 20),
    "SluiceDeliveriesRejected": ([(R % "bad_signature", "0+1x60", "7+0x60")], 45),
    "SluiceAllDeliveriesRejected": ([(R % "bad_signature", "0+1x60", "0+1x60"), (R % "accepted", "9+0x60", "0+1x60")], 45),
    "SluiceUnknownSource": ([("sluice_unknown_source_total{instance='a'}", "0+2x70", "0+0.5x70")], 61),
    "SluiceKafkaLate": ([("sluice_late_total{instance='a'}", "0+1x60", "3+0x60")], 40),
    "SluiceAnswersSlow": ([(BUCKET % ("request", "2.5"), "0+1x40", "0+100x40"), (BUCKET % ("request", "5"), "0+100x40", "0+100x40"),
                           (BUCKET % ("request", "+Inf"), "0+100x40", "0+100x40"), (BUCKET % ("request", "0.1"), "0+1x40", "0+100x40")], 20),
    "SluiceDiskSlow": ([(BUCKET % ("commit", "0.5"), "0+1x40", "0+100x40"), (BUCKET % ("commit", "1"), "0+100x40", "0+100x40"),
                        (BUCKET % ("commit", "+Inf"), "0+100x40", "0+100x40"), (BUCKET % ("commit", "0.1"), "0+1x40", "0+100x40")], 20),
    "SluiceJournalNearlyFull": ([("sluice_journal_bytes{instance='a'}", "18e9x40", "15e9x40")], 20),
    "SluiceJournalDiskFull": ([("sluice_journal_free_bytes{instance='a'}", "10e9-2e7x420", "10e9x420")], 400),
    "SluiceSinkDown": ([("sluice_sink_healthy{instance='a',sink='kafka'}", "0x40", "1 0 0 1x40")], 20),
    "SluiceSinkBehind": ([("sluice_oldest_unshipped_seconds{instance='a',sink='kafka'}", "700x40", "60x40")], 20),
    "SluiceSinkFallsBehind": ([("sluice_sink_lag_entries{instance='a',sink='objects'}", "20000+100x120", "20000-100x120")], 100),
    "SluiceTableBehind": ([("sluice_table_lag_seconds{instance='a',source='s',table='t'}", "1000x40", "899x40")], 20),
    "SluiceEventsMissed": ([("sluice_missed_events_total{source='s',table='t'}", "0x9 4x40", "4x49")], 20),
    "SluicePullsStale": ([("sluice_last_pull_success_seconds{source='s',table='t'}", "0x300", "6000+60x300")], 220),
    "SluiceSourceFailing": ([("sluice_source_healthy{instance='a',source='s'}", "0x40", "1x40")], 20),
    "SluiceDeadLetters": ([("sluice_dead_letters{source='s'}", "3x40", "0x40")], 30),
    "SluiceSecretUnused": ([("sluice_secret_last_used_seconds{source='s',id='1a2b3c'}", "1x400", "0x400")], 10200),
    "SluiceCertificateExpires": ([("sluice_certificate_expiry_seconds{instance='a'}", "864000x40", "2592000x40")], 10),
    "SluiceConfigRefused": ([("sluice_config_reload_ok{instance='a'}", "0x40", "1x40")], 20),
    "SluiceVersionsMixed": ([("sluice_build_info{instance='a',version='0.1.0'}", "1x100", "1x100"),
                             ("sluice_build_info{instance='b',version='0.2.0'}", "1x100", "_x100")], 80),
    "SluiceAlarm": ([("sluice_alarm{instance='a',kind='silent',source='s',subject=''}", "0x9 1x40", "1 1 0x40")], 20),
    "SluiceAlarmsNotTold": ([("sluice_alarm_posts_waiting{instance='a'}", "1x40", "0 1 1 0x40")], 20),
    "SluiceAlarmsGivenUp": ([("sluice_alarm_posts_total{instance='a',result='given_up'}", "0x9 1x40", "1x49")], 20),
    "SluiceMetricsIncomplete": ([("sluice_metrics_complete{instance='a'}", "0x40", "1x40")], 20),
}


def rules():
    """[(alert, expression)] of the file, as promtool reads it."""
    text = open(RULES).read()
    found = []
    for block in re.split(r"^      - alert: ", text, flags=re.M)[1:]:
        name = block.split("\n", 1)[0]
        expr = re.search(r"^        expr: (\|\n(?:          .*\n)+|.*\n)", block, re.M).group(1)
        found.append((name, " ".join(expr.lstrip("|").split(" #")[0].split())))
    assert len(found) > 20, found
    return found


def panels():
    """[(panel, expression)] of the dashboard, its variables replaced as Grafana does."""
    board = json.load(open(DASHBOARD))
    found = []
    for p in board["panels"]:
        for t in p.get("targets", []):
            expr = t["expr"].replace("$__rate_interval", "1m").replace("$job", "sluice").replace("$instance", ".*").replace("$source", ".*")
            assert "$" not in expr, expr
            found.append((p["title"], expr))
    for v in board["templating"]["list"]:
        if v["type"] == "query":
            selector = re.match(r"label_values\((.*), [a-z]+\)\Z", v["query"]["query"]).group(1)
            found.append(("variable " + v["name"], selector.replace("$job", "sluice")))
    assert len(found) > 30
    return found


def tool(*words, **kw):
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, **kw)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- tests ----

def promtool_takes_the_rules():
    assert "SUCCESS: %d rules found" % len(rules()) in tool("check", "rules", "--lint=all", "--lint-fatal", RULES)
    for block in open(RULES).read().split("- alert: ")[1:]:
        assert "summary:" in block and re.search(r"severity: (critical|warning|info)\}", block), block


def each_alert_fires_and_keeps_quiet():
    assert {name for name, _ in rules()} == set(CASES), {name for name, _ in rules()} ^ set(CASES)
    with tempfile.TemporaryDirectory() as folder:
        tests, days = [], []  # looked at each minute, or each half hour
        for name, (series, minutes) in CASES.items():
            for column, fires in ((1, True), (2, False)):
                (days if minutes > 1000 else tests).append({
                    "name": "%s %s" % (name, "fires" if fires else "keeps quiet"), "interval": "30m" if minutes > 1000 else "1m",
                    "input_series": [{"series": s[0].replace("'", '"'), "values": s[column]} for s in series],
                    "promql_expr_test": [{"expr": 'count(ALERTS{alertname="%s", alertstate="firing"}) or vector(0)' % name,
                                          "eval_time": "%dm" % minutes, "exp_samples": [{"labels": "{}", "value": 1 if fires else 0}]}]})
        for interval, chosen in (("1m", tests), ("30m", days)):
            with open(os.path.join(folder, "test.yaml"), "w") as f:
                json.dump({"rule_files": [RULES], "evaluation_interval": interval, "tests": chosen}, f)
            tool("test", "rules", f.name)


CONFIG = """
listen: 127.0.0.1:{port}
admin: {listen: "127.0.0.1:@admin@", token_file: ./secrets/admin}
data_dir: ./data
tls: {cert: ./cert.pem, key: ./key.pem}
sources:
  demo:
    secrets: [{file: ./secrets/demo}]
    config: {api_key: {file: ./secrets/key}}
    base_url: @base@
staging:
  objects: {url: "file://./data/staging", cut_age: 100ms}
  kafka: {brokers: "127.0.0.1:1", topic: rows}
merge: {target: "sqlite:./data/tables.db", every: 100ms}
alarms: {unshipped: 1s, post: {file: ./secrets/receiver}, secret: {file: ./secrets/demo}}
"""
SCRAPES = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: sluice
    authorization: {credentials_file: token}
    static_configs: [{targets: ["127.0.0.1:@admin@"]}]
"""


class Prometheus:
    """A real one, over a running server; its rules wait for nothing, so that they fire at once where they have to."""

    def __init__(self, admin):
        self.dir, self.port = tempfile.mkdtemp(prefix="sluice-prometheus-"), free_port()
        for name, text in (("prometheus.yaml", SCRAPES.replace("@admin@", str(admin))), ("token", TOKEN),
                           ("rules.yaml", re.sub(r"^        for: .*\n", "", open(RULES).read(), flags=re.M))):
            with open(os.path.join(self.dir, name), "w") as f:
                f.write(text)
        self.log = open(os.path.join(self.dir, "log"), "w")
        self.process = subprocess.Popen(["prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
                                         "--web.listen-address=127.0.0.1:%d" % self.port], cwd=self.dir, stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def ask(self, path, **query):
        url = "http://127.0.0.1:%d/api/v1/%s?%s" % (self.port, path, urllib.parse.urlencode(query))
        try:
            with urllib.request.urlopen(url, timeout=20) as r:
                answer = json.load(r)
        except urllib.error.HTTPError as e:
            if e.code == 503:  # it starts
                raise
            answer = json.load(e)
        assert answer["status"] == "success" and not answer.get("warnings"), (query, answer)
        return answer["data"]

    def query(self, expr):
        return self.ask("query", query=expr)["result"]

    def wait(self, expr, seconds=60):
        end = time.monotonic() + seconds
        while True:
            try:
                found = self.query(expr)
                if found:
                    return found
            except OSError:
                assert self.process.poll() is None, open(self.log.name).read()[-2000:]
            assert time.monotonic() < end, "%s stays empty: %s" % (expr, open(self.log.name).read()[-1000:])
            time.sleep(0.2)


def post(s, name, key=deliver.KEY):
    import http.client
    import ssl
    body = json.dumps({"id": name, "type": "customer.created", "timestamp": "2026-01-01T00:00:00Z",
                       "data": {"id": name, "updated_at": "2026-01-01T00:00:00Z"}}).encode()
    now = int(time.time())
    c = http.client.HTTPSConnection("127.0.0.1", s.port, timeout=10, context=ssl._create_unverified_context())
    c.request("POST", "/in/demo", body, {"webhook-id": name, "webhook-timestamp": str(now), "webhook-signature": deliver.sign(name, now, body, key)})
    return c.getresponse().status


def every_expression_over_a_real_scrape():
    past = history.History(7, 40, int(time.time()))
    api = provider.Provider(past, 3)
    api.start()
    api.advance(len(past.changes))
    admin = free_port()
    config = CONFIG.replace("@admin@", str(admin)).replace("@base@", api.base)
    with Sluice(config, {"secrets/demo": deliver.SECRET, "secrets/key": provider.TOKEN, "secrets/admin": TOKEN,
                         "secrets/receiver": "http://127.0.0.1:9/alarms"}) as s:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "5", "-subj", "/CN=localhost", "-keyout",
                        s.path("key.pem"), "-out", s.path("cert.pem")], check=True, capture_output=True)
        os.chmod(s.path("key.pem"), 0o600)
        s.start()
        with Prometheus(admin) as p:
            s.run("backfill", "demo", "customers")
            p.wait('up{job="sluice"} == 1')
            for i in range(10):
                assert post(s, "evt_%d" % i) == 200 and post(s, "evt_f%d" % i, key=b"another's") == 401
                time.sleep(0.15)
            p.wait("sluice_last_pull_success_seconds")
            p.wait('sluice_alarm{kind="unshipped"} == 1')
            p.wait("sluice_alarm_posts_waiting > 0")
            p.wait('increase(sluice_requests_total{outcome="bad_signature"}[1m]) > 0')
            scrape = urllib.request.Request("http://127.0.0.1:%d/metrics" % admin, headers={"Authorization": "Bearer " + TOKEN})
            text = urllib.request.urlopen(scrape, timeout=10).read().decode()
            tool("check", "metrics", input=text)
            told = set(re.findall(r"^# TYPE (\S+)", text, re.M))
            used, selectors = set(), set()
            for where, expr in rules() + panels():
                p.query(expr)
                now = time.time()
                p.ask("query_range", query=expr, start=now - 60, end=now, step=5)
                for m in METRIC.finditer(expr + " "):
                    selectors.add((where, m.group(0).strip()))
                    used.add(re.sub(r"_(bucket|count|sum)\Z", "", m.group(0).split("{")[0]))
            for where, selector in sorted(selectors):
                assert p.query(selector), "%s: nothing was scraped that %s means" % (where, selector)
            assert told <= used, "neither alerts nor panels look at %s" % sorted(told - used)
            assert used - {"up"} <= told, used - told
            for where, expr in panels():
                assert p.query(expr), "the panel '%s' stays empty: %s" % (where, expr)
            # What is wrong here is told of, in words that could be made.
            p.wait('ALERTS{alertname="SluiceSinkDown", sink="kafka", alertstate="firing"}')
            firing = {a["labels"]["alertname"]: a["annotations"] for a in p.ask("alerts")["alerts"]}
            assert {"SluiceSinkDown", "SluiceCertificateExpires", "SluiceDeliveriesRejected"} <= set(firing), firing
            assert "SluiceDown" not in firing and "SluiceAllDeliveriesRejected" not in firing
            for name, words in firing.items():
                assert "error" not in " ".join(words.values()) and "<no value>" not in " ".join(words.values()), (name, words)
            groups = p.ask("rules")["groups"]
            assert all(r["health"] == "ok" for g in groups for r in g["rules"]), groups
            print("%d expressions, %d selectors; firing: %s" % (len(rules() + panels()), len(selectors), ", ".join(sorted(firing))))
        api.stop()


TESTS = [promtool_takes_the_rules, each_alert_fires_and_keeps_quiet, every_expression_over_a_real_scrape]

if __name__ == "__main__":
    if not shutil.which("promtool") or not shutil.which("prometheus"):
        for t in TESTS:
            print("skip deploy/%s prometheus is not here (apt-get install prometheus)" % t.__name__)
        sys.exit(0)
    sys.exit(main(TESTS, "deploy"))
