"""What runs: the Deployments and their pods."""

import pytest
from chart import find, pod_specs, refusal, render, values


def test_a_release_without_a_configuration_says_what_to_set():
    said = refusal({})
    assert "Nothing to poll is configured" in said
    assert "endpoints:" in said and "redis.embedded=true" in said


def test_three_identical_replicas_by_default():
    deployment = find(render(), "Deployment")
    assert deployment["spec"]["replicas"] == 3
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["run", "--config=/etc/pollux/pollux.yaml"]
    assert [port["name"] for port in container["ports"]] == ["http", "admin"]


@pytest.mark.parametrize(
    ("drain", "seconds"),
    [(None, 30), ("20s", 30), ("1m30s", 100), ("500ms", 11), ("1h", 3610), ("2s1ms", 13)],
)
def test_the_grace_period_covers_pre_stop_and_drain(drain, seconds):
    (pod,) = pod_specs(render(values(config={"drain": drain}))).values()
    assert pod["terminationGracePeriodSeconds"] == seconds


def test_a_pod_sleeps_before_its_end_only_where_kubernetes_can():
    for kubernetes, sleeps, seconds in [("1.29.0", False, 25), ("1.30.0", True, 30)]:
        (pod,) = pod_specs(render(kubernetes=kubernetes)).values()
        assert ("lifecycle" in pod["containers"][0]) == sleeps
        assert pod["terminationGracePeriodSeconds"] == seconds
