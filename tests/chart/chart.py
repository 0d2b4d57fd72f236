"""Renders the chart, each set of values once, and finds objects in what it rendered."""

import copy
import functools
import json
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "pollux"

#: The least that must be said: what to poll, and where Redis is.
CONFIG = {
    "cluster": "example",
    "redis": {"url": "redis://redis.example:6379"},
    "endpoints": [{"name": "prices", "url": "http://backend.example/prices", "every": "2s"}],
}


class Refused(Exception):
    """Helm did not render the chart. The text is what it said."""


def values(changes=None, **more):
    """The least values with changes: mappings are merged, other values replaced, None removes."""
    return merged(merged({"config": CONFIG}, changes or {}), more)


def merged(base, changes):
    result = copy.deepcopy(base)
    for key, change in changes.items():
        if change is None:
            result.pop(key, None)
        elif isinstance(change, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], change)
        else:
            result[key] = copy.deepcopy(change)
    return result


def render(of=None, *, release="prod", namespace="shop", kubernetes="1.32.0", apis=()):
    """The objects that the chart renders of these values, as a list. Their order is Helm's.

    `apis` are API versions that the cluster has beside Kubernetes' own.
    """
    of = values() if of is None else of
    key = json.dumps([of, release, namespace, kubernetes, list(apis)], sort_keys=True)
    return copy.deepcopy(_rendered(key))


@functools.cache
def _rendered(key):
    return [thing for thing in yaml.safe_load_all(_text(key)) if thing]


def render_text(of=None, *, release="prod", namespace="shop", kubernetes="1.32.0", apis=()):
    """The same as text, comments included."""
    of = values() if of is None else of
    return _text(json.dumps([of, release, namespace, kubernetes, list(apis)], sort_keys=True))


@functools.cache
def _text(key):
    of, release, namespace, kubernetes, apis = json.loads(key)
    command = ["helm", "template", release, str(CHART), f"--namespace={namespace}"]
    command += [f"--kube-version={kubernetes}", "--values=-"]
    command += [f"--api-versions={api}" for api in apis]
    done = subprocess.run(command, input=json.dumps(of), capture_output=True, text=True)
    if done.returncode != 0:
        raise Refused(done.stderr)
    return done.stdout


def refusal(of):
    """What Helm says of values that it must refuse."""
    try:
        render(of)
    except Refused as refused:
        return str(refused)
    raise AssertionError(f"not refused: {of}")


def find(objects, kind, name=None):
    """The only object of a kind, or the one of that name."""
    found = [one for one in objects if one["kind"] == kind]
    if name is not None:
        found = [one for one in found if one["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {[one['metadata']['name'] for one in found]}"
    return found[0]


def kinds(objects):
    """The kinds and names of all objects."""
    return {f"{one['kind']}/{one['metadata']['name']}" for one in objects}


def pod_specs(objects):
    """The pods, by the kind and name of what makes them."""
    pods = {}
    for one in objects:
        path = f"{one['kind']}/{one['metadata']['name']}"
        if one["kind"] == "Pod":
            pods[path] = one["spec"]
        elif "template" in one.get("spec", {}):
            pods[path] = one["spec"]["template"]["spec"]
    return pods
