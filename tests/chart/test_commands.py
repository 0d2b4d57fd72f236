"""The commands that people are told to run are ones that the binary has."""

import re
import subprocess

import pytest
from chart import CHART, ROOT

TEXTS = [CHART / "RUNBOOK.md", CHART / "README.md", CHART / "templates" / "NOTES.txt", ROOT / "README.md"]


def commands(text):
    """Every word that follows the program's name, which prose writes with a capital."""
    without_comments = re.sub(r" +# .*", "", text)
    return set(re.findall(r"(?<![\w-])pollux\s+([a-z][a-z-]*)", without_comments))


@pytest.fixture(scope="module")
def known(pollux):
    said = subprocess.check_output([pollux, "--help"], text=True)
    listed = said.split("Commands:\n")[1].split("\n\n")[0]
    return {line.split()[0] for line in listed.splitlines()}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_named_exists(path, known):
    named = commands(path.read_text())
    assert named and named <= known, f"the binary has no {sorted(named - known)}"


def test_a_command_is_found_wherever_it_is_written():
    text = "`pollux try A`, $ pollux run\n  exec x -- /pollux tail\n`pollux\nhealth`, a  # puts pollux on"
    assert commands(text) == {"try", "run", "tail", "health"}
