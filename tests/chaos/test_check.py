"""The judge of a record: each broken promise is found, and what looks like one is not."""

import json
import subprocess

import pytest
from machine import CHAOS

LEASE = 6


def line(at, asked="castor", leader="castor", term=100, **more):
    """One answer of a replica."""
    fields = {
        "at": at,
        "took_ms": 10,
        "asked": asked,
        "ok": True,
        "replica": asked,
        "role": "all",
        "started": 1,
        "store": True,
        "leader": leader,
        "leader_term": term if leader else None,
        "term": term,
        "lease_remaining": 5.0 if leader else None,
        "claims": [],
        "endpoints": [],
    }
    return {**fields, **more}


def claim(term, replica, cause="crashed", gap_ms=100):
    return {"at": 1, "replica": replica, "term": term, "cause": cause, "gap_ms": gap_ms}


def endpoint(version, age=0.1, stale=False, stale_after=3.0):
    return {"name": "prices", "version": version, "age": age, "stale": stale, "stale_after": stale_after}


def judge(tmp_path, record, faults=(), base=100, bound="", cause="", most="", least=""):
    """What is broken, by invariant."""
    (tmp_path / "record").write_text("".join(json.dumps(one) + "\n" for one in record))
    (tmp_path / "faults").write_text("".join("\x1f".join(map(str, one)) + "\n" for one in faults))
    settings = {"base": base, "lease": LEASE, "bound": bound, "cause": cause, "most": most, "least": least}
    options = " ".join(f"-v {name}='{value}'" for name, value in settings.items())
    script = (
        f'source "$0/lib/json.sh"; json_flat <record >flat; awk {options} -f "$0/lib/check.awk" faults flat'
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, CHAOS], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = [text.split("\t") for text in done.stdout.splitlines()]
    return {one[1]: one[2] for one in found if one[0] == "broken"}


#: A crash: castor leads in term 100, pollux in 200 from second 2 on.
CRASH = [
    line(1.0),
    line(2.0, "pollux", "pollux", 200, claims=[claim(200, "pollux"), claim(100, "castor", "first", 0)]),
    line(2.2, "helena", "pollux", 200, claims=[claim(200, "pollux")]),
]
FAULT = (1, "castor", 100, 200, 1.5, 2.1, 3.0, "")


def test_a_crash_that_is_over_in_time_breaks_nothing(tmp_path):
    assert judge(tmp_path, CRASH, [FAULT], bound=300, cause="crashed", most=1, least=1) == {}


@pytest.mark.parametrize(
    ("settings", "invariant"),
    [
        ({"bound": 99}, "takeover in time"),
        ({"least": 2}, "takeover in time"),
        ({"most": 0}, "no flapping"),
        ({"cause": "released"}, "cause"),
    ],
)
def test_a_crash_is_held_against_what_is_expected(tmp_path, settings, invariant):
    assert set(judge(tmp_path, CRASH, [FAULT], **settings)) == {invariant}


def test_one_of_a_hundred_may_take_longer(tmp_path):
    names = ["castor", "pollux"]
    claims = [claim(200 + n, names[n % 2], gap_ms=400 if n == 50 else 100) for n in range(100)]
    record = [
        line(1.0, claims=[claim(100, "castor", "first", 0)]),
        line(2.0, "pollux", names[1], 299, claims=claims[::-1]),
    ]
    assert judge(tmp_path, record, bound=300) == {}
    assert set(judge(tmp_path, [record[0], {**record[1], "claims": claims[50:51]}], bound=300)) == {
        "takeover in time"
    }


@pytest.mark.parametrize(
    ("record", "invariant"),
    [
        # One term, two leaders.
        ([line(1.0), line(1.1, "pollux", "pollux", 100)], "one leader per term"),
        # A new term below one that had been told of before anybody asked.
        ([line(1.0, term=200), line(2.0, "pollux", "pollux", 150)], "terms grow"),
        # The timeline itself.
        ([line(1.0, claims=[claim(100, "castor"), claim(200, "pollux")])], "terms grow"),
        # A gateway that goes back.
        (
            [line(1.0, endpoints=[endpoint("100-10")]), line(2.0, endpoints=[endpoint("100-9")])],
            "versions never go back",
        ),
        (
            [line(1.0, endpoints=[endpoint("200-1")]), line(2.0, endpoints=[endpoint("100-9")])],
            "versions never go back",
        ),
        # Old data that are not said to be, and fresh ones that are.
        ([line(1.0, endpoints=[endpoint("100-1", age=4.5)])], "staleness is said"),
        ([line(1.0, endpoints=[endpoint("100-1", age=2.0, stale=True)])], "staleness is said"),
        # Nobody leads, and data are as fresh as ever.
        (
            [line(float(at), leader=None, endpoints=[endpoint("100-1")]) for at in (1, 2, 3)],
            "staleness is said",
        ),
        # Nobody was seen to lead for longer than the timeline says.
        (
            [
                line(1.0),
                line(2.0, leader=None),
                line(4.0, leader=None),
                *[{**one, "at": one["at"] + 3} for one in CRASH[1:]],
            ],
            "honest gaps",
        ),
    ],
)
def test_what_is_broken_is_found(tmp_path, record, invariant):
    assert set(judge(tmp_path, record)) == {invariant}


@pytest.mark.parametrize(
    "record",
    [
        # Two answers that crossed: the older one was asked for before the newer one was there.
        [line(1.0, "pollux", "pollux", 200, took_ms=500), line(1.1, "castor", "castor", 100)],
        # Without Redis a replica tells what it saw last.
        [line(1.0, term=200), line(2.0, "pollux", "castor", 100, store=False)],
        # Another process of the same name begins anew.
        [line(1.0, endpoints=[endpoint("100-10")]), line(2.0, started=2, endpoints=[endpoint("100-9")])],
        # Another gateway may be behind.
        [line(1.0, endpoints=[endpoint("100-10")]), line(2.0, "pollux", endpoints=[endpoint("100-9")])],
        # Within the second that saying so may take.
        [
            line(1.0, endpoints=[endpoint("100-1", age=3.9)]),
            line(2.0, endpoints=[endpoint("100-2", age=0.5, stale=True)]),
        ],
        # Said to be stale, and so it is.
        [line(1.0, endpoints=[endpoint("100-1", age=9.0, stale=True)])],
        # Numbers, not texts.
        [line(1.0, endpoints=[endpoint("100-9")]), line(2.0, endpoints=[endpoint("100-10")])],
    ],
)
def test_what_is_not_broken_is_not_found(tmp_path, record):
    assert judge(tmp_path, record) == {}


def test_recovery_takes_a_lease_at_most(tmp_path):
    fault = (1, "castor", 100, "", 1.0, 2.0, "", "")
    late = line(2.0 + LEASE + 0.2, leader=None)
    assert set(judge(tmp_path, [line(1.0), late], [fault])) == {"recovery"}
    assert judge(tmp_path, [line(1.0), {**late, "at": 2.0 + LEASE}], [fault]) == {}
    # From the next fault on it counts anew.
    assert judge(tmp_path, [line(1.0), late], [fault, (2, "pollux", 200, "", 7.0, "", "", "")]) == {}
