"""What runs: the Deployments, their pods, and who may go when."""

import pytest
from chart import find, kinds, merged, pod_specs, refusal, render, values
from matrix import MATRIX, PODS, SCALING

POLLER, GATEWAY = "Deployment/prod-pollux", "Deployment/prod-pollux-gateway"


def pods_of(of=None, **more):
    return {
        path: pod for path, pod in pod_specs(render(of, **more)).items() if "Deployment" in path
    }


def test_three_identical_replicas_by_default():
    deployment = find(render(), "Deployment")
    assert deployment["spec"]["replicas"] == 3
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["run", "--config=/etc/pollux/pollux.yaml"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8080, "admin": 9090}


def test_separate_gateways_take_the_serving_from_the_pollers():
    objects = render(MATRIX["separate gateways"])
    poller, gateway = (
        find(objects, "Deployment", path.split("/")[1]) for path in (POLLER, GATEWAY)
    )
    for deployment, role, ports, replicas in [
        (poller, "poller", ["admin"], 3),
        (gateway, "gateway", ["http", "admin"], 2),
    ]:
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert f"--role={role}" in container["args"]
        assert [port["name"] for port in container["ports"]] == ports
        assert deployment["spec"]["replicas"] == replicas
    limits = [pod["containers"][0]["resources"]["limits"] for pod in pods_of(MATRIX["separate gateways"]).values()]
    assert limits == [{"memory": "256Mi"}, {"memory": "1Gi"}]


@pytest.mark.parametrize("name", MATRIX)
def test_a_rollout_takes_no_replica_before_another_is_there(name):
    for one in render(MATRIX[name]):
        if one["kind"] == "Deployment":
            expected = {"maxSurge": 1, "maxUnavailable": 0}
            assert one["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": expected}


@pytest.mark.parametrize("name", MATRIX)
def test_each_pod_has_its_name_and_its_address(name):
    for path, pod in pods_of(MATRIX[name]).items():
        (container,) = pod["containers"]
        by_name = {variable["name"]: variable for variable in container["env"]}
        source = by_name["POLLUX__REPLICA"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert source == "metadata.name", path
        port = {port["name"]: port for port in container["ports"]}["admin"]["containerPort"]
        host = "[$(POD_IP)]" if name == "ipv6" else "$(POD_IP)"
        assert by_name["POLLUX__ADDRESS"]["value"] == f"http://{host}:{port}"
        # Kubernetes only fills in variables that stand before.
        names = list(by_name)
        assert names.index("POD_IP") < names.index("POLLUX__ADDRESS")


@pytest.mark.parametrize("name", MATRIX)
def test_each_pod_keeps_the_ports_that_it_was_made_with(name):
    # An upgrade changes the file below pods that it has not replaced yet; a variable counts instead.
    for path, pod in pods_of(MATRIX[name]).items():
        (container,) = pod["containers"]
        listen = {variable["name"]: variable.get("value") for variable in container["env"]}
        for port in container["ports"]:
            server = {"http": "GATEWAY", "admin": "ADMIN"}[port["name"]]
            host = "[::]" if name == "ipv6" else "0.0.0.0"
            assert listen[f"POLLUX__{server}__LISTEN"] == f"{host}:{port['containerPort']}", path


@pytest.mark.parametrize(
    ("where", "variable"),
    [
        ("extraEnv", "POLLUX__ADMIN__LISTEN"),
        ("extraEnv", "POLLUX__GATEWAY__LISTEN"),
        ("gateway.extraEnv", "POLLUX__ADMIN__LISTEN"),
        ("gateway.extraEnv", "POLLUX__GATEWAY__LISTEN"),
    ],
)
def test_a_variable_for_a_port_is_refused(where, variable):
    env = {"extraEnv": [{"name": variable, "value": "0.0.0.0:8000"}]}
    server = variable.split("__")[1].lower()
    said = refusal(values({"gateway": env} if where == "gateway.extraEnv" else env))
    assert f"- {where} has {variable}, which the chart sets by config.{server}.listen: set that" in said


@pytest.mark.parametrize("where", ["extraEnv", "gateway.extraEnv"])
def test_a_variable_for_what_pods_have_of_the_chart_is_refused(where):
    # Pods would be killed before a longer drain is over, and two replicas of one name are one.
    names = ["POLLUX__DRAIN", "POLLUX__REPLICA", "POLLUX__ADDRESS"]
    env = {"extraEnv": [{"name": name, "value": "120s"} for name in names]}
    said = refusal(values({"gateway": env} if where == "gateway.extraEnv" else env))
    assert f"- {where} has POLLUX__DRAIN, which the chart sets by config.drain: set that" in said
    for name in names[1:]:
        assert f"- {where} has {name}: each pod has its own" in said


@pytest.mark.parametrize(
    ("drain", "seconds"),
    [
        (None, 30),
        ("20s", 30),
        ("1m30s", 100),
        ("500ms", 11),
        ("1h", 3610),
        ("1h1m1s1ms", 3672),
        ("2s1ms", 13),
        ("${env:DRAIN}", 30),
    ],
)
def test_the_grace_period_covers_pre_stop_and_drain(drain, seconds):
    pod = pods_of(values(config={"drain": drain}))[POLLER]
    assert pod["terminationGracePeriodSeconds"] == seconds


def test_a_pod_sleeps_before_its_end_only_where_kubernetes_can():
    for kubernetes, sleeps, seconds in [("1.29.9", False, 25), ("1.30.0", True, 30)]:
        pod = pods_of(kubernetes=kubernetes)[POLLER]
        assert ("lifecycle" in pod["containers"][0]) == sleeps
        assert pod["terminationGracePeriodSeconds"] == seconds


def test_only_pods_that_serve_sleep_before_their_end():
    pods = pods_of(MATRIX["separate gateways"])
    assert "lifecycle" not in pods[POLLER]["containers"][0]
    sleep = pods[GATEWAY]["containers"][0]["lifecycle"]["preStop"]["sleep"]
    assert sleep == {"seconds": 5}
    assert pods[POLLER]["terminationGracePeriodSeconds"] == 25
    assert pods[GATEWAY]["terminationGracePeriodSeconds"] == 30


def test_no_sleep_is_no_hook():
    pod = pods_of(values(preStopSleepSeconds=0))[POLLER]
    assert "lifecycle" not in pod["containers"][0]
    assert pod["terminationGracePeriodSeconds"] == 25


@pytest.mark.parametrize("name", MATRIX)
def test_probes_ask_the_admin_port(name):
    for pod in pods_of(MATRIX[name]).values():
        (container,) = pod["containers"]
        for probe, path in [
            ("startupProbe", "/livez"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ]:
            assert container[probe]["httpGet"] == {"path": path, "port": "admin"}


@pytest.mark.parametrize("name", MATRIX)
def test_every_pod_is_restricted(name):
    for path, pod in pod_specs(render(MATRIX[name])).items():
        assert pod["automountServiceAccountToken"] is False, path
        assert pod["enableServiceLinks"] is False, path
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] == 65532, path
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, path
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "capabilities": {"drop": ["ALL"]},
            }, path
            assert "memory" in container["resources"]["limits"], path


def test_replicas_spread_over_nodes_and_zones():
    for component, pod in zip(["poller", "gateway"], pods_of(MATRIX["separate gateways"]).values()):
        keys = []
        for spread in pod["topologySpreadConstraints"]:
            keys.append(spread["topologyKey"])
            assert spread["whenUnsatisfiable"] == "ScheduleAnyway"
            assert spread["matchLabelKeys"] == ["pod-template-hash"]
            labels = spread["labelSelector"]["matchLabels"]
            assert labels["app.kubernetes.io/component"] == component
        assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


def test_budgets_let_one_go_at_a_time_and_the_unready_always():
    objects = render(MATRIX["separate gateways"])
    for name, component in [("prod-pollux", "poller"), ("prod-pollux-gateway", "gateway")]:
        spec = find(objects, "PodDisruptionBudget", name)["spec"]
        assert spec["maxUnavailable"] == 1 and "minAvailable" not in spec
        assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        assert spec["selector"]["matchLabels"]["app.kubernetes.io/component"] == component


def test_a_budget_may_say_how_many_stay_instead():
    spec = find(render(MATRIX["pods of all kinds"]), "PodDisruptionBudget")["spec"]
    assert spec["minAvailable"] == "50%" and "maxUnavailable" not in spec


def test_the_autoscaler_has_the_gateways_to_itself():
    objects = render(MATRIX["autoscaling"])
    spec = find(objects, "HorizontalPodAutoscaler")["spec"]
    assert spec["scaleTargetRef"]["name"] == "prod-pollux-gateway"
    # A number of replicas would set back what it found, with each upgrade.
    assert "replicas" not in find(objects, "Deployment", "prod-pollux-gateway")["spec"]
    assert find(objects, "Deployment", "prod-pollux")["spec"]["replicas"] == 3


@pytest.mark.parametrize("name", [name for name in MATRIX if "autoscaling" not in MATRIX[name]])
def test_without_it_nothing_scales(name):
    assert not any(path.startswith("HorizontalPodAutoscaler/") for path in kinds(render(MATRIX[name])))


def test_pods_take_what_values_say_of_them():
    objects = render(MATRIX["pods of all kinds"])
    template = find(objects, "Deployment")["spec"]["template"]
    pod = template["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example/pollux@sha256:" + "0" * 64
    assert template["metadata"]["labels"]["team"] == "data"
    assert template["metadata"]["annotations"].items() >= PODS["podAnnotations"].items()
    for same in ["imagePullSecrets", "priorityClassName", "nodeSelector", "affinity", "tolerations",
                 "topologySpreadConstraints"]:
        assert pod[same] == PODS[same]
    assert PODS["extraEnv"][0] in container["env"]
    assert PODS["extraVolumes"][0] in pod["volumes"]
    assert PODS["extraVolumeMounts"][0] in container["volumeMounts"]
    assert pod["serviceAccountName"] == "shared"
    assert "ServiceAccount/prod-pollux" not in kinds(objects)


def test_an_image_without_a_digest_has_the_version_as_its_tag():
    assert pods_of()[POLLER]["containers"][0]["image"] == "pollux:0.1.0"
    tagged = pods_of(values(image={"tag": "edge"}))[POLLER]
    assert tagged["containers"][0]["image"] == "pollux:edge"


def test_gateways_have_pods_of_their_own_kind_where_values_say_so():
    own = {"podLabels": {"tier": "front"}, "nodeSelector": {"pool": "front"}}
    pods = pods_of(values(merged(SCALING, {"gateway": own}), nodeSelector={"pool": "back"}))
    assert pods[POLLER]["nodeSelector"] == {"pool": "back"}
    assert pods[GATEWAY]["nodeSelector"] == {"pool": "front"}
    assert {"name": "POLLUX__GATEWAY__MAX_STREAMS", "value": "500"} in pods[GATEWAY]["containers"][0]["env"]
    assert "500" not in str(pods[POLLER])


@pytest.mark.parametrize("name", MATRIX)
def test_processes_are_shared_for_chaos_alone(name):
    for path, pod in pod_specs(render(MATRIX[name])).items():
        shared = name == "pods of all kinds" and path == POLLER
        assert pod.get("shareProcessNamespace", False) == shared
