"""What runs beside the replicas: the preflight Job and the failover test."""

import pytest
from chart import find, kinds, render, values
from matrix import FULL, MATRIX, SECRET

HOOK, WEIGHT = "helm.sh/hook", "helm.sh/hook-weight"
JOB, TEST = "prod-pollux-preflight", "prod-pollux-test-failover"


def hook(one):
    return one["metadata"].get("annotations", {}).get(HOOK)


@pytest.mark.parametrize("name", MATRIX)
def test_only_preflight_and_test_are_hooks(name):
    for one in render(MATRIX[name]):
        part = one["metadata"]["name"].removeprefix(MATRIX[name].get("fullnameOverride", "prod-pollux"))
        assert bool(hook(one)) == (part in {"-preflight", "-test-failover"}), one["metadata"]["name"]


def test_preflight_runs_before_anything_is_changed():
    objects = render()
    job, config = find(objects, "Job"), find(objects, "ConfigMap", JOB)
    assert hook(job) == hook(config) == "pre-install,pre-upgrade"
    # What it mounts is made first.
    assert int(config["metadata"]["annotations"][WEIGHT]) < 0
    assert WEIGHT not in job["metadata"]["annotations"]
    # And with the same configuration that the replicas will get.
    assert config["data"] == find(objects, "ConfigMap", "prod-pollux")["data"]


@pytest.mark.parametrize("name", [name for name in MATRIX if "redis" not in MATRIX[name]])
def test_preflight_needs_nothing_that_the_release_makes(name):
    objects = render(MATRIX[name])
    if f"Job/{JOB}" not in kinds(objects):
        assert name in {"one without redis", "without extras"}
        return
    pod = find(objects, "Job")["spec"]["template"]["spec"]
    made = {one["metadata"]["name"] for one in objects if not hook(one)}
    assert pod["serviceAccountName"] not in made
    for volume in pod["volumes"]:
        sources = volume.get("projected", {}).get("sources", [])
        names = {source["secret"]["name"] for source in sources}
        names |= {volume[kind]["name"] for kind in ["configMap"] if kind in volume}
        assert not names & made, volume


def test_preflight_follows_an_embedded_redis():
    job = find(render(MATRIX["embedded redis"]), "Job")
    assert hook(job) == "post-install,post-upgrade"
    # Redis may still be starting.
    assert job["spec"]["backoffLimit"] > 1


def test_a_failed_preflight_stays_to_be_read_and_a_good_one_goes():
    annotations = find(render(), "Job")["metadata"]["annotations"]
    assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


def test_preflight_asks_for_what_the_replicas_need():
    (container,) = find(render(), "Job")["spec"]["template"]["spec"]["containers"]
    assert container["args"][0] == "preflight" and "--role=all" in container["args"]


def test_preflight_asks_as_each_of_pollers_and_gateways_with_what_these_have():
    user = [{"name": "POLLUX__REDIS__USERNAME", "value": "reader"}]
    own = {"separate": True, "extraEnv": user, "resources": {"limits": {"memory": "1Gi"}}}
    objects = render(values(gateway=own, extraEnv=[{"name": "RUST_LOG", "value": "debug"}]))
    asking = find(objects, "Job")["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in asking] == ["preflight", "preflight-gateway"]
    for one, role, name in zip(asking, ["poller", "gateway"], ["prod-pollux", "prod-pollux-gateway"]):
        assert one["args"][0] == "preflight" and f"--role={role}" in one["args"]
        (replica,) = find(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        # What makes a pod a replica that listens, which the Job is not.
        given = {"POLLUX__REPLICA", "POLLUX__ADDRESS", "POLLUX__ADMIN__TOKEN", "POD_IP"}
        given |= {"POLLUX__GATEWAY__LISTEN", "POLLUX__ADMIN__LISTEN"}

        def chosen(container):
            return [variable for variable in container["env"] if variable["name"] not in given]

        assert chosen(one) == chosen(replica) and one["resources"] == replica["resources"]
        assert (user[0] in one["env"]) == (role == "gateway")


def test_without_redis_there_is_nothing_to_ask():
    assert f"Job/{JOB}" not in kinds(render(MATRIX["one without redis"]))


def token_of(objects):
    (container,) = find(objects, "Pod", TEST)["spec"]["containers"]
    return container["env"][-1]


def test_the_failover_test_asks_the_admin_service():
    pod = find(render(), "Pod", TEST)
    assert hook(pod) == "test"
    (container,) = pod["spec"]["containers"]
    assert container["args"][:2] == ["step-down", "--verify"]
    assert "--url=http://prod-pollux-admin:9090" in container["args"]
    assert find(render(), "Service", "prod-pollux-admin")["spec"]["ports"][0]["port"] == 9090


@pytest.mark.parametrize(
    ("of", "token"),
    [
        (values(), {"valueFrom": {"secretKeyRef": {"name": "prod-pollux-admin", "key": "admin-token"}}}),
        (MATRIX["own token"], {"valueFrom": {"secretKeyRef": {"name": "token", "key": "t"}}}),
        ({"config": FULL, **SECRET}, {"valueFrom": {"secretKeyRef": {"name": "pollux-secrets", "key": "token"}}}),
        (MATRIX["token of a variable"], {"value": "$(ADMIN_TOKEN)"}),
        (values(config={"admin": {"token": "sesame-open"}}), {"value": "sesame-open"}),
        (
            values(extraEnv=[{"name": "POLLUX__ADMIN__TOKEN", "value": "sesame-open"}]),
            {"value": "sesame-open"},
        ),
    ],
)
def test_it_has_the_token_that_the_replicas_have(of, token):
    assert token_of(render(of)) == {"name": "POLLUX__ADMIN__TOKEN", **token}


@pytest.mark.parametrize(
    "of",
    [
        values(replicas=1),
        # A file that comes from a volume, or a token put together: not to be told from the values.
        values(config={"admin": {"token": "${file:/etc/token}"}}),
        values(config={"admin": {"token": "a-${env:TOKEN}"}}),
    ],
)
def test_there_is_none_where_it_could_not_pass(of):
    assert f"Pod/{TEST}" not in kinds(render(of))
