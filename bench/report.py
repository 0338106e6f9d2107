#!/usr/bin/env python3
"""Writes the table of the last bench/run into docs/performance.md, between its two marker lines.

    bench/report.py [FIGURES.json]     build/bench/last.json, where none is named
"""
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

PAGE = os.path.join(harness.ROOT, "docs", "performance.md")
BEGIN, END = "<!-- figures: begin", "<!-- figures: end -->"


def markdown(result):
    m, p = result["machine"], result["payloads"]
    sync = m["fdatasync_4k"]
    lines = ["| | |", "|---|---|",
             "| measured | %s, commit %s%s |" % (result["began"], m["commit"], ", **quick**" if result["quick"] else ""),
             "| machine | %s, %d cores, %g GiB, Linux %s |" % (m["processor"], m["cores"], m["memory_gib"], m["kernel"]),
             "| disk | %s; fdatasync of 4 KiB: median %s µs, p99 %s µs |" % (
                 m["filesystem"], harness.number(sync["p50_us"]), harness.number(sync["p99_us"])),
             "| compiler | %s |" % m["compiler"],
             "| events | %s; %d, %s to %s bytes, mean %s |" % (
                 p["origin"], p["github"]["requests"],
                 *(format(p["github"][k], ",d") for k in ("bytes_min", "bytes_max", "bytes_mean")))]
    busy = max(m["busy_share"], result.get("busy_share_after", 0))
    if busy > harness.BUSY:
        lines += ["", "**Others used %d %% of the processors: these figures are noise.**" % round(100 * busy)]
    lines += ["", "| | what | ceiling | Sluice | ratio | bar | |", "|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(harness.cells(r)) + " |" for r in result["rows"]]
    for name, why in result["failed"].items():
        lines += ["", "Not measured: %s (%s)." % (name, why.splitlines()[0])]
    return "\n".join(lines)


def main(argv):
    path = argv[0] if argv else os.path.join(harness.BUILD, "last.json")
    if not os.path.exists(path):
        sys.exit("bench/report.py: there is no %s; bench/run makes it" % path)
    with open(path) as f:
        result = json.load(f)
    with open(PAGE) as f:
        lines = f.read().split("\n")
    begin = [i for i, line in enumerate(lines) if line.startswith(BEGIN)]
    end = [i for i, line in enumerate(lines) if line == END]
    if len(begin) != 1 or len(end) != 1 or begin[0] > end[0]:
        sys.exit("bench/report.py: %s must have one line %s … and, behind it, one line %s" % (PAGE, BEGIN, END))
    lines[begin[0] + 1:end[0]] = markdown(result).split("\n")
    with open(PAGE + ".partial", "w") as f:
        f.write("\n".join(lines))
    os.replace(PAGE + ".partial", PAGE)
    print("wrote %d rows into docs/performance.md" % len(result["rows"]))


if __name__ == "__main__":
    main(sys.argv[1:])
