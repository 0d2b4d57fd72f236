"""What the tests of the scripts share: a machine and a cluster, each started once and put right between."""

import os
import pathlib
import sys

import pytest

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parents[1] / "chart"))

from api import Api
from chart import render, values
from machine import Backend, Machine, configuration, eventually, run
from pods import Kubelet

NAMESPACE, RELEASE = "shop", "trial"


@pytest.fixture(scope="session")
def pollux():
    path = os.environ.get("POLLUX")
    assert path and pathlib.Path(path).exists(), "run the tests by tests/chaos/run: no POLLUX"
    return path


@pytest.fixture(scope="session")
def running_machine(pollux, tmp_path_factory):
    with Machine(tmp_path_factory.mktemp("machine"), pollux) as machine:
        yield machine


@pytest.fixture
def machine(running_machine):
    """Three replicas of this machine, all well."""
    eventually("all is well", running_machine.is_well)
    return running_machine


def release(shared):
    """What the chart renders of a trial with an embedded Redis."""
    of = values(config={"redis": None}, redis={"embedded": True}, chaos={"shareProcessNamespace": shared})
    return render(of, release=RELEASE, namespace=NAMESPACE)


class Cluster:
    """A stand-in for a cluster, and the scripts run against it."""

    def __init__(self, kubelet, api):
        self.kubelet, self.api = kubelet, api

    def environment(self):
        return {"KUBECONFIG": str(self.api.kubeconfig)}

    def named(self, **changes):
        given = {"context": "stub", "namespace": NAMESPACE, "release": RELEASE, **changes}
        return [f"--{name}={value}" for name, value in given.items() if value is not None]

    def run(self, script, *options, **more):
        changes = more.pop("named", {})
        return run(script, *self.named(**changes), *options, env=self.environment(), **more)


def start_cluster(pollux, directory, shared):
    backend = Backend()
    with Kubelet(directory, pollux, release(shared), NAMESPACE, configuration(1, backend.url)) as kubelet:
        with Api(kubelet, directory) as api:
            yield Cluster(kubelet, api)
    backend.stop()


@pytest.fixture(scope="session")
def running_cluster(pollux, tmp_path_factory):
    yield from start_cluster(pollux, tmp_path_factory.mktemp("cluster"), shared=True)


@pytest.fixture
def cluster(running_cluster):
    """A release with three replicas, all well, and a cluster that allows all and works."""
    eventually("all is well", running_cluster.kubelet.is_well)
    api = running_cluster.api
    api.denied, api.proxies, running_cluster.kubelet.enforces = set(), True, True
    api.policies.clear()
    api.changes.clear()
    return running_cluster


@pytest.fixture
def unshared_cluster(pollux, tmp_path):
    """The same without chaos.shareProcessNamespace."""
    yield from start_cluster(pollux, tmp_path, shared=False)
