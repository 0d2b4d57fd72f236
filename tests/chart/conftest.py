"""What all tests of the chart share; chart.py renders it."""

import os
import pathlib

import pytest


def _program(variable):
    path = os.environ.get(variable)
    assert path and pathlib.Path(path).exists(), f"run the tests by tests/chart/run: no {variable}"
    return path


@pytest.fixture(scope="session")
def pollux():
    """The binary."""
    return _program("POLLUX")


@pytest.fixture(scope="session")
def checkov():
    """The program that looks for what is unsafe."""
    return _program("CHECKOV")
