"""What is rendered is what Kubernetes takes, for each set of values of the matrix."""

import functools
import subprocess

import kubernetes_validate
import pytest
import yaml
from chart import CHART, find, kinds, render, render_text
from kubernetes_validate import utils
from matrix import MATRIX

# It reads megabytes of definitions for each object otherwise.
utils.schema_contents = functools.cache(utils.schema_contents)

VERSIONS = sorted(
    {
        utils.major_minor(version)
        for version in utils.all_versions()
        if int(version.split(".")[1]) >= 29
    },
    key=lambda version: int(version.split(".")[1]),
)

#: Not Kubernetes' own, so its schemas know nothing of them: they have tests of their own.
FOREIGN = {"HTTPRoute", "PodMonitor", "ServiceMonitor", "PrometheusRule"}


def test_the_versions_begin_with_1_29():
    assert VERSIONS[0] == "1.29" and len(VERSIONS) >= 9, VERSIONS


@pytest.mark.parametrize("name", MATRIX)
def test_kubernetes_takes_it_in_every_version(name):
    for version in VERSIONS:
        for one in render(MATRIX[name], kubernetes=f"{version}.0"):
            if one["kind"] not in FOREIGN:
                kubernetes_validate.validate(one, version, strict=True)


def test_a_misspelt_field_would_be_seen():
    deployment = find(render(), "Deployment")
    deployment["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", MATRIX)
def test_lint_finds_nothing(name):
    command = ["helm", "lint", "--strict", str(CHART), "--values=-"]
    values = yaml.safe_dump(MATRIX[name])
    done = subprocess.run(command, input=values, capture_output=True, text=True)
    assert done.returncode == 0 and "[WARNING]" not in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name", MATRIX)
def test_no_two_objects_share_a_name_and_all_are_labelled(name):
    objects = render(MATRIX[name])
    assert len(kinds(objects)) == len(objects)
    for one in objects:
        labels = one["metadata"]["labels"]
        is_redis = labels["app.kubernetes.io/component"] == "redis"
        assert labels["app.kubernetes.io/name"] == ("redis" if is_redis else "pollux")
        assert labels["app.kubernetes.io/instance"] == "prod"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert one["metadata"]["namespace"] == "shop"


@pytest.mark.parametrize("name", MATRIX)
def test_names_fit_however_long_the_release_is(name):
    release = "a" * 53
    for one in render(MATRIX[name], release=release):
        assert len(one["metadata"]["name"]) <= 63, one["metadata"]["name"]


def test_an_older_kubernetes_is_refused():
    with pytest.raises(Exception, match="chart requires kubeVersion: >=1.29"):
        render(kubernetes="1.28.0")


@pytest.mark.parametrize("name", MATRIX)
def test_no_template_leaves_a_trace(name):
    text = render_text(MATRIX[name])
    assert "<no value>" not in text and "%!" not in text
    assert all(line == line.rstrip() for line in text.splitlines()), "trailing blanks"


@pytest.mark.parametrize("name", MATRIX)
def test_nothing_is_left_empty_by_mistake(name):
    def empty(tree, path):
        if tree is None:
            yield path
        elif isinstance(tree, dict):
            for key, child in tree.items():
                yield from empty(child, f"{path}.{key}")
        elif isinstance(tree, list):
            for number, child in enumerate(tree):
                yield from empty(child, f"{path}[{number}]")

    for one in render(MATRIX[name]):
        assert list(empty(one, f"{one['kind']}/{one['metadata']['name']}")) == []
