"""The configuration as replicas get it: taken by the binary, and changed without a restart."""

import os
import re
import subprocess

import pytest
import yaml
from chart import CHART, find, merged, pod_specs, refusal, render, values
from matrix import FULL, MATRIX, SECRET

MOUNTED = "/run/secrets/pollux"


def written(objects, directory, name="prod-pollux", without=()):
    """The ConfigMap's file below a directory, where its secrets are too. Gives its path."""
    text = find(objects, "ConfigMap", name)["data"]["pollux.yaml"]
    secrets = directory / "secrets"
    secrets.mkdir()
    for secret in set(re.findall(rf"\$\{{file:{MOUNTED}/([^}}]+)\}}", text)) - set(without):
        (secrets / secret).write_text("a-secret-value")
    path = directory / "pollux.yaml"
    path.write_text(text.replace(MOUNTED, str(secrets)))
    return path


def variables(pod):
    """The variables of a pod's only container, with something for those from elsewhere."""
    (container,) = pod["containers"]
    given = {"POD_IP": "2001:db8::1" if "[$(POD_IP)]" in str(container) else "10.1.2.3"}
    for variable in container.get("env", []):
        value = variable.get("value", "from-elsewhere")
        if variable["name"] != "POD_IP":
            given[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda name: given[name[1]], value)
    return given


def run(pollux, command, path, environment):
    environment = {"PATH": os.environ["PATH"], **environment}
    command = [pollux, command, f"--config={path}"]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("name", MATRIX)
def test_the_binary_takes_what_is_rendered(name, pollux, tmp_path):
    objects = render(MATRIX[name])
    pods = {path: pod for path, pod in pod_specs(objects).items() if path.startswith("Deployment/")}
    fullname = MATRIX[name].get("fullnameOverride", "prod-pollux")
    path = written(objects, tmp_path, fullname)
    for pod in pods.values():
        done = run(pollux, "check", path, variables(pod))
        assert done.returncode == 0, done.stderr


def test_what_is_under_config_stays_as_it_is():
    rendered = find(render({"config": FULL, **SECRET}), "ConfigMap", "prod-pollux")
    assert yaml.safe_load(rendered["data"]["pollux.yaml"]) == FULL


def test_the_chart_adds_the_admin_address_and_token_alone():
    rendered = yaml.safe_load(find(render(), "ConfigMap", "prod-pollux")["data"]["pollux.yaml"])
    token = "${file:/run/secrets/pollux/admin-token}"
    assert rendered.pop("admin") == {"listen": "0.0.0.0:9090", "token": token}
    assert rendered == values()["config"]


def test_an_embedded_redis_is_filled_in():
    objects = render(MATRIX["embedded redis"])
    rendered = yaml.safe_load(find(objects, "ConfigMap", "prod-pollux")["data"]["pollux.yaml"])
    assert rendered["redis"] == {
        "url": "redis://prod-pollux-redis:6379",
        "password": "${file:/run/secrets/pollux/redis-password}",
    }


def test_a_missing_key_of_the_secret_is_named_by_the_pod(pollux, tmp_path):
    objects = render({"config": FULL, **SECRET})
    path = written(objects, tmp_path, without=["rates", "redis"])
    done = run(pollux, "run", path, {})
    assert done.returncode == 78
    for setting, key in [("redis.password", "redis"), ("headers.Authorization", "rates")]:
        assert re.search(rf"{setting}: .*secrets/{key}}}: expected a file, found none", done.stderr)
    # Which is then in the pod's status, for `kubectl describe`.
    (container,) = pod_specs(objects)["Deployment/prod-pollux"]["containers"]
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_a_missing_secret_keeps_the_pod_waiting_for_it_by_name():
    pod = pod_specs(render({"config": FULL, **SECRET}))["Deployment/prod-pollux"]
    (secrets,) = [volume for volume in pod["volumes"] if volume["name"] == "secrets"]
    # Neither the volume nor its source is optional: the kubelet's event names the Secret.
    assert secrets["projected"]["sources"] == [{"secret": {"name": "pollux-secrets"}}]


#: One change of each section that makes no pod another one.
CHANGES = {
    "history": {"history": 7},
    "endpoints": {"endpoints": [{"name": "news", "url": "http://b.example/", "every": "5s"}]},
    "defaults": {"defaults": {"every": "9s", "timeout": "3s"}},
    "lease": {"lease": {"duration": "20s", "renew_deadline": "15s"}},
    "gateway": {"gateway": {"max_streams": 7}},
    "traces": {"traces": {"endpoint": "http://other.example:4318", "ratio": 0.1}},
    "all at once": {"history": 8, "gateway": {"max_streams": 9}, "lease": {"retry_period": "700ms"}},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["default", "full configuration", "network policies, apart, embedded"])
def test_changes_of_the_configuration_replace_no_pod(name, change):
    changed = merged(MATRIX[name], {"config": CHANGES[change]})
    assert config_map(MATRIX[name]) != config_map(changed)
    before, after = deployments(MATRIX[name]), deployments(changed)
    assert before and before == after


def test_another_redis_and_another_token_replace_no_pod():
    own = values(config={"admin": {"token": "sesame-open"}})
    for before, change in [
        (values(), {"redis": {"url": "rediss://other.example:6380", "timeout": "1s"}}),
        (own, {"admin": {"token": "sesame-shut"}}),
    ]:
        assert deployments(before) == deployments(merged(before, {"config": change}))


@pytest.mark.parametrize("name", MATRIX)
def test_changes_reach_every_replica(name):
    assert deployments(merged(MATRIX[name], {"config": {"history": 7}})) == deployments(MATRIX[name])
    for deployment in deployments(MATRIX[name]):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        mounts = container["volumeMounts"]
        assert {"/etc/pollux", MOUNTED} <= {mount["mountPath"] for mount in mounts}
        assert not any("subPath" in mount for mount in mounts)


#: What the pods themselves depend on, as README.md and NOTES.txt say, and what it is there.
PARTS_OF_PODS = {
    # A running replica would refuse the change: nothing moves to another cluster in passing.
    "cluster": ({"cluster": "other"}, "pollux/cluster"),
    "drain": ({"drain": "40s"}, "terminationGracePeriodSeconds"),
    "gateway.listen": ({"gateway": {"listen": "0.0.0.0:8000"}}, "8000"),
    "admin.listen": ({"admin": {"listen": "0.0.0.0:9000"}}, "9000"),
    "a first admin.token": ({"admin": {"token": "sesame-open"}}, "sources"),
}


@pytest.mark.parametrize("name", PARTS_OF_PODS)
def test_what_pods_are_made_of_replaces_them(name):
    change, seen = PARTS_OF_PODS[name]
    ((before,), (after,)) = deployments(values()), deployments(values(config=change))
    assert before["spec"]["template"] != after["spec"]["template"]
    assert seen in str(before["spec"]["template"]) + str(after["spec"]["template"])


def test_what_replaces_pods_is_said():
    readme, notes = (
        " ".join((CHART / name).read_text().split()) for name in ("README.md", "templates/NOTES.txt")
    )
    for name in PARTS_OF_PODS:
        assert f"`config.{name.split()[-1]}`" in readme, name
    assert "Only another cluster, drain or port, or a config.admin.token" in notes


def config_map(of):
    return find(render(of), "ConfigMap", "prod-pollux")


def deployments(of):
    """With all that makes Kubernetes replace their pods, such as a checksum among the annotations."""
    return [one for one in render(of) if one["kind"] == "Deployment"]


def test_a_volume_by_sub_path_is_refused():
    mounts = [{"name": "ca", "mountPath": "/ca", "subPath": "ca.pem"}]
    assert "extraVolumeMounts.0" in refusal(values(extraVolumeMounts=mounts))
