"""What checkov finds in the rendered chart: exactly the exceptions that checkov.yaml explains."""

import json
import pathlib
import subprocess

import yaml
from chart import merged, render_text
from matrix import MATRIX

EXCEPTIONS = yaml.safe_load(pathlib.Path(__file__).with_name("checkov.yaml").read_text())


def found(checkov, directory, texts):
    """The checks that fail and where, as pairs of a check and a kind."""
    for number, text in enumerate(texts):
        (directory / f"{number}.yaml").write_text(text)
    command = [checkov, f"--directory={directory}", "--framework=kubernetes", "--output=json"]
    done = subprocess.run([*command, "--skip-download"], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0 and report["summary"]["passed"] > 0
    failed = report["results"]["failed_checks"]
    return {(one["check_id"], one["resource"].split(".")[0]) for one in failed}


def test_it_finds_what_is_explained_and_nothing_else(checkov, tmp_path):
    names = ["default", "full configuration", "network policies, apart, embedded", "all ways in"]
    expected = {(check, kind) for check, one in EXCEPTIONS.items() for kind in one["in"]}
    assert found(checkov, tmp_path, [render_text(MATRIX[name]) for name in names]) == expected


def test_it_would_find_more_if_there_were_more(checkov, tmp_path):
    text = render_text(merged(MATRIX["default"], {"preflight": {"enabled": False}}))
    unsafe = text.replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true")
    assert ("CKV_K8S_20", "Deployment") in found(checkov, tmp_path, [unsafe])


def test_each_exception_says_why():
    assert all(len(one["why"].split()) >= 6 and one["what"] for one in EXCEPTIONS.values())
