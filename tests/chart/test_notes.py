"""NOTES.txt: what to do next, for each set of values."""

import json
import shutil
import subprocess

import pytest
import yaml
from chart import CHART, values
from matrix import MATRIX, NETWORK


@pytest.fixture(scope="module")
def noting(tmp_path_factory):
    """The chart with its notes as an object, since `helm template` leaves them out."""
    chart = tmp_path_factory.mktemp("noting") / "pollux"
    shutil.copytree(CHART, chart)
    (chart / "templates" / "NOTES.txt").rename(chart / "notes")
    (chart / "templates" / "notes.yaml").write_text(
        'kind: Notes\napiVersion: v1\ntext: {{ tpl (.Files.Get "notes") . | quote }}\n'
    )

    def notes(of):
        command = ["helm", "template", "prod", str(chart), "--namespace=shop", "--values=-"]
        command += ["--show-only=templates/notes.yaml"]
        done = subprocess.run(command, input=json.dumps(of), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return yaml.safe_load(done.stdout)["text"]

    return notes


@pytest.mark.parametrize("name", MATRIX)
def test_they_say_how_to_see_and_read(name, noting):
    fullname = MATRIX[name].get("fullnameOverride", "prod-pollux")
    separate = MATRIX[name].get("gateway", {}).get("separate")
    serving = f"deployment/{fullname}-gateway" if separate else f"deployment/{fullname}"
    notes = noting(MATRIX[name])
    for part in [
        f"kubectl rollout status deployment/{fullname} --namespace shop",
        f"exec {serving} --namespace shop -- /pollux status",
        f"port-forward {serving} 9090:90",
        f"exec deployment/{fullname} --namespace shop -- /pollux step-down --config /etc/pollux/pollux.yaml",
        "/v1/endpoints/prices",
    ]:
        assert part in notes
    assert "\n\n\n" not in notes and "<no value>" not in notes and "%!" not in notes




def test_they_differ_with_the_values(noting):
    for of, part in [
        (values(), "3 replicas of the cluster example are on the way"),
        (values(), "helm test prod --namespace shop --logs"),
        (values(), "kubectl get secret prod-pollux-admin --namespace shop -o 'go-template={{index .data \"admin-token\" | base64decode}}'"),
        (MATRIX["own token"], "get secret token --namespace shop -o 'go-template={{index .data \"t\" |"),
        (MATRIX["autoscaling"], "3 pollers and 2 to 10 gateways"),
        (MATRIX["one without redis"], "1 replica of the cluster example is on the way"),
        (MATRIX["one without redis"], "no redundancy"),
        (MATRIX["embedded redis"], "redis.embedded is for a trial"),
        (MATRIX["all ways in"], "https://pollux.example.com/v1/endpoints/prices"),
        (MATRIX["full configuration"], "for want of the Secret pollux-secrets, make it"),
        (MATRIX["full configuration"], "/pollux status --url 127.0.0.1:9000"),
        (MATRIX["pods of all kinds"], "chaos.shareProcessNamespace is on"),
        (MATRIX["watched"], "monitoring.rules.runbookUrl is a path in the chart's sources"),
    ]:
        assert part in noting(of)
    assert "helm test" not in noting(MATRIX["one without redis"])
    polled = ["http://h/", "https://h/", "http://u:p@h:9000/a:1", "https://[::1]/", "http://${env:HOST}:7/"]
    endpoints = [{"name": f"e{at}", "url": url, "every": "1s"} for at, url in enumerate(polled)]
    of = values(config={"endpoints": endpoints}, networkPolicy=NETWORK)
    assert [line for line in noting(of).splitlines() if "backends.ports lacks" in line] == [
        "NOTE: networkPolicy.backends.ports lacks 9000, a port in config.endpoints. Unless a Service makes another of it,"
    ]
    assert "backends.ports lacks" not in noting(values(config={"endpoints": endpoints}))
    traced = {"config": {"traces": {"endpoint": "http://collector.example:4318"}}}
    collector, said = {"ports": [{"port": 4318}]}, "add a rule to networkPolicy.extraEgress"
    assert said in noting(values(traced, networkPolicy=NETWORK))
    for of in (
        values(traced),
        values(networkPolicy=NETWORK),
        values(traced, networkPolicy=NETWORK | {"extraEgress": [collector]}),
    ):
        assert said not in noting(of)
    known = {"enabled": True, "runbookUrl": "https://wiki.example/RUNBOOK.md"}
    for of in (values(), values(monitoring={"rules": known})):
        assert "runbookUrl" not in noting(of)
