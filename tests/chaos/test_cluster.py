"""The scripts in a cluster: a real kubectl, a stand-in for its API server, and real replicas in its pods."""

import os
import pty
import signal

import pytest
from machine import UNKNOWN, USAGE, VALID, eventually, expect, finish, said, start

LENIENT = ["--bound=20s", "--lease=2s"]


def start_in(cluster, script, *options, report, **more):
    return start(
        script,
        *cluster.named(**more.pop("named", {})),
        *options,
        report=report,
        env=cluster.environment(),
        **more,
    )


def test_deleting_the_leaders_pod_is_a_graceful_stop(cluster, tmp_path):
    leader = cluster.kubelet.leader().name
    done = cluster.run("kill-leader", "--times=2", "--pause=200ms", *LENIENT, report=tmp_path)
    expect(done, VALID, "a graceful stop", "2 of 2 landed")
    first, _ = done.report["faults"]
    assert first["replica"] == leader and first["takeovers"][0]["cause"] == "released"
    assert [change.split()[0] for change in cluster.api.changes] == ["DELETE", "DELETE"]


def test_a_crash_comes_from_an_ephemeral_container(cluster, tmp_path):
    leader = cluster.kubelet.leader()
    restarts = leader.restarts
    done = cluster.run("kill-leader", "--crash", *LENIENT, report=tmp_path)
    expect(done, VALID, "SIGKILL")
    assert done.report["faults"][0]["takeovers"][0]["cause"] == "crashed"
    assert leader.restarts == restarts + 1 and leader.last["terminated"]["exitCode"] == 137
    container = leader.object["spec"]["ephemeralContainers"][-1]
    # The pod's own user, who may signal the replica, and no more.
    assert container["image"] == "busybox:1.36"
    assert (
        "runAsUser" not in container["securityContext"]
        and leader.object["spec"]["securityContext"]["runAsUser"] == 65532
    )


def test_a_frozen_leader_is_woken_again(cluster, tmp_path):
    leader = cluster.kubelet.leader()
    restarts = leader.restarts
    done = cluster.run("freeze-leader", "--for=3s", *LENIENT, report=tmp_path)
    expect(done, VALID, "frozen for 3.000 s", "1 changes of the leader")
    assert done.report["faults"][0]["takeovers"][0]["cause"] == "expired"
    assert leader.restarts == restarts and cluster.kubelet.leader() is not leader


def test_ctrl_c_wakes_the_leader_at_once(cluster, tmp_path):
    leader = cluster.kubelet.leader()
    restarts = leader.restarts
    running = start_in(cluster, "freeze-leader", "--for=60s", "--lease=2s", report=tmp_path)
    eventually("it is frozen", lambda: "landed" in said(running))
    running.send_signal(signal.SIGINT)
    expect(finish(running, tmp_path), UNKNOWN, "it was interrupted")
    eventually("all is well", cluster.kubelet.is_well, within=15)
    assert leader.restarts == restarts


def test_a_policy_cuts_the_leader_off_from_redis_alone(cluster, tmp_path):
    leader = cluster.kubelet.leader()
    done = cluster.run("partition-leader", "--for=5s", *LENIENT, report=tmp_path)
    expect(done, VALID, "cut off from Redis", "1 changes of the leader")
    assert "says that Redis does not answer" in done.report["faults"][0]["proof"]
    policy = cluster.api.created
    assert policy["spec"]["policyTypes"] == ["Egress"]
    (rule,) = policy["spec"]["egress"]
    tcp = [(one["port"], one["endPort"]) for one in rule["ports"] if one["protocol"] == "TCP"]
    assert tcp == [(1, 6378), (6380, 65535)] and "to" not in rule
    # Nothing is left of it.
    assert not cluster.api.policies and "pollux-chaos" not in leader.object["metadata"]["labels"]


def test_a_policy_that_is_not_enforced_does_not_land(cluster, tmp_path):
    cluster.kubelet.enforces = False
    done = cluster.run("partition-leader", "--for=2s", "--lease=2s", report=tmp_path)
    expect(done, UNKNOWN, "did not land", "does not enforce policies", "chaos/mesh/leader-cut-off.yaml")
    assert not cluster.api.policies


def test_a_policy_cannot_take_away_what_another_allows(cluster, tmp_path):
    labels = {"app.kubernetes.io/name": "pollux", "app.kubernetes.io/instance": "trial"}
    spec = {
        "podSelector": {"matchLabels": labels},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [{"ports": [{"port": 6379, "protocol": "TCP"}]}],
    }
    cluster.api.policies["trial-pollux-poller"] = {"metadata": {"name": "trial-pollux-poller"}, "spec": spec}
    done = cluster.run("partition-leader", "--lease=2s", report=tmp_path)
    expect(done, UNKNOWN, "NetworkPolicy trial-pollux-poller says already", "networkPolicy.enabled=false")
    assert not cluster.api.changes


def test_ctrl_c_takes_the_policy_away(cluster, tmp_path):
    running = start_in(cluster, "partition-leader", "--for=60s", "--lease=2s", report=tmp_path)
    eventually("it landed", lambda: "landed" in said(running))
    running.send_signal(signal.SIGTERM)
    expect(finish(running, tmp_path), UNKNOWN, "it was interrupted")
    assert not cluster.api.policies
    eventually("all is well", cluster.kubelet.is_well, within=15)


def test_a_rollout_replaces_all_pods(cluster, tmp_path):
    before = set(cluster.kubelet.pods)
    done = cluster.run("rolling-restart", *LENIENT, report=tmp_path)
    expect(done, VALID, "rolling restart")
    assert 1 <= done.report["seen"]["leader_changes"] <= 3
    assert before & set(cluster.kubelet.pods) == {"trial-pollux-redis-0"}


def test_redis_pod_is_replaced_and_replicas_notice(cluster, tmp_path):
    done = cluster.run("kill-redis", "--lease=2s", report=tmp_path)
    expect(done, VALID, "Redis ended (trial-pollux-redis-0)")
    assert "is gone, and" in done.report["faults"][0]["proof"]
    assert done.report["faults"][0]["term_after"] > done.report["faults"][0]["term_before"]


def test_a_redis_that_nobody_uses_is_not_missed(cluster, tmp_path):
    # A pod with labels of its own, which is no Redis of the replicas at all: a standby.
    standby = next(pod for pod in cluster.kubelet.replica_pods() if pod is not cluster.kubelet.leader())
    standby.object["metadata"]["labels"]["role"] = "other"
    done = cluster.run(
        "kill-redis", "--redis-selector=role=other", "--lease=2s", "--patience=3s", report=tmp_path
    )
    expect(done, UNKNOWN, "did not land", "no replica has missed it")


def test_pods_are_asked_by_exec_where_the_proxy_does_not_reach_them(cluster, tmp_path):
    cluster.api.proxies = False
    done = cluster.run("watch", "--for=1s", report=tmp_path)
    expect(done, VALID)
    assert (
        "kubectl exec asks them" in done.errors
        and done.report["seen"]["answers"] > 3
        and not cluster.api.changes
    )


def test_a_dry_run_only_looks(cluster, tmp_path):
    for script in ["kill-leader", "kill-redis", "partition-leader"]:
        # Nobody has to agree to it: no context is named.
        done = cluster.run(
            script, "--dry-run", "--lease=2s", named={"context": None}, report=tmp_path / script
        )
        assert done.status == VALID and done.output == "" and done.report is None, str(done)
        assert (
            f"{cluster.kubelet.leader().name} leads" in done.errors and "nothing was touched" in done.errors
        )
    assert not cluster.api.changes


def on_a_terminal(cluster, answer, *options, report):
    """Runs a script without a named context on a terminal, where somebody answers."""
    ours, theirs = pty.openpty()
    process = start_in(cluster, "kill-leader", *options, named={"context": None}, report=report, stdin=theirs)
    os.close(theirs)
    eventually("it asks or ends", lambda: "go on?" in said(process) or process.poll() is not None)
    os.write(ours, answer.encode())
    done = finish(process, report)
    os.close(ours)
    return done


def test_without_a_named_context_it_asks(cluster, tmp_path):
    done = on_a_terminal(cluster, "n\n", "--lease=2s", report=tmp_path / "no")
    assert done.status == USAGE and "nothing was touched" in done.errors and done.report is None, str(done)
    assert "of context stub" in done.errors and not cluster.api.changes
    done = on_a_terminal(cluster, "y\n", *LENIENT, report=tmp_path / "yes")
    expect(done, VALID, "1 of 1 landed")


def test_without_a_named_context_and_a_terminal_it_refuses(cluster, tmp_path):
    done = cluster.run("kill-leader", named={"context": None}, report=tmp_path)
    assert done.status == USAGE and "name it by --context" in done.errors and done.output == "", str(done)
    assert not cluster.api.changes


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"context": "nowhere"}, "there is no context nowhere"),
        ({"context": "gone"}, "the API server of context gone does not answer"),
        ({"release": "other"}, "there is no release other in namespace shop"),
        ({"namespace": "empty"}, "there is no release trial in namespace empty"),
    ],
)
def test_what_is_not_there_is_refused(cluster, tmp_path, named, words):
    expect(cluster.run("kill-leader", named=named, report=tmp_path), UNKNOWN, words)
    assert not cluster.api.changes


@pytest.mark.parametrize(
    ("script", "missing"),
    [
        ("kill-leader", "delete pods"),
        ("kill-leader --crash", "patch pods/ephemeralcontainers"),
        ("freeze-leader", "patch pods/ephemeralcontainers"),
        ("partition-leader", "create networkpolicies"),
        ("rolling-restart", "patch deployments"),
        ("kill-redis", "delete pods"),
        ("watch", "list pods"),
    ],
)
def test_missing_rights_are_named_before_anything_is_touched(cluster, tmp_path, script, missing):
    cluster.api.denied = {missing}
    done = cluster.run(*script.split(), report=tmp_path)
    expect(done, UNKNOWN, "may not do this in namespace shop", missing)
    assert not cluster.api.changes


def test_nobody_may_ask_the_replicas(cluster, tmp_path):
    cluster.api.denied = {"get pods/proxy", "create pods/exec"}
    expect(cluster.run("watch", report=tmp_path), UNKNOWN, "neither get pods/proxy nor create pods/exec")


def test_an_image_that_cannot_be_pulled_does_not_land(cluster, tmp_path):
    done = cluster.run(
        "kill-leader", "--crash", "--image=nowhere/none:1", "--lease=2s", "--patience=2s", report=tmp_path
    )
    expect(done, UNKNOWN, "did not land", "nowhere/none:1", "ImagePullBackOff")


def test_a_release_without_a_leader_is_refused(cluster, tmp_path):
    pod = cluster.kubelet.pods["trial-pollux-redis-0"]
    os.kill(pod.pid, signal.SIGSTOP)
    try:
        done = cluster.run("kill-leader", "--lease=2s", report=tmp_path)
        expect(done, UNKNOWN, "was ill before the start")
        assert not cluster.api.changes
    finally:
        os.kill(pod.pid, signal.SIGCONT)


def test_without_a_shared_process_namespace_the_chart_is_named(unshared_cluster, tmp_path):
    for script in [["kill-leader", "--crash"], ["freeze-leader"]]:
        done = unshared_cluster.run(*script, "--lease=2s", report=tmp_path / script[0])
        expect(done, UNKNOWN, "chaos.shareProcessNamespace=true")
    assert not unshared_cluster.api.changes


def test_a_process_that_is_not_to_be_seen_is_not_signalled(unshared_cluster, tmp_path):
    # As a runtime that does not share what the pod says it shares.
    for pod in unshared_cluster.kubelet.replica_pods():
        pod.object["spec"]["shareProcessNamespace"] = True
    for script in [["kill-leader", "--crash"], ["freeze-leader"]]:
        done = unshared_cluster.run(*script, "--lease=2s", report=tmp_path / script[0])
        expect(done, UNKNOWN, "did not land", "no process of pollux run is to be seen")
    assert unshared_cluster.kubelet.is_well()


def test_a_single_replica_is_refused(unshared_cluster, tmp_path):
    for pod in unshared_cluster.kubelet.replica_pods()[1:]:
        with unshared_cluster.kubelet.lock:
            del unshared_cluster.kubelet.pods[pod.name]
        pod.destroy()
    done = unshared_cluster.run("kill-leader", "--lease=2s", report=tmp_path)
    expect(done, UNKNOWN, "was ill before the start", "fewer than two polling replicas")
    assert not unshared_cluster.api.changes
