"""Every constraint of the schema outside `config`, broken: each is refused, and the value named.

Helm tells all that is wrong at once, so many values are wrong in each rendering.
"""

import json

import pytest
import yaml
from chart import CHART, refusal, values

#: A value that is not of a type.
OTHERS = {"string": True, "integer": "x", "number": "x", "boolean": "x", "object": "x", "array": "x"}
#: A name and a value that nothing knows.
UNKNOWN = "unheard-of"
#: Keywords that constrain nothing.
SILENT = {"$schema", "title", "description", "definitions"}


class Schema:
    """Walks the schema, and gives for each constraint a path, a value that breaks it, and what is said."""

    def __init__(self, whole):
        self.whole = whole

    def walk(self, schema, path=()):
        if "$ref" in schema:
            schema = self.whole["definitions"][schema["$ref"].removeprefix("#/definitions/")]
        for keyword, limit in schema.items():
            if keyword not in SILENT:
                breaking = getattr(self, keyword.lower(), None)
                assert breaking, f"{'.'.join(path)}: write down how to break {keyword}"
                yield from breaking(path, limit, schema)

    # One method for each keyword.

    def properties(self, path, properties, schema):
        for name, inner in properties.items():
            if (*path, name) != ("config",):
                yield from self.walk(inner, (*path, name))

    def items(self, path, inner, schema):
        yield from self.walk(inner, (*path, "0"))

    def additionalproperties(self, path, inner, schema):
        if inner is False:
            yield path, {UNKNOWN: 1}, f"Additional property {UNKNOWN} is not allowed"
        else:
            yield from self.walk(inner, (*path, UNKNOWN))

    def type(self, path, kinds, schema):
        if path:
            kinds = [kinds] if isinstance(kinds, str) else kinds
            wrong = True if len(kinds) > 1 else OTHERS[kinds[0]]
            yield path, wrong, "Invalid type. Expected: "

    def enum(self, path, allowed, schema):
        yield path, UNKNOWN, " must be one of the following: "

    def pattern(self, path, pattern, schema):
        yield path, "\n #wrong", "Does not match pattern "

    def minlength(self, path, least, schema):
        assert least == 1, path
        yield path, "", "String length must be greater than or equal to 1"

    def minitems(self, path, least, schema):
        assert least == 1, path
        yield path, [], "Array must have at least 1 items"

    def minimum(self, path, limit, schema):
        yield path, limit - 1, f"Must be greater than or equal to {limit}"

    def maximum(self, path, limit, schema):
        yield path, limit + 1, f"Must be less than or equal to {limit}"

    def exclusiveminimum(self, path, limit, schema):
        yield path, limit, f"Must be greater than {limit}"

    def exclusivemaximum(self, path, limit, schema):
        yield path, limit, f"Must be less than {limit}"

    def required(self, path, names, schema):
        for name in names:
            yield path, {other: "x" for other in names if other != name}, f"{name} is required"

    def not_(self, path, inner, schema):
        (name,) = inner["required"]
        yield path, {name: "x"} | {other: "x" for other in schema["required"]}, "Must not validate the schema"

    def anyof(self, path, choices, schema):
        yield path, "\n #wrong", "Must validate at least one schema (anyOf)"


# `not` is a word of the language.
setattr(Schema, "not", Schema.not_)


def constraints():
    whole = json.loads((CHART / "values.schema.json").read_text())
    return list(Schema(whole).walk(whole))


def batches(constraints):
    """Sets of constraints that one set of values can break together: no path is within another's."""
    sets = []
    for constraint in constraints:
        path = constraint[0]
        for batch in sets:
            if not any(path[: len(other)] == other[: len(path)] for other, _, _ in batch):
                batch.append(constraint)
                break
        else:
            sets.append([constraint])
    return sets


def put(tree, path, value):
    """Sets the value at a path, where "0" is the only element of a list."""
    name, *rest = path
    if not rest:
        tree[name] = value
    elif rest[0] == "0":
        inner = {}
        put(inner, rest, value)
        tree[name] = [inner["0"]]
    else:
        put(tree.setdefault(name, {}), rest, value)


CONSTRAINTS = constraints()


def test_all_constraints_are_found():
    found = {(".".join(path), said) for path, _, said in CONSTRAINTS}
    for path, said in [
        ("", "Additional property "),
        ("monitoring.rules.thresholds.fencedPeriods", "Must be less than or equal to 12"),
        ("monitoring.podMonitor.interval", "Does not match pattern"),
        ("monitoring.serviceMonitor.scrapeTimeout", "anyOf"),
        ("networkPolicy.backends.ports.0", "Must be less than or equal to 65535"),
        ("extraVolumeMounts.0", "mountPath is required"),
        (f"podLabels.{UNKNOWN}", "Invalid type"),
    ]:
        assert any(one == path and said in text for one, text in found), (path, said)
    assert len(CONSTRAINTS) > 250


def test_every_value_is_constrained():
    constrained = {path for path, _, _ in CONSTRAINTS}

    def paths(tree, path):
        yield path
        if isinstance(tree, dict) and (*path, UNKNOWN) not in constrained:
            for name, inner in tree.items():
                yield from paths(inner, (*path, name))

    tree = yaml.safe_load((CHART / "values.yaml").read_text())
    free = {"autoscaling.behavior", "redis.resources", "resources"}
    del tree["config"]
    missed = [".".join(path) for path in paths(tree, ()) if path not in constrained]
    assert [path for path in missed if not path.startswith(tuple(f"{one}." for one in free))] == []


@pytest.mark.parametrize("batch", batches(CONSTRAINTS), ids=lambda batch: f"{len(batch)}-at-once")
def test_what_breaks_the_schema_is_refused_by_name(batch):
    wrong = values()
    for path, value, _ in batch:
        if path:
            put(wrong, path, value)
        else:
            wrong |= value
    lines = refusal(wrong).splitlines()
    missed = []
    for path, value, said in batch:
        start = f"- {'.'.join(path) or '(root)'}: "
        if not any(line.startswith(start) and said in line for line in lines):
            missed.append((".".join(path), value, said))
    assert not missed, f"{missed}\n" + "\n".join(lines)
