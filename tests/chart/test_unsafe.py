"""What checkov finds in the rendered chart: exactly the exceptions that checkov.yaml explains."""

import json
import pathlib
import subprocess

import pytest
import yaml
from chart import render_text
from matrix import MATRIX

EXCEPTIONS = yaml.safe_load(pathlib.Path(__file__).with_name("checkov.yaml").read_text())


@pytest.fixture(scope="module")
def found(checkov, tmp_path_factory):
    """The checks that fail, as pairs of a check and a kind: those of safe and of unsafe values."""
    directory = tmp_path_factory.mktemp("rendered")
    names = ["default", "full configuration", "network policies, apart, embedded", "all ways in"]
    for number, name in enumerate(names):
        (directory / f"{number}.yaml").write_text(render_text(MATRIX[name]))
    unsafe = render_text(MATRIX["without extras"])
    unsafe = unsafe.replace("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true")
    (directory / "unsafe.yaml").write_text(unsafe)

    command = [checkov, f"--directory={directory}", "--framework=kubernetes", "--output=json"]
    done = subprocess.run([*command, "--skip-download"], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0 and report["summary"]["passed"] > 0
    pairs = {True: set(), False: set()}
    for one in report["results"]["failed_checks"]:
        safe = not one["file_path"].endswith("unsafe.yaml")
        pairs[safe].add((one["check_id"], one["resource"].split(".")[0]))
    return pairs


def test_it_finds_what_is_explained_and_nothing_else(found):
    assert found[True] == {(check, kind) for check, one in EXCEPTIONS.items() for kind in one["in"]}


def test_it_would_find_more_if_there_were_more(found):
    assert ("CKV_K8S_20", "Deployment") in found[False]


def test_each_exception_says_why():
    assert all(len(one["why"].split()) >= 6 and one["what"] for one in EXCEPTIONS.values())
