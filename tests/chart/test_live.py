"""Every panel shows data, and every rule finds its series: asked of a real Prometheus that scrapes three
replicas under load, through a crash and a handover of the leader."""

import math
import re

import pytest
from dashboard import ANNOTATIONS, QUERIES, VARIABLES, selectors, substituted
from live import PODS, Live

#: What Grafana would put in place of variables, with windows that fit the length of this test.
VALUES = {
    "cluster": "",
    "namespace": "shop",
    "release": "prod",
    "endpoint": ".*",
    "redis": ".*",
    "__rate_interval": "10s",
    "__range": "60s",
}
#: What cannot be shown here, and why.
EXCEPTIONS = {
    "redis_client_output_buffer_limit_disconnections_total": "Redis 7.0 does not count them",
}


@pytest.fixture(scope="module")
def live(pollux, tmp_path_factory):
    with Live(tmp_path_factory.mktemp("live"), pollux) as running:
        running.load()
        running.until("sum(pollux_gateway_reads_total{status='304'}) > 3")
        running.settle(3)
        running.crash()
        running.until("sum(pollux_takeover_seconds_count{cause='crashed'}) > 0")
        running.settle(3)
        running.hand_over()
        running.until("sum(pollux_takeover_seconds_count{cause='released'}) > 0")
        running.until("sum(pollux_gateway_conflated_total) > 0")
        running.restart_redis()
        # Some seconds of the ordinary, so that every window has samples of the last leader.
        running.settle(5)
        yield running


def values_of(live, target, expression):
    """All values that a panel would draw."""
    if target["instant"]:
        return [value for _, value in live.now(expression)]
    return [value for _, values in live.since_the_start(expression) for value in values]


@pytest.mark.parametrize(
    ("panel", "target"), QUERIES, ids=[f"{panel['title']}-{target['refId']}" for panel, target in QUERIES]
)
def test_panel_shows_data(panel, target, live):
    expression = substituted(target["expr"], VALUES)
    excepted = [why for metric, why in EXCEPTIONS.items() if metric in expression]
    if excepted:
        counted = live.redis_counts()
        assert "evicted_keys" in counted, counted
        assert "output_buffer_limit_disconnections" not in counted, "an exception no more"
        pytest.skip(excepted[0])
    shown = values_of(live, target, expression)
    assert any(math.isfinite(value) for value in shown), f"{panel['title']} shows nothing: {expression}"


def by_title(title):
    return [substituted(target["expr"], VALUES) for panel, target in QUERIES if panel["title"] == title]


def test_the_first_row_tells_the_truth(live):
    leader = live.leader()
    assert [labels["pod"] for labels, _ in live.now(by_title("Leader")[0])] == [leader]
    ((_, age),) = live.now(by_title("Time since the last change")[0])
    assert 0 < age < 120
    ((_, saved),) = live.now(by_title("Requests saved")[0])
    ((_, polls),) = live.now('sum(increase(pollux_polls_total{outcome!="skipped"}[60s]))')
    assert saved > 0 and polls > 0
    fresh, _ = by_title("Freshness against its objective")
    ((_, share),) = live.now(fresh)
    # The endpoint that is never fetched does not count, and the others are hardly ever stale.
    assert 0.95 < share <= 1


def test_the_last_takeovers_are_on_the_dashboard(live):
    causes = {labels["cause"]: value for labels, value in live.now(by_title("Takeovers per day, by cause")[0])}
    assert causes["crashed"] > 0.5 and causes["released"] > 0.5 and causes["expired"] == 0


def test_every_variable_has_something_to_choose(live):
    for name, variable in VARIABLES.items():
        if variable["type"] != "query":
            continue
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
        found = live.ask(f"label/{label}/values", **{"match[]": substituted(selector, VALUES)})
        # Series have a label cluster only where somebody adds it.
        assert found or name == "cluster", name
        if name in ("namespace", "release"):
            assert found == [VALUES[name]]


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=lambda one: one["name"])
def test_annotation_has_its_moments(annotation, live):
    expression = substituted(annotation["expr"], VALUES)
    series = live.since_the_start(expression)
    moments = {(labels.get("pod"), value) for labels, values in series for value in values}
    # Three leaders: the first, the one after the crash, the one after the handover. Five starts.
    assert len(moments) >= (3 if annotation["name"] == "Leader changes" else 5), series
    for _, moment in moments:
        assert live.began - 5 < moment / 1000, f"{moment} is no time of this test in ms"


def test_every_rule_finds_its_series(live):
    rules = [rule for group in live.rules["groups"] for rule in group["rules"]]
    assert len(rules) == 18
    for rule in rules:
        found = selectors(rule["expr"])
        assert found, rule
        for metric, braces in found:
            braces = braces.replace(', endpoint!=""', ', endpoint=~".+"')
            assert live.now(f"{metric}{{{braces}}}"), f"{rule.get('alert')} finds no {metric}{{{braces}}}"


def test_prometheus_evaluates_every_rule(live):
    groups = live.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == 18
    for rule in rules:
        assert rule["health"] == "ok", rule


def test_neither_a_crash_nor_a_handover_nor_a_restart_of_redis_fires_an_alert(live):
    fired = live.since_the_start('ALERTS{alertstate="firing"}')
    names = {labels["alertname"] for labels, _ in fired}
    # Rules are evaluated 30 times as often as their windows expect, so the first one exaggerates.
    expected = {"PolluxFreshnessBudgetBurn", "PolluxSlowConsumers"}
    assert names <= expected, names
    # Nor is one left that would fire later, but for the endpoint that always fails, which is stale.
    left = {labels["alertname"] for labels, _ in live.now("ALERTS")}
    assert left <= expected | {"PolluxEndpointStale"}, left


def test_pods_are_told_apart(live):
    assert {labels["pod"] for labels, _ in live.now("pollux_build_info")} == set(PODS)
