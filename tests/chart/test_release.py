"""A rendered release, run on this machine: an embedded Redis, its replicas, and what Helm runs."""

import itertools
import json
import re
import urllib.request

import pytest
from chart import ROOT, find, render, values
from matrix import MATRIX
from release import Release, eventually, stop

FAST = {"config": {"endpoints": [{"name": "prices", "url": "http://backend.example/", "every": "100ms"}]}}
EMBEDDED = values(FAST, config={"redis": None}, redis={"embedded": True})
SEPARATE = values(EMBEDDED, config={"redis": None}, gateway={"separate": True})


@pytest.fixture
def release(request, pollux, tmp_path):
    with Release(render(request.param), tmp_path, pollux) as running:
        yield running


def cluster(admin):
    """What a replica says of the cluster; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"{admin}/v1/cluster", timeout=2) as answer:
            return json.load(answer)
    except OSError:
        return None


def start(release, deployments):
    """Starts Redis, a backend that changes with each poll, and replicas that have found a leader."""
    redis, count = release.start_redis(), itertools.count()
    backend = release.serve(lambda: next(count))
    outside = {"POLLUX__REDIS__URL": redis, "POLLUX__ENDPOINTS__0__URL": backend}
    replicas = [
        release.start_replica(deployment, f"{deployment}-{number}", **outside)
        for deployment, replicas in deployments.items()
        for number in range(replicas)
    ]

    def settled():
        reports = [cluster(admin) for admin, _ in replicas]
        if not all(report and report.get("leader") and len(report["replicas"]) == len(replicas) for report in reports):
            return None
        return reports[0]

    eventually("all replicas know each other and a leader", settled)
    return replicas, outside


def failover(release, admin, within="60s", **variables):
    """Runs `helm test`'s pod."""
    pod = find(release.objects, "Pod")["spec"]
    replace = [("http://prod-pollux-admin:9090", admin), ("--timeout=60s", f"--timeout={within}")]
    return release.run(pod, replace, **variables)


@pytest.mark.parametrize("release", [EMBEDDED], indirect=True)
def test_helm_test_proves_a_failover(release):
    replicas, _ = start(release, {"prod-pollux": 3})
    service = release.service([admin for admin, _ in replicas])
    before = cluster(service)["leader"]
    status, said = failover(release, service)
    assert status == 0, said
    after = eventually("a leader", lambda: (cluster(service) or {}).get("leader"))
    assert after["replica"] != before["replica"] and after["term"] > before["term"]


@pytest.mark.parametrize("release", [EMBEDDED], indirect=True)
def test_helm_test_fails_where_nobody_can_take_over(release):
    ((admin, _),), _ = start(release, {"prod-pollux": 1})
    status, said = failover(release, admin, within="1s")
    assert status == 1 and "nobody else could lead" in said


@pytest.mark.parametrize("release", [EMBEDDED], indirect=True)
def test_nobody_without_the_token_makes_the_leader_step_down(release):
    replicas, _ = start(release, {"prod-pollux": 2})
    status, said = failover(release, replicas[0][0], POLLUX__ADMIN__TOKEN="a-wrong-token")
    assert status == 1 and "admin.token" in said, said


@pytest.mark.parametrize("release", [EMBEDDED], indirect=True)
def test_a_pod_hands_over_by_its_own_configuration(release):
    # As NOTES.txt says: kubectl exec … -- /pollux step-down --config /etc/pollux/pollux.yaml
    replicas, outside = start(release, {"prod-pollux": 2})
    admin = replicas[0][0]
    before = cluster(admin)["leader"]
    pod = find(release.objects, "Deployment")["spec"]["template"]["spec"]
    pod["containers"][0]["args"] = ["step-down", "--config=/etc/pollux/pollux.yaml"]
    local = {"POLLUX__ADMIN__LISTEN": admin.removeprefix("http://"), **outside}
    status, said = release.run(pod, **local)
    assert status == 0 and f"{before['replica']} handed over to" in said, said


@pytest.mark.parametrize("release", [SEPARATE], indirect=True)
def test_separate_gateways_leave_the_lease_to_the_pollers(release):
    replicas, _ = start(release, {"prod-pollux": 2, "prod-pollux-gateway": 1})
    report = cluster(replicas[0][0])
    roles = {one["replica"]: one["role"] for one in report["replicas"]}
    assert sorted(roles.values()) == ["gateway", "poller", "poller"]
    # Of these, one has the data and the others hand over: the Service must lead to all.
    status, said = failover(release, release.service([admin for admin, _ in replicas]))
    assert status == 0, said


@pytest.mark.parametrize("release", [EMBEDDED], indirect=True)
def test_a_pod_that_is_stopped_is_gone_within_its_grace_period(release):
    replicas, _ = start(release, {"prod-pollux": 2})
    leader = cluster(replicas[0][0])["leader"]["replica"]
    number = int(leader.rsplit("-", 1)[1])
    pod = find(release.objects, "Deployment")["spec"]["template"]["spec"]
    slept = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert slept + stop(replicas[number][1]) < pod["terminationGracePeriodSeconds"]
    other = replicas[1 - number][0]
    eventually(
        "the other leads", lambda: (cluster(other).get("leader") or {}).get("replica") not in {None, leader}
    )


def preflight(release, container="preflight", **variables):
    pod = find(release.objects, "Job")["spec"]["template"]["spec"]
    (asking,) = [one for one in pod["containers"] if one["name"] == container]
    return release.run(pod | {"containers": [asking]}, **variables)


@pytest.mark.parametrize("release", [EMBEDDED], indirect=True)
def test_preflight_finds_nothing_wrong_with_the_embedded_redis(release):
    status, said = preflight(release, POLLUX__REDIS__URL=release.start_redis())
    assert status == 0, said
    lacks = {"eviction", "run", "numsub", "permission"}
    found = {line.split()[0]: line.split()[-1] for line in said.splitlines() if line.strip()}
    assert {found[lack] for lack in lacks} == {"ok"}, said


@pytest.mark.parametrize("release", [EMBEDDED], indirect=True)
def test_preflight_fails_where_redis_allows_too_little(release):
    redis = release.start_redis(user="limited on >limited-too ~* &* +@all -publish")
    user = {"POLLUX__REDIS__USERNAME": "limited", "POLLUX__REDIS__PASSWORD": "limited-too"}
    status, said = preflight(release, POLLUX__REDIS__URL=redis, **user)
    assert status == 1 and "the user may not: publish" in said.lower(), said


@pytest.mark.parametrize("release", [SEPARATE], indirect=True)
def test_preflight_asks_for_what_pollers_and_gateways_need_apart(release):
    # The user for gateways that config/redis-acl.conf has: enough for these, and not for pollers.
    acl = (ROOT / "config" / "redis-acl.conf").read_text()
    name, rest = re.search(r"^user (pollux-gateway) (.*)", acl, re.MULTILINE).groups()
    password = re.search(r">(\S+)", rest)[1]
    user = {
        "POLLUX__REDIS__URL": release.start_redis(user=f"{name} {rest}"),
        "POLLUX__REDIS__USERNAME": name,
        "POLLUX__REDIS__PASSWORD": password,
    }
    status, said = preflight(release, "preflight-gateway", **user)
    assert status == 0, said
    status, said = preflight(release, **user)
    assert status == 1 and "the user may not: " in said.lower(), said


@pytest.mark.parametrize("release", [EMBEDDED], indirect=True)
def test_preflight_tells_of_a_policy_that_evicts(release):
    redis = release.start_redis(maxmemory_policy="allkeys-lru")
    status, said = preflight(release, POLLUX__REDIS__URL=redis)
    assert status == 0 and "a full server evicts the lease" in said


@pytest.mark.parametrize("release", [EMBEDDED], indirect=True)
def test_preflight_fails_without_redis(release):
    status, said = preflight(release, POLLUX__REDIS__URL="redis://127.0.0.1:1")
    assert status == 1 and "127.0.0.1:1" in said


@pytest.mark.parametrize("release", [EMBEDDED], indirect=True)
def test_preflight_refuses_a_configuration_that_only_the_binary_can_judge(release):
    status, said = preflight(release, POLLUX__LEASE__CRASH_PROBE="7s")
    assert status == 78 and "crash_probe" in said


@pytest.mark.parametrize("release", [MATRIX["full configuration"]], indirect=True)
def test_preflight_names_what_a_missing_secret_leaves_open(release):
    status, said = preflight(release)
    assert status == 78
    for setting, key in [("redis.password", "redis"), ("admin.token", "token"), ("Authorization", "rates")]:
        assert any(
            f"{setting}: " in line and f"/{key}}}: expected a file, found none" in line
            for line in said.splitlines()
        ), said
