"""--local: the scripts against real replicas and a real Redis as processes of this machine."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from machine import (
    INVALID,
    UNKNOWN,
    VALID,
    answers,
    cluster,
    eventually,
    expect,
    finish,
    free_port,
    run,
    said,
    start,
)

#: How long nobody leads is not what most tests are about: a loaded machine may take longer than Pollux
#: promises. How long a lease lasts one of them learns.
LENIENT = ["--bound=20s", "--lease=2s"]


def test_a_stopped_leader_hands_over_again_and_again(machine, tmp_path):
    before = machine.leader()
    done = machine.run("kill-leader", "--times=2", "--pause=500ms", *LENIENT, report=tmp_path)
    expect(done, VALID, "2 of 2 landed", "2 changes of the leader")
    first, second = done.report["faults"]
    assert first["replica"] == before and second["replica"] == first["takeovers"][0]["leader"]
    assert first["term_before"] < first["term_after"] == second["term_before"] < second["term_after"]
    assert {fault["takeovers"][0]["cause"] for fault in (first, second)} == {"released"}
    assert machine.is_well(), "all are back"


def test_a_crashed_leader_is_replaced_and_started_as_it_was(machine, tmp_path):
    name = machine.leader()
    old = machine.pid(name)
    command = pathlib.Path(f"/proc/{old}/cmdline").read_bytes()
    done = machine.run("kill-leader", "--crash", *LENIENT, report=tmp_path)
    expect(done, VALID, "SIGKILL")
    (fault,) = done.report["faults"]
    assert fault["takeovers"][0]["cause"] == "crashed" and fault["takeovers"][0]["gap_ms"] > 0
    assert f"process {old}" in fault["proof"]
    new = machine.pid(name)
    assert new not in {None, old} and pathlib.Path(f"/proc/{new}/cmdline").read_bytes() == command
    assert any(not line["ok"] for line in done.record), "it was missed meanwhile"


def test_a_gap_beyond_its_bound_is_invalid(machine, tmp_path):
    done = machine.run("kill-leader", "--crash", "--bound=1ms", "--lease=2s", report=tmp_path)
    expect(done, INVALID, "takeover in time", "allowed are 1 ms")
    assert done.report["broken"][0]["invariant"] == "takeover in time"


def test_a_leader_frozen_beyond_its_lease_is_replaced(machine, tmp_path):
    done = machine.run("freeze-leader", "--for=3s", "--bound=20s", report=tmp_path)
    expect(done, VALID, "frozen for 3.000 s", "1 changes of the leader")
    assert done.report["faults"][0]["takeovers"][0]["cause"] == "expired"
    assert done.report["expected"]["lease"] == 2, "what is left of it tells"


def test_a_leader_frozen_for_a_moment_leads_on(machine, tmp_path):
    before = machine.leader()
    done = machine.run("freeze-leader", "--for=300ms", *LENIENT, report=tmp_path)
    expect(done, VALID, "0 changes of the leader")
    assert machine.leader() == before


def test_a_takeover_that_does_not_come_is_invalid(machine, tmp_path):
    # Told that the lease is over by then, the script waits for another leader.
    done = machine.run(
        "freeze-leader", "--for=300ms", "--lease=200ms", "--bound=20s", "--patience=3s", report=tmp_path
    )
    expect(done, INVALID, "recovery: 3 s after fault 1 was healed", "in the same term as before")


def test_more_changes_than_faults_are_flapping(machine, tmp_path):
    # Told that its lease is so long, the script does not expect the takeover that comes.
    done = machine.run("freeze-leader", "--for=3s", "--bound=20s", "--lease=20s", report=tmp_path)
    expect(done, INVALID, "no flapping: 1 changes of the leader, and 0 were to be expected at most")


def test_a_leader_without_redis_is_replaced_and_all_traces_go(machine, tmp_path):
    pid = machine.pid(machine.leader())
    done = machine.run(
        "partition-leader", f"--redis-port={machine.redis_port}", "--for=5s", *LENIENT, report=tmp_path
    )
    expect(done, VALID, "cut off from Redis", "1 changes of the leader")
    assert "packets were dropped" in done.report["faults"][0]["proof"]
    assert f"--dport {machine.redis_port}" not in rules(), "no rule is left"
    assert not list(pathlib.Path("/sys/fs/cgroup").glob(f"**/pollux-cut-off-{pid}"))


def rules():
    return subprocess.run(
        ["iptables", "-w", "-S", "OUTPUT"], capture_output=True, text=True, check=True
    ).stdout


def test_a_cut_at_another_port_does_not_land(machine, tmp_path):
    done = machine.run("partition-leader", "--redis-port=6", "--for=1s", "--lease=2s", report=tmp_path)
    expect(done, UNKNOWN, "did not land", "still reaches Redis", "--redis-port")
    assert "--dport 6 " not in rules()


def test_replicas_are_restarted_one_after_the_other(machine, tmp_path):
    before = {name: machine.pid(name) for name in machine.names}
    done = machine.run("rolling-restart", *LENIENT, report=tmp_path)
    expect(done, VALID, "rolling restart")
    assert 1 <= done.report["seen"]["leader_changes"] <= 3
    assert all(machine.pid(name) not in {None, pid} for name, pid in before.items())


def test_redis_comes_back_empty_and_terms_go_on(machine, tmp_path):
    command = " ".join(word or "''" for word in machine.redis_command())
    options = [f"--redis-port={machine.redis_port}", f"--start={command}"]
    done = machine.run("kill-redis", *options, "--lease=2s", report=tmp_path)
    expect(done, VALID, "Redis ended")
    assert (
        done.report["seen"]["terms"] >= 1
        and done.report["faults"][0]["term_after"] > done.report["faults"][0]["term_before"]
    )


def test_redis_that_nobody_would_start_again_is_left_alone(machine, tmp_path):
    done = machine.run("kill-redis", f"--redis-port={machine.redis_port}", report=tmp_path)
    expect(done, UNKNOWN, "say how by --start")
    assert machine.processes["redis"].poll() is None or machine.is_well()


def test_what_listens_must_be_redis(machine, tmp_path):
    port = free_port()
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        eventually("it listens", lambda: answers(port))
        done = machine.run(
            "kill-redis", f"--redis-port={port}", "--supervised", "--lease=2s", report=tmp_path
        )
        expect(done, UNKNOWN, "and not redis-server")
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_dry_run_touches_nothing_and_judges_nothing(machine, tmp_path):
    before = {name: machine.pid(name) for name in machine.names}
    done = machine.run("kill-leader", "--crash", "--dry-run", "--lease=2s", report=tmp_path)
    assert done.status == VALID and done.output == "" and done.report is None, str(done)
    assert f"{machine.leader()} leads in term" in done.errors and "nothing was touched" in done.errors
    assert before == {name: machine.pid(name) for name in machine.names}


def test_ctrl_c_wakes_what_was_frozen_and_the_next_run_works(machine, tmp_path):
    admin, name = machine.admins["castor"], machine.leader()
    running = start("freeze-leader", "--local", "--admin", admin, "--for=60s", report=tmp_path / "first")
    pid = machine.pid(name)
    eventually("it is frozen", lambda: stopped(pid))
    running.send_signal(signal.SIGINT)
    expect(finish(running, tmp_path / "first"), UNKNOWN, "it was interrupted")
    assert not stopped(pid)
    eventually("all is well", machine.is_well)
    expect(machine.run("kill-leader", *LENIENT, report=tmp_path / "second"), VALID)


def stopped(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


def test_nothing_goes_on_when_a_script_is_killed(machine, tmp_path):
    running = start("watch", "--local", "--admin", machine.admins["castor"], report=tmp_path)
    eventually("it records", lambda: "Ctrl-C" in said(running))
    running.kill()
    running.wait()
    eventually("the recorder is gone, too", lambda: not os.listdir(running.meanwhile.name))


def test_ctrl_c_starts_again_what_was_killed(machine, tmp_path):
    admin = machine.admins["castor"]
    port = f"--redis-port={machine.redis_port}"
    command = " ".join(word or "''" for word in machine.redis_command())
    running = start(
        "kill-redis",
        "--local",
        "--admin",
        admin,
        port,
        f"--start={command}",
        "--patience=60s",
        report=tmp_path,
    )
    eventually("Redis is gone", lambda: not answers(machine.redis_port))
    running.send_signal(signal.SIGTERM)
    expect(finish(running, tmp_path), UNKNOWN, "it was interrupted")
    eventually("Redis is back, and so are all", machine.is_well)


def test_the_record_tells_what_each_replica_saw(machine, tmp_path):
    running = start("watch", "--local", "--admin", machine.admins["castor"], report=tmp_path)
    eventually("it records", lambda: "Ctrl-C" in said(running))
    time.sleep(1)  # what it is there for: to watch for a while
    running.send_signal(signal.SIGINT)
    done = finish(running, tmp_path)
    expect(done, VALID, "0 changes of the leader")
    record = done.record
    assert {line["asked"] for line in record} == set(machine.names)
    assert [line["at"] for line in record] == sorted(line["at"] for line in record)
    line = record[-1]
    assert line["leader"] == machine.leader() and {one["name"] for one in line["endpoints"]} == {
        "prices",
        "news",
    }


@pytest.mark.parametrize("script", ["kill-leader", "partition-leader"])
def test_a_cluster_with_a_stale_endpoint_is_refused(machine, tmp_path, script):
    machine.backend.down = True
    try:
        admin = machine.admins["castor"]
        eventually("it is stale", lambda: any(one["stale"] for one in cluster(admin)["endpoints"]))
        done = machine.run(script, "--lease=2s", report=tmp_path)
        expect(done, UNKNOWN, "was ill before the start", "is stale")
        assert done.report["faults"] == []
    finally:
        machine.backend.down = False


def test_nobody_there_is_refused(tmp_path):
    done = run("kill-leader", "--local", "--admin", f"http://127.0.0.1:{free_port()}", report=tmp_path)
    expect(done, UNKNOWN, "no replica answers at")


def test_what_is_no_replica_is_refused(machine, tmp_path):
    done = run("kill-leader", "--local", "--admin", machine.backend.url.rstrip("/"), report=tmp_path)
    expect(done, UNKNOWN, "is no replica of Pollux")
