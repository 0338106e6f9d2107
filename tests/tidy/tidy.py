#!/usr/bin/env python3
"""Properties of the code itself: which room includes which, banned calls, lengths, documents that must be true.

Prints "ok NAME" or "FAIL NAME" with the places.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# A room may include itself and these. Arrows point one way: ARCHITECTURE.md draws the same.
ROOMS = {
    "core": [],
    "sources": ["core"],
    "config": ["sources", "core"],
    "journal": ["config", "sources", "core"],
    "transforms": ["journal", "config", "sources", "core"],
    "staging": ["transforms", "journal", "config", "sources", "core"],
    "http": ["config", "sources", "core"],
    "server": ["http", "transforms", "staging", "journal", "config", "sources", "core"],
    "backfill": ["transforms", "staging", "journal", "config", "sources", "core"],
    "merge": ["staging", "transforms", "journal", "config", "sources", "core"],
    "webhooks": ["backfill", "staging", "transforms", "journal", "config", "sources", "core"],
    "alarms": ["server", "staging", "journal", "config", "sources", "core"],
    "cli": ["alarms", "server", "http", "webhooks", "backfill", "merge", "staging", "transforms", "journal", "config", "sources", "core"],
}
BANNED = ("strcpy", "strcat", "sprintf", "vsprintf", "strtok", "atoi", "atol", "gets", "alloca", "system", "popen", "tmpnam")
FILE_LINES, FUNCTION_LINES, LINE_COLUMNS = 700, 90, 130
failed = False


def files(*endings):
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True).stdout
    return sorted(f for f in out.splitlines() if f.endswith(endings) and os.path.exists(os.path.join(ROOT, f)))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def report(name, problems):
    global failed
    for p in problems:
        print("   ", p)
    print("%s tidy/%s" % ("FAIL" if problems else "ok", name))
    failed = failed or bool(problems)


def code_files():
    return [f for f in files(".c", ".h") if f.split("/")[0] in ROOMS]


def without_comments(text):
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0))
    text = re.sub(r"/\*.*?\*/", blank, text, flags=re.S)
    text = re.sub(r'"(\\.|[^"\\\n])*"', lambda m: '"' + " " * (len(m.group(0)) - 2) + '"', text)
    return re.sub(r"//[^\n]*", blank, text)


def layers():
    bad = []
    for f in code_files():
        room = f.split("/")[0]
        for n, line in enumerate(read(f).splitlines(), 1):
            m = re.match(r'#include "([a-z]+)/([^"]+)"', line)
            if m and m.group(1) in ROOMS and m.group(1) != room and m.group(1) not in ROOMS[room]:
                bad.append("%s:%d: %s may not include %s" % (f, n, room, m.group(1)))
            if re.match(r'#include "[^/"]+"', line):
                bad.append("%s:%d: includes name their room: room/file.h" % (f, n))
    return bad


def banned():
    bad = []
    pattern = re.compile(r"\b(%s)\s*\(" % "|".join(BANNED))
    for f in code_files():
        for n, line in enumerate(without_comments(read(f)).splitlines(), 1):
            m = pattern.search(line)
            if m:
                bad.append("%s:%d: %s is banned" % (f, n, m.group(1)))
    return bad


def lengths():
    bad = []
    for f in code_files():
        lines = read(f).splitlines()
        if len(lines) > FILE_LINES:
            bad.append("%s: %d lines (at most %d)" % (f, len(lines), FILE_LINES))
        start = None
        for n, line in enumerate(lines, 1):
            if len(line) > LINE_COLUMNS:
                bad.append("%s:%d: %d columns (at most %d)" % (f, n, len(line), LINE_COLUMNS))
            if line == "{":
                start = n
            elif line == "}" and start:
                if n - start > FUNCTION_LINES:
                    bad.append("%s:%d: a function of %d lines (at most %d)" % (f, start, n - start, FUNCTION_LINES))
                start = None
    return bad


def headers_are_manuals():
    return ["%s: begins with no manual comment" % f for f in code_files() if f.endswith(".h") and not read(f).startswith("/*")]


def no_providers_in_c():
    names = [os.path.basename(f)[:-5] for f in files(".yaml") if re.match(r"sources/[a-z-]+\.yaml$", f)]
    names = [n for n in names if n not in ("generic", "demo")]
    bad = []
    for f in code_files():
        for n, line in enumerate(read(f).splitlines(), 1):
            code = re.sub(r"/\*.*?\*/|^\s*\*.*|//.*", "", line)
            for literal in re.findall(r'"((?:\\.|[^"\\])*)"', code):
                if literal in names:
                    bad.append('%s:%d: the provider "%s" in C' % (f, n, literal))
    return bad


def leftovers():
    bad = []
    for f in files(".c", ".h", ".py", ".md", ".yaml", ".sh", ".cmake", "run", "quickstart"):
        if f.startswith("tests/vectors/") or f == "tests/tidy/tidy.py":
            continue
        for n, line in enumerate(read(f).splitlines(), 1):
            if re.search(r"\bTODO\b|\bFIXME\b|\bXXX\b", line):
                bad.append("%s:%d: %s" % (f, n, line.strip()[:80]))
    return bad


def linked_is_listed():
    """THIRD_PARTY.md names every library the build asks for, and no other."""
    cmake, page = read("cmake/dependencies.cmake").split("if(SLUICE_TESTS)")[0], read("THIRD_PARTY.md")
    asked = {m.lower() for m in re.findall(r"IMPORTED_TARGET ([a-z0-9]+)", cmake)}
    asked |= {{"curl": "libcurl", "openssl": "openssl", "sqlite3": "sqlite", "zlib": "zlib"}.get(m.lower(), m.lower())
              for m in re.findall(r"find_package\((OpenSSL|CURL|SQLite3|ZLIB)", cmake)}
    listed = {m.lower() for m in re.findall(r"^\| ([A-Za-z0-9]+) \|", page, flags=re.M)} - {"library"}
    return ["THIRD_PARTY.md lacks %s" % x for x in sorted(asked - listed)] + \
           ["THIRD_PARTY.md names %s, which the build does not use" % x for x in sorted(listed - asked)]


def commands_are_documented():
    rows = re.findall(r'^    \{"([a-z]+)", (NULL|"[a-z]+")', read("cli/registry.c"), flags=re.M)
    page = read("docs/commands.md")
    words = [n if s == "NULL" else "%s %s" % (n, s.strip('"')) for n, s in rows]
    return ["docs/commands.md lacks `sluice %s`" % w for w in words if "sluice %s" % w not in page]


def metrics_are_documented():
    families = re.findall(r'^    \{"(sluice_[a-z_]+)", "[a-z]+"', read("cli/metrics.c"), flags=re.M)
    named = set(re.findall(r"^\| `(sluice_[a-z_]+)[`{]", read("docs/metrics.md"), flags=re.M)) - {"sluice_metrics_complete"}
    return ["cli/metrics.c has no families"] * (not families) + \
           ["docs/metrics.md lacks %s" % f for f in families if f not in named] + \
           ["docs/metrics.md names %s, which is not there" % n for n in sorted(named) if n not in families]


for check in (layers, banned, lengths, headers_are_manuals, no_providers_in_c, leftovers, linked_is_listed,
              commands_are_documented, metrics_are_documented):
    report(check.__name__, check())
sys.exit(failed)
