"""Every alert fires when it should, and not when it should not; and what it says can be followed."""

import json
import re
import subprocess

import pytest
import yaml
from alert_cases import CASES
from chart import CHART, Refused, find, refusal, render, values

RULES = {"monitoring": {"rules": {"enabled": True}}}
#: How often rules are evaluated: promtool goes by no group's own interval, which is this.
EVERY = "30s"
#: What the templates in annotations show, by the name that a case gives it.
SHOWN = {
    "value": ["{{ $value }}", "{{ $value | humanize }}"],
    "percent": ["{{ $value | humanizePercentage }}"],
    "duration": ["{{ $value | humanizeDuration }}"],
    "endpoint": ["{{ $labels.endpoint }}"],
    "host": ["{{ $labels.host }}"],
    "pod": ["{{ $labels.pod }}"],
    "instance": ["{{ $labels.instance }}"],
}


def groups(changes=None):
    return find(render(values(RULES, **(changes or {}))), "PrometheusRule")["spec"]["groups"]


def alerts(changes=None):
    return [rule for group in groups(changes) for rule in group["rules"] if "alert" in rule]


NAMES = sorted({rule["alert"] for rule in alerts()})


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def write_rules(path, wanted):
    """The rules that are wanted, as a file of Prometheus, as the operator makes it."""
    kept = [group | {"rules": list(filter(wanted, group["rules"]))} for group in groups()]
    path.write_text(yaml.safe_dump({"groups": kept}))


def test_there_is_an_alert_for_whatever_matters():
    wanted = "NoLeader TwoLeaders LeaderFlapping LeaseMarginThin NoStandby EndpointStale "
    wanted += "FreshnessBudgetBurn OverPolling SlowConsumers FencedPublications RedisEvicting ReloadFailed"
    assert NAMES == sorted(f"Pollux{name}" for name in wanted.split())


def test_prometheus_takes_the_rules(tmp_path):
    write_rules(tmp_path / "rules.yaml", lambda rule: True)
    status, said = promtool("check", "rules", tmp_path / "rules.yaml")
    assert status == 0 and "18 rules found" in said, said


def test_the_burn_rates_divide_by_the_samples_of_their_windows():
    (group,) = [group for group in groups() if any("record" in rule for rule in group["rules"])]
    assert group["interval"] == EVERY
    burn = [rule["expr"] for rule in group["rules"] if rule.get("alert") == "PolluxFreshnessBudgetBurn"]
    for expression in burn:
        windows = re.findall(r"\[(\w+)\]\) / (\d+) >", expression)
        assert len(windows) == 2
        for window, samples in windows:
            assert seconds(window) == int(samples) * seconds(EVERY), expression


def texts(rule, said):
    """A rule's annotations with its templates filled."""
    filled = {}
    for name, text in rule["annotations"].items():
        for shown, by in said.items():
            for template in SHOWN[shown]:
                text = text.replace(template, by)
        # A label that an alert does not have shows as nothing.
        text = re.sub(r"{{ \$labels\.\w+ }}", "", text)
        assert "{{" not in text, f"the case does not tell what becomes of {text}"
        filled[name] = text
    return filled


def expected(case):
    """The alerts of a case as promtool wants them: labels and annotations in full."""
    found = []
    for labels, said in case.fires:
        of = [
            rule
            for rule in alerts()
            if rule["alert"] == case.alert and rule["labels"].items() <= labels.items()
        ]
        # Of two rules the one with more labels is meant, as `reason`.
        of = [rule for rule in of if len(rule["labels"]) == max(len(one["labels"]) for one in of)]
        assert len(of) == 1, f"{case}: {labels} are those of {len(of)} rules"
        found.append({"exp_labels": labels, "exp_annotations": texts(of[0], said)})
    return found


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)([smhd])", duration).groups()
    return int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


def unit_test(case):
    """The case as a file for `promtool test rules`, beside the rules."""
    if case.fires:
        moments = [seconds(case.at)]
    else:
        step = max(30, seconds(case.at) // 200)
        moments = range(0, seconds(case.at) + 1, step)
    asked = [
        {"eval_time": f"{moment}s", "alertname": case.alert, "exp_alerts": expected(case)}
        for moment in moments
    ]
    series = [{"series": name, "values": samples} for name, samples in case.series.items()]
    test = {"interval": case.every, "input_series": series, "alert_rule_test": asked}
    return {"rule_files": ["rules.yaml"], "evaluation_interval": EVERY, "tests": [test]}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_alert(case, tmp_path):
    write_rules(tmp_path / "rules.yaml", lambda rule: rule.get("alert") in (None, case.alert))
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(unit_test(case)))
    status, said = promtool("test", "rules", tmp_path / "test.yaml")
    assert status == 0, said


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_has_cases_in_which_it_fires_and_in_which_it_does_not(name):
    cases = [case for case in CASES if case.alert == name]
    assert any(case.fires for case in cases), "no case in which it fires"
    assert any(not case.fires for case in cases), "no case in which it does not"
    # Each of its rules fires in one of them.
    fired = [labels for case in cases for labels, _ in case.fires]
    for rule in (rule for rule in alerts() if rule["alert"] == name):
        assert any(rule["labels"].items() <= labels.items() for labels in fired), rule["expr"]


def sections():
    """The runbook's sections by their anchor."""
    parts = re.split(r"^## (\w+)$", (CHART / "RUNBOOK.md").read_text(), flags=re.MULTILINE)[1:]
    return {f"#{name.lower()}": text for name, text in zip(parts[::2], parts[1::2])}


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_each_alert_says_what_users_feel_and_where_to_read_on(rule):
    assert rule["labels"]["severity"] in ("critical", "warning")
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["summary"].endswith(".") and len(annotations["summary"]) < 100
    assert re.search(r"[Uu]sers|readers", annotations["description"])
    _, anchor = annotations["runbook_url"].split("RUNBOOK.md")
    section = sections()[anchor]
    for part in ("Means.", "Look at.", "Do.", "Ignore it"):
        assert f"**{part}**" in section, f"{anchor} lacks {part}"


def test_the_runbook_is_of_these_alerts_alone():
    assert sorted(sections()) == sorted(f"#{name.lower()}" for name in NAMES)


def test_the_runbook_names_panels_that_exist():
    panels = json.loads((CHART / "dashboards" / "pollux.json").read_text())["panels"]
    titles = {panel["title"] for panel in panels} | {"Pollux", "Status", "Targets"}
    text = " ".join((CHART / "RUNBOOK.md").read_text().split())
    for named in re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", text):
        assert set(named.split(" → ")) <= titles, named


def test_alerts_can_be_left_out_and_labelled():
    changes = {
        "disabled": ["PolluxSlowConsumers", "PolluxRedisEvicting"],
        "alertLabels": {"team": "data"},
        "runbookUrl": "https://wiki.example/RUNBOOK.md",
        "additionalLabels": {"release": "prometheus"},
    }
    objects = render(values({"monitoring": {"rules": {"enabled": True} | changes}}))
    rule = find(objects, "PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    left = [one for group in rule["spec"]["groups"] for one in group["rules"] if "alert" in one]
    assert {one["alert"] for one in left} == set(NAMES) - set(changes["disabled"])
    assert all(one["labels"]["team"] == "data" for one in left)
    assert left[0]["annotations"]["runbook_url"] == "https://wiki.example/RUNBOOK.md#polluxnoleader"


def test_an_unknown_alert_that_is_to_be_left_out_is_named():
    said = refusal(values({"monitoring": {"rules": {"enabled": True, "disabled": ["PolluxNoLeeder"]}}}))
    assert 'there is no alert "PolluxNoLeeder"' in said and "PolluxNoLeader" in said


def test_one_replica_alone_is_not_missed_as_a_standby():
    assert "PolluxNoStandby" not in {rule["alert"] for rule in alerts({"replicas": 1})}


def test_thresholds_are_those_of_the_values():
    thresholds = {"freshnessObjective": 99, "leaderChanges": 9, "endpointStaleFor": "1h"}
    of = render(values({"monitoring": {"rules": {"enabled": True, "thresholds": thresholds}}}))
    rules = [rule for group in find(of, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    by_name = {rule.get("alert"): rule for rule in rules}
    assert "> 9" in by_name["PolluxLeaderFlapping"]["expr"]
    assert by_name["PolluxEndpointStale"]["for"] == "1h"
    burn = [rule["expr"] for rule in rules if rule.get("alert") == "PolluxFreshnessBudgetBurn"]
    assert "> 0.144" in burn[0] and "> 0.01" in burn[3]


def test_nothing_of_the_operator_is_rendered_unless_asked_for():
    kinds = {one["kind"] for one in render()}
    assert kinds.isdisjoint({"PodMonitor", "ServiceMonitor", "PrometheusRule"})


def test_scraping_twice_is_refused():
    both = {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}
    with pytest.raises(Refused, match="scraped and counted twice"):
        render(values({"monitoring": both}))
