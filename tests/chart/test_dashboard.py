"""The dashboard is one that Grafana takes, complete, and readable."""

import json
import os
import pathlib
import subprocess

import pytest
import yaml
from chart import ROOT
from dashboard import ANNOTATIONS, DASHBOARD, PANELS, QUERIES, ROWS, VARIABLES, selectors, substituted

WIDTH = 24
#: Grafana's own, which need no entry in the list of variables.
BUILT_IN = {"__rate_interval", "__range"}
#: The folders of the types of each panel's options.
TYPES = {
    "stat": "stat/panelcfg/x/StatPanelCfg",
    "timeseries": "timeseries/panelcfg/x/TimeSeriesPanelCfg",
    "state-timeline": "statetimeline/panelcfg/x/StateTimelinePanelCfg",
    "heatmap": "heatmap/panelcfg/x/HeatmapPanelCfg",
    "table": "table/panelcfg/x/TablePanelCfg",
}
#: Those types whose fields have settings of their own.
CUSTOM = ["timeseries", "state-timeline", "heatmap"]


def ids(panel):
    return panel["title"] if isinstance(panel, dict) else None


def test_rows_are_those_that_people_look_for():
    assert [row["title"] for row in ROWS] == [
        "At a glance",
        "Leadership",
        "Endpoints",
        "Publishing and fencing",
        "Gateways",
        "Redis",
        "Process",
    ]
    assert list(VARIABLES) == ["datasource", "cluster", "namespace", "release", "endpoint", "redis"]
    assert [one["name"] for one in ANNOTATIONS] == ["Leader changes", "Roll-outs and restarts"]


def test_panels_fill_rows_without_gap_or_overlap():
    taken = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < WIDTH and (x, y) not in taken, f"{panel['title']}: {taken.get((x, y))}"
                taken[x, y] = panel["title"]
    height = max(y for _, y in taken) + 1
    assert len(taken) == WIDTH * height, "there is a gap"


def test_ids_and_titles_are_unique():
    for key in ("id", "title"):
        values = [panel[key] for panel in DASHBOARD["panels"]]
        assert len(values) == len(set(values)), key


@pytest.mark.parametrize("panel", PANELS, ids=ids)
def test_panel_tells_what_good_looks_like_in_units(panel):
    assert "Good: " in panel["description"]
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] in ("stat", "timeseries"):
        assert defaults["unit"] and defaults["thresholds"]["steps"][0]["value"] is None
    references = [target["refId"] for target in panel["targets"]]
    assert references and len(references) == len(set(references))
    if panel["type"] in ("timeseries", "state-timeline"):
        assert all(target["legendFormat"] != "__auto" for target in panel["targets"])


@pytest.mark.parametrize(
    "expression",
    [target["expr"] for _, target in QUERIES] + [one["expr"] for one in ANNOTATIONS],
)
def test_query_selects_the_chosen_release_alone(expression):
    found = selectors(expression)
    assert found
    for metric, braces in found:
        if metric.startswith("redis_"):
            assert 'cluster="$cluster"' in braces and 'instance=~"$redis"' in braces
        else:
            for label in ("cluster", "namespace", "release"):
                assert f'{label}="${label}"' in braces, f"{metric}: {braces}"


def test_every_query_asks_the_chosen_data_source_and_known_variables():
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel, target in QUERIES:
        assert panel["datasource"] == target["datasource"] == chosen
        substituted(target["expr"], {name: "1" for name in BUILT_IN | set(VARIABLES)})
    for one in [*ANNOTATIONS, *(one for one in VARIABLES.values() if one["type"] == "query")]:
        assert one["datasource"] == chosen


def test_every_metric_is_one_that_pollux_describes():
    described = (ROOT / "src" / "telemetry" / "metrics.rs").read_text()
    for _, target in QUERIES:
        for metric, _ in selectors(target["expr"]):
            name = metric.removesuffix("_bucket").removesuffix("_count")
            known = metric.startswith(("redis_", "process_")) or f'"{name}"' in described
            assert known or f'"{metric}"' in described, metric


def endpoint(name, stale, age):
    """Five minutes of an endpoint at one gateway, as promtool reads series."""
    labels = f'{{namespace="shop", release="prod", pod="a", endpoint="{name}"}}'
    samples = {"pollux_endpoint_stale": stale, "pollux_endpoint_age_seconds": age}
    samples |= {"pollux_endpoint_interval_seconds": "2", "pollux_breaker_open": "0"}
    samples["pollux_polls_total"] = "7"
    return [
        {"series": metric + labels, "values": " ".join([value] * 11)}
        for metric, value in samples.items()
        if value is not None
    ]


def test_only_endpoints_that_have_answered_count_and_only_configured_ones_are_listed(tmp_path):
    chosen = {"cluster": "", "namespace": "shop", "release": "prod", "endpoint": ".*"}
    chosen |= {"__range": "5m", "__rate_interval": "2m"}
    series = [
        *endpoint("fresh", "0", "1"),
        *endpoint("stale", "1", "9"),
        *endpoint("never-answered", "1", None),
        *endpoint("no-longer-configured", "0", "NaN"),
    ]
    listed = ["fresh", "never-answered", "stale"]
    asked = []
    for panel, target in QUERIES:
        of = panel["title"], target["refId"]
        if of in (("Freshness against its objective", "A"), ("Fresh endpoints", "A")):
            expected = [{"labels": "{}", "value": 0.5}]
        elif of == ("Endpoints now", "D"):
            expected = [{"labels": f'{{endpoint="{name}"}}', "value": name != "fresh"} for name in listed]
        elif of in (("Endpoints now", "E"), ("Endpoints now", "F")):
            expected = [{"labels": f'{{endpoint="{name}"}}', "value": 0} for name in listed]
        elif of == ("Endpoints now", "A"):
            expected = [{"labels": f'{{endpoint="{name}"}}', "value": age} for name, age in (("fresh", 1), ("stale", 9))]
        else:
            continue
        expected = [one | {"value": float(one["value"])} for one in expected]
        asked.append({"expr": substituted(target["expr"], chosen), "eval_time": "5m", "exp_samples": expected})
    assert len(asked) == 6
    test = {"interval": "30s", "input_series": series, "promql_expr_test": asked}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump({"tests": [test]}))
    command = ["promtool", "test", "rules", tmp_path / "test.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_types_fit():
    """Grafana's own types of the dashboard and of each panel's options, which know every key."""
    path = pathlib.Path(os.environ["MODELS"]) / "dashboard.ts"
    path.write_text("\n".join(typescript()))
    tsc = path.parent / "node_modules" / ".bin" / "tsc"
    options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022"]
    options += ["--module", "esnext", "--moduleResolution", "bundler", path]
    done = subprocess.run([tsc, *options], capture_output=True, text=True, cwd=path.parent)
    assert done.returncode == 0, done.stdout


def typescript():
    """A program that only compiles if the dashboard is of Grafana's types."""
    composable = "@grafana/schema/dist/esm/raw/composable"
    yield 'import type { Dashboard } from "@grafana/schema";'
    for name, folder in TYPES.items():
        alias = name.replace("-", "_")
        yield f'import type * as {alias} from "{composable}/{folder}_types.gen";'
    # JSON has the values of enumerations, not their names.
    yield """
type Plain<T> = T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Plain<U>[]
  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;"""
    bare = json.loads(json.dumps(DASHBOARD))
    # What Grafana writes and reads, and its types do not have: the data source's own keys.
    for variable in bare["templating"]["list"]:
        variable.pop("definition", None)
    for annotation in bare["annotations"]["list"]:
        for key in ("expr", "step", "useValueForTime", "titleFormat", "textFormat", "tagKeys", "target"):
            annotation.pop(key, None)
    yield f"export const dashboard: Plain<Dashboard> = {json.dumps(bare)};"
    for panel in PANELS:
        alias = panel["type"].replace("-", "_")
        known = json.dumps(panel["options"])
        yield f"export const options{panel['id']}: Plain<{alias}.Options> = {known};"
        if panel["type"] in CUSTOM:
            custom = json.dumps(panel["fieldConfig"]["defaults"]["custom"])
            yield f"export const custom{panel['id']}: Plain<{alias}.FieldConfig> = {custom};"
