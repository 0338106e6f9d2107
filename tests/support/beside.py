"""The tests of a group by several workers at once, each a process with servers of its own; whoever is free takes the next test.

    sys.exit(beside.main(TESTS, "s3", around=servers, missing=s3.Missing))

    around    a context manager without arguments: what a worker's tests share, made and ended by the worker itself
    missing   the exception that says what this machine lacks: the test is skipped
    only      names of tests, only these; else what the program's arguments name

WORKERS sets how many there are (2). Of each test everything that it printed is printed at its end, and then its line: ok, FAIL or skip.
"""
import contextlib
import io
import multiprocessing
import os
import signal
import sys
import time
import traceback


class Never(Exception):
    pass


def one(test, group, missing):
    """Runs it. (what is to be printed, whether it failed)"""
    began, out, bad = time.monotonic(), io.StringIO(), False
    with contextlib.redirect_stdout(out):
        try:
            test()
            line = "ok %s/%s  %.1f s" % (group, test.__name__, time.monotonic() - began)
        except missing as e:
            line = "skip %s/%s %s" % (group, test.__name__, " ".join(str(e).split()))
        except Exception:  # a failed test must not end the others
            traceback.print_exc(file=out)
            line, bad = "FAIL %s/%s" % (group, test.__name__), True
    return out.getvalue() + line + "\n", bad


def work(tests, group, around, missing, turn):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bad = False
    with around():
        while True:
            with turn.get_lock():
                i, turn.value = turn.value, turn.value + 1
            if i >= len(tests):
                break
            text, failed = one(tests[i], group, missing)
            bad = bad or failed
            os.write(1, text.encode())  # whole, whatever the other workers print
    sys.exit(bad)


def main(tests, group, around=contextlib.nullcontext, missing=Never, only=None):
    only = sys.argv[1:] if only is None else only
    strange = [n for n in only if n not in [t.__name__ for t in tests]]
    if strange:
        sys.exit("no test %s; there are %s" % (strange[0], ", ".join(t.__name__ for t in tests)))
    tests = [t for t in tests if not only or t.__name__ in only]
    workers = min(int(os.environ.get("WORKERS", "2")), len(tests))
    fork, turn = multiprocessing.get_context("fork"), multiprocessing.Value("i", 0)
    running = [fork.Process(target=work, args=(tests, group, around, missing, turn)) for _ in range(workers)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for w in running:
            w.start()
        for w in running:
            w.join()
    finally:
        for w in running:
            if w.is_alive():
                w.terminate()
                w.join()
    if turn.value < len(tests):  # a worker's own servers did not start, or it was ended
        print("FAIL %s/%s was not run" % (group, tests[turn.value].__name__), flush=True)
        return 1
    return 1 if any(w.exitcode for w in running) else 0
