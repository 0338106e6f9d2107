"""The benchmarks. Each takes `quick` and the raw figures' dictionary, measures ceiling and Sluice in turn, and gives its rows."""
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
import uuid

import kafka_suite
import payloads
from harness import ROOT, BenchError, Sluice, at_least, bare, forget_cached, remove, requests_file, row, run, say, scratch

_run = 0


def next_run():
    """A first part of delivery ids that no other load of this process used."""
    global _run
    _run += 1
    return _run


def rounds_of(quick):
    return 3 if quick else 5


def load(server, connections, ms, close=False, rate=None):
    threads = 2 if (os.cpu_count() or 1) >= 4 and connections >= 64 else 1
    before = server.cpu_s()
    got = run("load", requests=requests_file("github"), port=server.port, connections=connections, threads=threads, ms=ms,
              warmup_ms=300, close=close, rate=rate, run=next_run())
    got["server_cpu_us_each"] = (server.cpu_s() - before) * 1e6 / max(1, got["sent_in_all"])
    got["server_threads"] = server.threads_cpu_s()[:8]
    return got


def all_stored(got):
    """A figure counts only when every answer was a 200."""
    bad = got["errors"] + sum(n for status, n in got["statuses"].items() if status != "200")
    if bad or not got["requests"]:
        say("    %d of %d requests were not answered 200: %s" % (bad, got["requests"], got["statuses"]))
    return bad == 0 and got["requests"] > 0


# ---- ingest ----

def ingest_ceilings(out, case, sizes, ms):
    connections, close = case
    folder = scratch()
    out["sync"] = run("sync_loop", dir=folder, bytes=sizes["request_bytes_mean"] * connections, ms=ms // 2)
    for name in ("bare", "bare_hmac"):
        server = bare(folder, name == "bare_hmac").wait_listening()
        out[name] = load(server, connections, ms, close)
        server.stop()
    remove(folder)


def ingest_sluice(out, case, _, ms):
    connections, close = case
    with Sluice() as s:
        out["sluice"] = load(s.start().server, connections, ms, close)
        out["books"] = s.books()


def ingest_round(case, sizes, ms, turn):
    """Every other round begins with Sluice, so that neither side always follows the other."""
    out, connections = {}, case[0]
    for side in (ingest_ceilings, ingest_sluice) if turn % 2 == 0 else (ingest_sluice, ingest_ceilings):
        side(out, case, sizes, ms)
    # What was answered must be in the journal, once; what was on its way at the end may be.
    new = out["books"]["journalled"] - out["sluice"]["sent_in_all"]
    out["ok"] = all_stored(out["sluice"]) and all_stored(out["bare"]) and 0 <= new <= connections
    if not 0 <= new <= connections or out["books"]["duplicate"]:
        say("    the journal has %d entries, %d were answered, %d were taken for duplicates" % (
            out["books"]["journalled"], out["sluice"]["sent_in_all"], out["books"]["duplicate"]))
    return out


def ingest_rows(case, rounds):
    connections, close = case
    name = "%d connection%s%s" % (connections, "s" if connections > 1 else "", ", a new one each" if close else "")
    syncs = [connections * r["sync"]["syncs_per_second"] for r in rounds]
    rate = [r["sluice"]["rate"] for r in rounds]
    ok = all(r["ok"] for r in rounds)
    if connections == 1:
        rows = [at_least("ingest", name, "events/s", syncs, rate, 0.85)]
    else:
        ceiling = [min(r["bare"]["rate"], n) for r, n in zip(rounds, syncs)]
        share = 0.80 if connections in (64, 256, 1024) and not close else None
        rows = [at_least("ingest", name, "events/s", ceiling, rate, share)]
        if rows[0]["bar"]:
            rows.append(row("ingest", name + ", against bare HTTP with HMAC", "events/s",
                            [min(r["bare_hmac"]["rate"], n) for r, n in zip(rounds, syncs)], rate))
    p99 = [r["sluice"]["p99_us"] for r in rounds]
    most = [r["bare"]["p99_us"] + 3 * r["sync"]["p50_us"] for r in rounds]
    late = row("ingest", name + ", p99", "µs", most, p99, "" if close else "≤ bare p99 + 3 fdatasync")
    late["met"] = None if close else late["sluice"]["median"] <= late["ceiling"]["median"]
    cpu = row("ingest", name + ", processor time each", "µs", [r["bare"]["server_cpu_us_each"] for r in rounds],
              [r["sluice"]["server_cpu_us_each"] for r in rounds])
    rows += [late, cpu]
    for r in rows:
        if not ok:
            r["met"] = False if r["bar"] else None
            r["bar"] += " (not every event was stored)"
    return rows


def ingest(quick, raw, sizes):
    cases = [(n, False) for n in (1, 16, 64, 256, 1024)] + [(64, True)]
    rows = []
    for case in cases:
        say("  ingest: %d connections%s" % (case[0], ", a new one each" if case[1] else ""))
        rounds = [ingest_round(case, sizes["github"], 1500 if quick else 4000, i) for i in range(rounds_of(quick))]
        raw["%d%s" % (case[0], " new" if case[1] else "")] = rounds
        rows += ingest_rows(case, rounds)
    macs = [run("hmac_loop", requests=requests_file("github"), ms=500) for _ in range(rounds_of(quick))]
    raw["hmac"] = macs
    return rows + [row("ingest", "of which HMAC-SHA256 alone", "µs", [m["ns_each"] / 1e3 for m in macs], None)]


# ---- journal ----

def journal(quick, raw, sizes):
    rows = []
    for in_flight in (1, 64, 1024):
        say("  journal: %d appends in flight" % in_flight)
        rounds = []
        for _ in range(rounds_of(quick)):
            folder = scratch()
            ours = run("journal_loop", dir=os.path.join(folder, "journal"), requests=requests_file("github"), in_flight=in_flight,
                       ms=1000 if quick else 3000)
            remove(os.path.join(folder, "journal"))
            rounds.append({"journal": ours, "sync": run("sync_loop", dir=folder, bytes=max(1, round(ours["batch_bytes"])),
                                                        ms=1000 if quick else 3000)})
            remove(folder)
        raw[str(in_flight)] = rounds
        batch = statistics.median(r["journal"]["batch_bytes"] for r in rounds) / 1024
        rows.append(at_least("journal", "%d in flight (%.0f KiB a batch)" % (in_flight, batch), "MB/s",
                             [r["sync"]["bytes_per_second"] / 1e6 for r in rounds],
                             [r["journal"]["bytes_per_second"] / 1e6 for r in rounds], 0.90))
    return rows


# ---- memory ----

def idle_memory(quick, raw):
    rounds = []
    for _ in range(rounds_of(quick)):
        folder = scratch()
        server = bare(folder).wait_listening()
        time.sleep(0.5)
        rounds.append({"bare_kib": server.rss_kib()})
        server.stop()
        remove(folder)
        with Sluice() as s:
            s.start()
            time.sleep(2)
            rounds[-1]["sluice_kib"] = s.server.rss_kib()
    raw["idle"] = rounds
    out = row("memory", "idle", "MiB", [r["bare_kib"] / 1024 for r in rounds], [r["sluice_kib"] / 1024 for r in rounds],
              "≤ 12 MiB", ratio=False)
    out["met"] = out["sluice"]["median"] <= 12
    return out


def watch(seconds, every, look):
    """look() again and again in a thread of its own until the time is over; ends with a call of what it returns: its samples."""
    samples, stop, began = [], threading.Event(), time.monotonic()

    def work():
        while not stop.wait(every) and time.monotonic() - began < seconds:
            value = look()
            samples.append((time.monotonic() - began, value))
    thread = threading.Thread(target=work, daemon=True)
    thread.start()

    def finish():
        stop.set()
        thread.join()
        return samples
    return finish


def parts(samples, share_from, share_to, seconds):
    return [v for t, v in samples if share_from * seconds <= t <= share_to * seconds]


def loaded_memory(quick, raw):
    """The merge cannot write, because somebody holds the target's lock. What is staged stays; no memory may grow with it."""
    seconds = 12 if quick else 60
    with Sluice() as s:
        s.start()
        holder = sqlite3.connect(s.path("data", "tables.db"), isolation_level=None, timeout=30)
        holder.execute("begin immediate")
        finish = watch(seconds, 0.25 if quick else 0.5, s.server.rss_kib)
        got = load(s.server, 1024, int(seconds * 1000) - 300)
        samples = finish()
        holder.close()
    early, late = (statistics.median(parts(samples, a, b, seconds)) / 1024 for a, b in ((0.25, 0.5), (0.75, 1)))
    raw["loaded"] = {"load": got, "rss_kib": samples}
    out = row("memory", "1,024 connections for %d s, second and last quarter" % seconds, "MiB", [early], [late],
              "grows ≤ 5 % or 4 MiB")
    out["met"] = all_stored(got) and late - early <= max(4, 0.05 * early)
    return out


def filled(entries, held):
    """A folder with a journal of so many small entries; `held` is who removes it."""
    s = Sluice()
    held.append(s)
    run("journal_loop", dir=s.path("data", "journal"), requests=requests_file("small"), ms=0, count=entries,
               in_flight=16384)
    return s


def reading_memory(quick, raw):
    few, many = 10_000, 1_000_000 if quick else 10_000_000
    held, rounds = [], []
    try:
        small = filled(few, held)
        say("  memory: a journal of %s entries" % format(many, ",d"))
        large = filled(many, held)
        for _ in range(rounds_of(quick)):
            r = {}
            for name, s in (("few", small), ("many", large)):
                began = time.monotonic()
                _, r[name + "_kib"] = s.command("events", "check")
                r[name + "_s"] = time.monotonic() - began
            rounds.append(r)
    finally:
        for s in held:
            s.__exit__()
    raw["reading"] = {"entries": [few, many], "rounds": rounds}
    out = row("memory", "peak of `events check`: %s entries, and %s" % (format(few, ",d"), format(many, ",d")), "MiB",
              [r["few_kib"] / 1024 for r in rounds], [r["many_kib"] / 1024 for r in rounds], "the same (10 % or 1 MiB)")
    out["met"] = out["sluice"]["median"] - out["ceiling"]["median"] <= max(1, 0.1 * out["ceiling"]["median"])
    return out


def memory(quick, raw, sizes):
    return [idle_memory(quick, raw), loaded_memory(quick, raw), reading_memory(quick, raw)]


# ---- transform ----

def transform(quick, raw, sizes):
    rounds, ms = [], 800 if quick else 3000
    with Sluice() as s:
        for _ in range(rounds_of(quick)):
            rounds.append({"jansson": run("jansson_loop", requests=requests_file("mixed"), ms=ms),
                           "sluice": run("transform_loop", requests=requests_file("mixed"), config=s.path("sluice.yaml"), ms=ms)})
    raw["rounds"] = rounds
    out = at_least("transform", "GitHub and Stripe events, one core, against jansson's parse and dump", "MB/s",
                   *([r[side]["bytes_per_second"] / 1e6 for r in rounds] for side in ("jansson", "sluice")), 4.0)
    if any(r["sluice"]["dead"] for r in rounds):
        out["met"], out["bar"] = False, out["bar"] + " (events became dead letters)"
    each = row("transform", "each event (%d bytes)" % sizes["mixed"]["bytes_mean"], "µs",
               [r["jansson"]["us_each"] for r in rounds], [r["sluice"]["us_each"] for r in rounds])
    return [out, each]


# ---- keepup ----

SAMPLES_MIN = 8  # of a third of a round: fewer say nothing


def keepup_round(seconds):
    out = {}
    with Sluice(cut_age="1s") as s:
        out["ceiling"] = load(s.start().server, 64, 3000)
    rate = int(0.6 * out["ceiling"]["rate"])
    with Sluice(cut_age="1s", admin=True) as s:
        s.start()
        finish = watch(seconds, 0.2, lambda: s.metric("sluice_oldest_unshipped_seconds"))
        out["load"] = load(s.server, 64, seconds * 1000 - 300, rate=max(1, rate))
        out["samples"] = finish()
        began = time.monotonic()
        while s.books()["waiting"] and time.monotonic() - began < 60:
            time.sleep(0.1)
        out["drained_s"] = time.monotonic() - began
    lag = [(t, v) for t, v in out["samples"] if v is not None]
    middle, last = parts(lag, 1 / 3, 2 / 3, seconds), parts(lag, 2 / 3, 1, seconds)
    if min(len(middle), len(last)) < SAMPLES_MIN:
        raise BenchError("keepup: the lag was told too rarely: %d times in %d s" % (len(lag), seconds))
    out.update(rate=rate, lag_middle_s=statistics.mean(middle), lag_last_s=statistics.mean(last),
               ok=all_stored(out["load"]) and out["load"]["rate"] >= 0.95 * rate)
    return out


def keepup(quick, raw, sizes):
    rounds = [keepup_round(10 if quick else 20) for _ in range(rounds_of(quick))]
    raw["rounds"] = rounds
    asked = row("keepup", "rate that was asked for, and answered", "events/s", [r["rate"] for r in rounds],
                [r["load"]["rate"] for r in rounds], "ratio ≥ 0.95 in each round")
    asked["met"] = all(r["ok"] for r in rounds)
    lag = row("keepup", "the stager's lag in the middle third and in the last", "s", [r["lag_middle_s"] for r in rounds],
              [r["lag_last_s"] for r in rounds], "grows by ≤ 1 s", ratio=False)
    lag["met"] = statistics.median(r["lag_last_s"] - r["lag_middle_s"] for r in rounds) <= 1
    return [asked, lag, row("keepup", "until all is staged after the load", "s", None, [r["drained_s"] for r in rounds])]


# ---- start ----

def first_request():
    """A signed request that no server has seen: a copy would be answered without being stored."""
    raw = payloads.github_request("watch", b'{"action":"opened","repository":{"id":1}}')[0]
    raw = raw.replace(payloads.ID.encode(), str(uuid.uuid4()).encode(), 1)
    return raw.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def start_round(unread):
    out, raw_request = {}, first_request()
    folder = scratch()
    server = bare(folder)
    out["bare_ms"] = server.first_answer_ms(raw_request)
    server.stop()
    remove(folder)
    with Sluice() as s:
        out["empty_ms"] = s.spawn().first_answer_ms(raw_request)
    forget_cached(unread.path("data"))
    out["unread_ms"] = unread.spawn().first_answer_ms(raw_request)
    unread.server.stop(signal.SIGKILL)
    return out


def start(quick, raw, sizes):
    rounds = []
    # Nothing is cut, so the journal stays unread; the books know of it, as after any start but one that lost state.db.
    with Sluice(cut_age="1d") as unread:
        say("  start: a journal of 1 GiB")
        run("journal_loop", dir=unread.path("data", "journal"), requests=requests_file("github"), ms=0, bytes=1 << 30,
            in_flight=1024)
        forget_cached(unread.path("data"))
        raw["uncounted_ms"] = unread.spawn().first_answer_ms(first_request())
        time.sleep(2)
        unread.server.stop()
        shutil.rmtree(unread.path("data", "staging"), ignore_errors=True)
        for _ in range(rounds_of(quick)):
            rounds.append(start_round(unread))
    raw["rounds"] = rounds
    empty = row("start", "exec to the first 200, empty journal", "ms", [r["bare_ms"] for r in rounds],
                [r["empty_ms"] for r in rounds], "≤ 50 ms")
    full = row("start", "1 GiB of unread journal, none of it cached", "ms", [r["bare_ms"] for r in rounds],
               [r["unread_ms"] for r in rounds], "≤ 1,000 ms")
    empty["met"], full["met"] = empty["sluice"]["median"] <= 50, full["sluice"]["median"] <= 1000
    return [empty, full, row("start", "1 GiB that no books know of (state.db lost)", "ms", None, [raw["uncounted_ms"]])]


# ---- objects ----

def row_lines(path, size):
    """The bodies of the events as lines that look like staged rows."""
    with open(requests_file("mixed"), "rb") as f:
        raw = f.read()
    at, lines = 12, []
    while at < len(raw):
        n = int.from_bytes(raw[at:at + 4], "little")
        body = raw[at + 8:at + 8 + n].split(b"\r\n\r\n", 1)[1].replace(b"\n", b" ")
        lines.append(b'{"format":1,"source":"bench","table":"rows","op":"upsert","row":' + body + b"}\n")
        at += 8 + n
    with open(path, "wb") as f:
        written = 0
        while written < size:
            written += sum(f.write(line) for line in lines)
    return written


def piped(rows, folder, endpoint, turn):
    """zstd -1 on the same bytes and one PUT of what it gives, as S3 asks for it: with length and digest at its head."""
    began = time.monotonic()
    script = ("zstd -q -1 --single-thread -c %s > %s/piped && curl -sSf -o /dev/null -T %s/piped --aws-sigv4 aws:amz:us-east-1:s3 "
              "-u $AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY -H x-amz-content-sha256:\\ $(sha256sum < %s/piped | cut -c 1-64) "
              "%s/bucket/piped%d" % (rows, folder, folder, folder, endpoint, turn))
    done = subprocess.run(script, shell=True, capture_output=True, text=True)
    if done.returncode:
        raise BenchError("zstd into the store: " + done.stderr)
    return time.monotonic() - began


def objects(quick, raw, sizes):
    sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
    import s3
    os.environ.update(AWS_ACCESS_KEY_ID=s3.KEY, AWS_SECRET_ACCESS_KEY=s3.SECRET)
    rounds, folder = [], scratch()
    rows = os.path.join(folder, "rows")
    try:
        with s3.S3Proxy() as store:
            endpoint = "http://127.0.0.1:%d" % store.port
            size = row_lines(rows, (64 if quick else 256) << 20)
            for i in range(rounds_of(quick) + 1):
                one = {"zstd_s": piped(rows, folder, endpoint, i),
                       "sluice": run("objects_loop", rows=rows, endpoint=endpoint, spool=os.path.join(folder, "spool"))}
                if i:  # the first warms the store up
                    rounds.append(one)
    except s3.Missing as e:
        raise BenchError(str(e))
    remove(folder)
    raw["rounds"] = rounds
    return [at_least("objects", "rows into a bucket, against zstd -1 and one PUT", "MB/s",
                     [size / r["zstd_s"] / 1e6 for r in rounds], [size / r["sluice"]["us"] for r in rounds], 0.8)]


# ---- kafka ----

def kafka(quick, raw, sizes):
    return kafka_suite.kafka_bench(quick, raw, sizes, rounds_of(quick))


BENCHMARKS = {"ingest": ingest, "journal": journal, "memory": memory, "transform": transform, "keepup": keepup, "start": start,
              "objects": objects, "kafka": kafka}
