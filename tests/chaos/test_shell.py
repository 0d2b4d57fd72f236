"""What can be said of the scripts without a cluster: sound, explained, and refusing nonsense."""

import json
import subprocess

import pytest
from machine import CHAOS, ROOT, USAGE, VALID, run

SCRIPTS = ["kill-leader", "freeze-leader", "partition-leader", "rolling-restart", "kill-redis", "watch"]


def test_shellcheck_finds_nothing():
    files = [
        str(path)
        for path in [
            *(CHAOS / name for name in (*SCRIPTS, "run", "prove")),
            *CHAOS.glob("lib/*.sh"),
            ROOT / "tests/chaos/run",
        ]
    ]
    done = subprocess.run(["shellcheck", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_suffices(tmp_path, script):
    done = run(script, "--help", report=tmp_path)
    assert done.status == VALID and done.errors == "", str(done)
    for word in [
        f"usage: chaos/{script}",
        "--local",
        "--namespace",
        "--release",
        "--context",
        "--report",
        "Needs: kubectl",
        "Rights: ",
        "Examples:",
        "Exit status: 0 valid; 1 invalid",
    ]:
        assert word in done.output, word
    if script != "watch":
        assert "--times N" in done.output and "--pause TIME" in done.output and "--dry-run" in done.output
    assert max(map(len, done.output.splitlines())) <= 110


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "--release is missing"),
        ("--release=trial --times=0", "--times: expected a number from 1 on, found '0'"),
        ("--release=trial --times=many", "--times: expected a number"),
        ("--release=trial --pause=30", "--pause: expected a time such as 30s, found '30'"),
        ("--release=Trial", "--release: 'Trial' is no name of a release"),
        ("--release=trial,other=1", "is no name of a release"),
        ("--release=trial --namespace=../kube-system", "is no name of a namespace"),
        ("--release=trial --local", "--local goes without --release"),
        ("--local --admin=http://pollux.example:9090", "expected an address of this machine"),
        ("--release=trial --start=x", "--admin, --start and --supervised go with --local"),
        ("--release=trial --unheard-of=1", "there is no option --unheard-of"),
        ("--release=trial --unheard-of", "there is no option --unheard-of"),
        ("--release", "--release needs a value"),
        ("trial", "unexpected 'trial'"),
    ],
)
def test_wrong_usage_is_refused(tmp_path, options, words):
    done = run("kill-leader", *options.split(), report=tmp_path)
    if options == "--release":
        # What follows is taken as its value.
        done = subprocess.run([CHAOS / "kill-leader", "--release"], capture_output=True, text=True)
        assert done.returncode == USAGE and words in done.stderr
        return
    assert done.status == USAGE and done.output == "", str(done)
    assert words in done.errors and "see kill-leader --help" in done.errors, str(done)


def shell(commands, *arguments, text=""):
    """Runs commands after those of lib/."""
    script = f'source "$0/lib/all.sh"; {commands}'
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, CHAOS, *arguments],
        input=text,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_json_is_read_value_by_value():
    value = {"a": [1, {"b": 'say "x, {y}: [z]\\'}, [], {}], "c": None, "d.e": True, "f": -1.5e3}
    lines = shell("json_flat", text=json.dumps(value) + json.dumps({"next": ""})).splitlines()
    assert lines == [
        "a.0\t1",
        'a.1.b\t"say \\"x, {y}: [z]\\\\"',
        "c\tnull",
        "d.e\ttrue",
        "f\t-1500.0",
        "",
        'next\t""',
        "",
    ]
    assert shell("json_at c.0", text='{"c": ["x"]}') == "x\n" and shell("json_flat", text="") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30s", "30.000"), ("1m30s", "90.000"), ("250ms", "0.250"), ("1h", "3600.000"), ("08s", "8.000")],
)
def test_times_are_read_as_pollux_writes_them(text, expected):
    assert shell('seconds "$1"', text) == f"{expected}\n"


def test_texts_become_json():
    text = 'a "b" \\c\td\ne\x07'
    assert json.loads(shell('text_to_json "$1"', text)) == 'a "b" \\c d e'
