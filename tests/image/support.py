"""What the checks of the image share: saying what was checked, waiting, and asking over HTTP."""

import json
import os
import sys
import time
import urllib.error
import urllib.request

# Longer than anything here takes, even on a busy machine.
LONG = 60

# Proxies of the environment are not for what runs on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def check(what, holds, found=""):
    """Prints what was checked; ends everything where it does not hold."""
    if not holds:
        sys.exit(f"FAILED  {what}" + (f": {found}" if found != "" else ""))
    print(f"ok      {what}", flush=True)


def skip(what, reason):
    """Says loudly what was not checked, and why."""
    print(f"SKIPPED {what}: {reason}", flush=True)
    # Where a runner is known to have all that it takes, a skipped part is a failure.
    sys.exit(1 if os.environ.get("POLLUX_TESTS_WITH_ENGINE") else 0)


def eventually(what, condition, within=LONG):
    """The first true answer of a condition, which may fail with an error of input or output."""
    deadline = time.monotonic() + within
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (OSError, ValueError, KeyError) as error:
            last = error
        time.sleep(0.02)
    sys.exit(f"FAILED  {what}: not within {within} s; last: {last}")


def get(url):
    """Status and body of an answer."""
    try:
        with OPENER.open(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def get_json(url):
    """The JSON of a good answer; `None` for any other."""
    status, body = get(url)
    return json.loads(body) if status == 200 else None


def version_of(text):
    """A publication's version as numbers that compare."""
    term, sequence = text.split("-")
    return int(term), int(sequence)


def metric(text, name):
    """The sum over all series of a metric in the text format whose lines begin with `name`."""
    lines = [line for line in text.splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
