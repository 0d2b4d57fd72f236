"""The manifests for Chaos Mesh: complete, explained, and about pods that the chart makes."""

import re

import pytest
import yaml
from conftest import NAMESPACE, RELEASE, release
from machine import CHAOS

FILES = sorted(CHAOS.glob("mesh/*.yaml"))
WORDS = {
    "NAMESPACE": NAMESPACE,
    "RELEASE": RELEASE,
    "LEADER": "trial-pollux-1",
    "STANDBYS": "trial-pollux-2, trial-pollux-3",
    "BACKEND": "backend.example:443",
    "PORT": "8080",
    "SIZE": "300MiB",
}


def filled_in(path):
    text = path.read_text()
    for word, value in WORDS.items():
        text = text.replace(word, value)
    return yaml.safe_load(text)


def pods():
    """The labels and containers of all pods that stay."""
    kinds = {"Deployment", "StatefulSet"}
    return [one["spec"]["template"] for one in release(shared=True) if one["kind"] in kinds]


def selectors(value):
    if isinstance(value, dict):
        if "selector" in value:
            yield value["selector"]
        for part in value.values():
            yield from selectors(part)


def chosen(selector):
    if "pods" in selector:
        return [one for one in pods() if one["metadata"]["labels"]["app.kubernetes.io/name"] == "pollux"]
    wanted = selector["labelSelectors"].items()
    found = [one for one in pods() if wanted <= one["metadata"]["labels"].items()]
    for one in selector.get("expressionSelectors", []):
        found = [pod for pod in found if pod["metadata"]["labels"].get(one["key"]) in one["values"]]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_manifest_is_about_pods_of_the_chart(path):
    assert path.read_text().startswith("# "), "it says what it does"
    manifest = filled_in(path)
    assert not re.search(
        r"\b[A-Z]{4,}\b", re.sub(r"^#.*$|CLOCK_REALTIME", "", yaml.dump(manifest), flags=re.M)
    ), "all words are replaced"
    assert (
        manifest["apiVersion"] == "chaos-mesh.org/v1alpha1" and manifest["metadata"]["namespace"] == NAMESPACE
    )
    assert (
        re.fullmatch(r"[a-z0-9-]{1,63}", manifest["metadata"]["name"])
        and path.stem in manifest["metadata"]["name"]
    )
    assert re.fullmatch(r"\d+[sm]", manifest["spec"]["duration"]), "it ends by itself"
    if path.stem == "backend-ill":
        return  # about pods of somebody else
    for selector in selectors(manifest["spec"]):
        assert selector.get("namespaces", [NAMESPACE]) == [NAMESPACE]
        found = chosen(selector)
        assert found, selector
        for name in manifest["spec"].get("containerNames", []):
            assert name in {container["name"] for pod in found for container in pod["spec"]["containers"]}


def test_the_table_has_every_manifest():
    table = (CHAOS / "mesh" / "README.md").read_text()
    assert sorted(re.findall(r"^\| `([\w-]+\.yaml)`", table, re.M)) == [path.name for path in FILES]
    assert all(f"`{path.name}`" in table for path in FILES)
