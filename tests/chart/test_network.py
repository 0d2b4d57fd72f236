"""Who reaches whom: Services, ways in from outside, and NetworkPolicies."""

import json
import pathlib
import re
import subprocess

import pytest
from chart import find, kinds, merged, refusal, render, values
from matrix import MATRIX, NETWORK

NGINX = "nginx.ingress.kubernetes.io/"


@pytest.mark.parametrize("name", MATRIX)
def test_no_way_for_clients_leads_to_the_admin_port(name):
    fullname = MATRIX[name].get("fullnameOverride", "prod-pollux")
    objects = render(MATRIX[name])
    service = find(objects, "Service", fullname)["spec"]
    assert [port["targetPort"] for port in service["ports"]] == ["http"]
    component = "gateway" if MATRIX[name].get("gateway", {}).get("separate") else "poller"
    assert service["selector"]["app.kubernetes.io/component"] == component
    for one in objects:
        if one["kind"] in {"Ingress", "HTTPRoute"}:
            assert f"{fullname}-admin" not in str(one)


@pytest.mark.parametrize("name", MATRIX)
def test_the_admin_service_leads_to_every_replica_from_inside_alone(name):
    fullname = MATRIX[name].get("fullnameOverride", "prod-pollux")
    service = find(render(MATRIX[name]), "Service", f"{fullname}-admin")["spec"]
    assert service["type"] == "ClusterIP"
    assert service["selector"] == {
        "app.kubernetes.io/name": "pollux",
        "app.kubernetes.io/instance": "prod",
    }


def test_an_ingress_keeps_nginx_from_buffering():
    ingress = find(render(MATRIX["all ways in"]), "Ingress")
    annotations = ingress["metadata"]["annotations"]
    assert annotations[f"{NGINX}proxy-buffering"] == "off"
    assert int(annotations[f"{NGINX}proxy-read-timeout"]) >= 3600
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == "pollux.example.com"
    assert [path["path"] for path in rule["http"]["paths"]] == ["/v1/"]


def test_annotations_of_an_ingress_can_be_replaced():
    own = {f"{NGINX}proxy-read-timeout": "60", "example.com/a": "b"}
    ingress = {"enabled": True, "hosts": ["a.example"], "annotations": own}
    annotations = find(render(values(ingress=ingress)), "Ingress")["metadata"]["annotations"]
    assert annotations.items() >= own.items()
    assert annotations[f"{NGINX}proxy-buffering"] == "off"


def test_a_route_sets_no_limit_on_how_long_a_stream_lasts():
    route = find(render(MATRIX["all ways in"]), "HTTPRoute")
    assert route["apiVersion"] == "gateway.networking.k8s.io/v1"
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    (rule,) = route["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}
    assert rule["backendRefs"] == [{"name": "prod-pollux", "port": 80}]


def test_a_route_is_what_the_gateway_api_takes():
    route = find(render(MATRIX["all ways in"]), "HTTPRoute")
    program = pathlib.Path(__file__).with_name("route.mjs")

    def check():
        return subprocess.run(["node", program], input=json.dumps(route), capture_output=True, text=True)

    assert check().returncode == 0, check().stderr
    route["spec"]["rules"][0]["timeouts"] = {"request": "never"}
    assert "timeouts/request" in check().stderr


def policies(name):
    return {
        one["metadata"]["name"]: one["spec"]
        for one in render(MATRIX[name])
        if one["kind"] == "NetworkPolicy"
    }


def reach(rules, side):
    """What a policy allows: pairs of a peer and a port, each as text."""
    pairs = set()
    for rule in rules:
        for port in rule.get("ports", [{"port": "any"}]):
            for peer in rule.get(side, ["anybody"]):
                pairs.add((described(peer), str(port["port"])))
    return pairs


def described(peer):
    if peer == "anybody":
        return peer
    if "ipBlock" in peer:
        return peer["ipBlock"]["cidr"]
    labels = peer.get("podSelector", {}).get("matchLabels", {})
    labels |= peer.get("namespaceSelector", {}).get("matchLabels", {})
    return ",".join(f"{name.split('/')[-1]}={value}" for name, value in sorted(labels.items()))


RELEASE = "instance=prod,name=pollux"
DNS = {("metadata.name=kube-system", "53")}
REDIS = {("component=redis,instance=prod,name=redis", "redis")}


def test_replicas_reach_what_is_allowed_and_nothing_else():
    spec = policies("network policies")["prod-pollux-poller"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert reach(spec["ingress"], "from") == {
        ("anybody", "http"),
        (RELEASE, "admin"),
        ("metadata.name=monitoring", "admin"),
    }
    assert reach(spec["egress"], "to") == DNS | {
        ("10.1.2.0/24", "6379"),
        ("10.1.2.0/24", "26379"),
        ("203.0.113.0/24", "80"),
        ("203.0.113.0/24", "443"),
        ("2001:db8::/32", "80"),
        ("2001:db8::/32", "443"),
        (RELEASE, "admin"),
    }


def test_gateways_reach_no_backend_and_pollers_serve_no_client():
    of = policies("network policies, apart, embedded")
    poller, gateway = of["prod-pollux-poller"], of["prod-pollux-gateway"]
    assert reach(poller["ingress"], "from") == {(RELEASE, "admin"), ("metadata.name=monitoring", "admin")}
    assert ("anybody", "http") in reach(gateway["ingress"], "from")
    assert reach(gateway["egress"], "to") == DNS | REDIS | {(RELEASE, "admin")}


def test_an_embedded_redis_answers_the_release_and_asks_nobody():
    spec = policies("network policies, apart, embedded")["prod-pollux-redis"]
    assert reach(spec["ingress"], "from") == {(RELEASE, "redis")}
    assert spec["egress"] == [] and "Egress" in spec["policyTypes"]


def test_the_preflight_job_reaches_redis_before_the_release_is_there():
    (policy,) = [
        one
        for one in render(MATRIX["network policies"])
        if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "prod-pollux-preflight"
    ]
    assert policy["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert reach(policy["spec"]["egress"], "to") == DNS | {
        ("10.1.2.0/24", "6379"),
        ("10.1.2.0/24", "26379"),
    }
    assert "ingress" not in policy["spec"] and "Ingress" in policy["spec"]["policyTypes"]


def test_the_failover_test_reaches_the_admin_port_alone():
    spec = policies("network policies")["prod-pollux-test"]
    assert reach(spec["egress"], "to") == DNS | {(RELEASE, "admin")}


@pytest.mark.parametrize("name", MATRIX)
def test_every_pod_has_a_policy_where_there_are_any(name):
    of = policies(name)
    if not of:
        assert not MATRIX[name].get("networkPolicy", {}).get("enabled")
        return
    chosen = {spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for spec in of.values()}
    for one in render(MATRIX[name]):
        labels = one["spec"]["template"]["metadata"]["labels"] if "template" in one.get("spec", {}) else (
            one["metadata"]["labels"] if one["kind"] == "Pod" else None
        )
        if labels:
            assert labels["app.kubernetes.io/component"] in chosen, one["metadata"]["name"]


def test_who_may_ask_can_be_said():
    team = [{"namespaceSelector": {"matchLabels": {"team": "web"}}}]
    network = {**NETWORK, "clients": {"peers": team}, "prometheus": {"peers": []}, "dns": {"peers": []}}
    spec = find(render(values(networkPolicy=network)), "NetworkPolicy", "prod-pollux-poller")["spec"]
    assert reach(spec["ingress"], "from") == {("team=web", "http"), (RELEASE, "admin")}
    assert ("anybody", "53") in reach(spec["egress"], "to")


def test_without_policies_none_is_rendered():
    assert not any(path.startswith("NetworkPolicy/") for path in kinds(render()))


@pytest.mark.parametrize(
    ("redis", "ports", "missing"),
    [
        ({"url": "redis://redis.example"}, [6380], ["6379"]),
        ({"url": "rediss://redis.example:6380"}, [6379], ["6380"]),
        ({"url": "rediss://a:${file:/run/secrets/pollux/b}@redis.example:6380/0"}, [6379], ["6380"]),
        ({"url": "redis://[2001:db8::1]:6380/1"}, [6379], ["6380"]),
        ({"url": "redis://[2001:db8::1]"}, [6379], []),
        ({"url": "redis://redis.example/1"}, [6379], []),
        ({"url": "${file:/run/secrets/pollux/url}"}, [6379], []),
        ({"url": "redis://redis.example:${env:PORT}"}, [6379], []),
        ({"sentinel": {"master": "m", "nodes": ["one.example", "two.example:26380"]}}, [6379], ["26379", "26380"]),
        ({"sentinel": {"master": "m", "nodes": "one.example, two.example:26380"}}, [6379, 26380], ["26379"]),
        ({"sentinel": {"master": "m", "nodes": ["[2001:db8::1]", "one.example:26379"]}}, [6379, 26379], []),
        ({"cluster": ["one.example", "two.example:7000"]}, [6379], ["7000"]),
        ({"cluster": "one.example, two.example:7000"}, [7000], ["6379"]),
    ],
)
def test_a_policy_that_would_keep_redis_out_of_reach_is_refused(redis, ports, missing):
    of = values(config={"redis": None}, networkPolicy=merged(NETWORK, {"redis": {"ports": ports}}))
    of["config"]["redis"] = redis
    if not missing:
        render(of)
        return
    said = refusal(of)
    found = re.findall(r"networkPolicy\.redis\.ports lacks (\d+), a port that config\.redis has", said)
    assert found == missing, said


def test_a_variable_in_place_of_the_address_of_redis_is_left_to_its_writer():
    variable = [{"name": "POLLUX__REDIS__URL", "value": "redis://elsewhere.example:6379"}]
    redis = {"url": "redis://redis.example:6380"}
    of = values(config={"redis": redis}, networkPolicy=merged(NETWORK, {"redis": {"ports": [6379]}}))
    assert "lacks 6380" in refusal(of)
    render(merged(of, {"extraEnv": variable}))
