"""What the Prometheus operator and Grafana's sidecar pick up."""

import json
import pathlib
import subprocess

import pytest
from chart import CHART, find, render, values

OPERATOR = "monitoring.coreos.com/v1"
MORE = {
    "labels": {"release": "prometheus"},
    "interval": "30s",
    "scrapeTimeout": "5s",
    "relabelings": [{"targetLabel": "cluster", "replacement": "eu"}],
    "metricRelabelings": [{"sourceLabels": ["le"], "regex": "10", "action": "drop"}],
}


def monitoring(**parts):
    enabled = {part: {"enabled": True} | more for part, more in parts.items()}
    return render(values({"monitoring": enabled}))


def validate(objects):
    script = pathlib.Path(__file__).with_name("models.mjs")
    text = json.dumps([one for one in objects if one["apiVersion"] == OPERATOR])
    return subprocess.run(["node", script], input=text, capture_output=True, text=True)


@pytest.mark.parametrize("monitor", ["podMonitor", "serviceMonitor"])
@pytest.mark.parametrize("more", [{}, MORE], ids=["default", "all values"])
def test_the_operator_takes_what_is_rendered(monitor, more):
    objects = monitoring(rules={}, **{monitor: more})
    assert len([one for one in objects if one["apiVersion"] == OPERATOR]) == 2
    done = validate(objects)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("monitor", "kind"), [("podMonitor", "podMetricsEndpoints"), ("serviceMonitor", "endpoints")])
def test_no_label_of_the_operator_takes_the_place_of_one_of_pollux(monitor, kind):
    # The operator makes a target's `endpoint` of its port, before these relabelings; a label of the same
    # name in what is scraped becomes `exported_endpoint`, which neither dashboard nor alerts ask for.
    objects = monitoring(**{monitor: MORE})
    (endpoint,) = find(objects, monitor[0].upper() + monitor[1:])["spec"][kind]
    assert {"action": "labeldrop", "regex": "endpoint"} in endpoint["relabelings"]
    assert endpoint["relabelings"][-1] == MORE["relabelings"][0]


def test_what_the_operator_would_refuse_is_found():
    objects = monitoring(podMonitor={})
    find(objects, "PodMonitor")["spec"]["podMetricsEndpoints"][0]["interval"] = "often"
    done = validate(objects)
    assert done.returncode == 1 and "PodMonitor prod-pollux" in done.stderr


@pytest.mark.parametrize("separate", [False, True])
def test_every_replica_is_scraped_by_its_admin_port_and_told_apart_by_release(separate):
    objects = render(
        values({"monitoring": {"podMonitor": {"enabled": True}}, "gateway": {"separate": separate}})
    )
    spec = find(objects, "PodMonitor")["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["relabelings"][0] == {
        "sourceLabels": ["__meta_kubernetes_pod_label_app_kubernetes_io_instance"],
        "targetLabel": "release",
    }
    (components,) = spec["selector"]["matchExpressions"]
    for one in (one for one in objects if one["kind"] == "Deployment"):
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items()
        assert labels["app.kubernetes.io/component"] in components["values"]
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert endpoint["port"] in [port["name"] for port in container["ports"]]


def test_a_service_monitor_has_a_service_that_is_for_it_alone():
    objects = monitoring(serviceMonitor={})
    service = find(objects, "Service", "prod-pollux-metrics")
    assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"]
    assert service["spec"]["ports"] == [{"name": "admin", "port": 9090, "targetPort": "admin"}]
    selector = find(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= service["metadata"]["labels"].items()
    others = [one for one in objects if one["kind"] == "Service" and one != service]
    assert not any(selector.items() <= one["metadata"]["labels"].items() for one in others)


def test_the_dashboard_comes_as_it_is_with_the_sidecars_label():
    here = monitoring(dashboards={})
    found = find(here, "ConfigMap", "prod-pollux-dashboards")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "Pollux"}
    shipped = (CHART / "dashboards" / "pollux.json").read_text()
    assert json.loads(found["data"]["pollux.json"]) == json.loads(shipped)
    assert len(shipped) < 500_000, "a ConfigMap holds at most 1 MiB"
    there = monitoring(dashboards={"namespace": "grafana"})
    assert find(there, "ConfigMap", "prod-pollux-dashboards")["metadata"]["namespace"] == "grafana"
