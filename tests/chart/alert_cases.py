"""When each alert fires, and when it must not: series as Prometheus' own unit tests write them.

A sample every 15 s unless said otherwise; `1x20` is 1 and then 20 times 1 more, `0+2x20` grows by 2,
`_` is a scrape that found nothing.
"""

import dataclasses

#: Labels of every series of the release that the rules are made for, and of every alert about it.
OURS = {"namespace": "shop", "release": "prod"}
CRITICAL = {"severity": "critical"} | OURS
WARNING = {"severity": "warning"} | OURS


@dataclasses.dataclass
class Case:
    """What Prometheus scrapes, and which alerts of a name then fire."""

    alert: str
    name: str
    series: dict
    #: The labels of each that fires at `at`, with what its annotations' templates become there. None
    #: fires where it is empty; that is asked every half minute until `at`.
    fires: list = dataclasses.field(default_factory=list)
    at: str = "30m"
    every: str = "15s"

    def __str__(self):
        return f"{self.alert}: {self.name}"


def series(metric, **labels):
    """A series of the release; of another where its labels are given."""
    text = ", ".join(f'{key}="{value}"' for key, value in (OURS | labels).items())
    return f"{metric}{{{text}}}"


def each(metric, of):
    """A series for each pod: its samples by its name."""
    return {series(metric, pod=pod): samples for pod, samples in of.items()}


def fired(labels, **said):
    """An alert with these labels; `said` maps what a template shows, such as value, to the text."""
    return labels, said


def lease(remaining, leads="1x80"):
    """A leader's view of a lease of 6 s with a deadline of 4 s."""
    return {
        series("pollux_is_leader", pod="a"): leads,
        series("pollux_lease_remaining_seconds", pod="a"): remaining,
        series("pollux_is_leader", pod="b"): "0x80",
        series("pollux_lease_remaining_seconds", pod="b"): "0.1x80",
        series("pollux_lease_duration_seconds", pod="a"): "6x80",
        series("pollux_lease_renew_deadline_seconds", pod="a"): "4x80",
    }


def stale(share, samples):
    """So large a share of the endpoints' time is stale, for so many samples."""
    return endpoint(f"{share}x{samples}")


def endpoint(stale, age="5x10000", **labels):
    """An endpoint that is stale at times; one that has never answered has no age."""
    labels = {"pod": "a"} | (labels or {"endpoint": "prices"})
    all_of = {series("pollux_endpoint_stale", **labels): stale}
    return all_of | ({series("pollux_endpoint_age_seconds", **labels): age} if age else {})


def burn(*windows, value):
    """The alerts that fire of these windows, each with its severity."""
    severities = {"1h": "critical", "6h": "critical", "1d": "warning", "3d": "warning"}
    return [
        fired({"severity": severities[window], "window": window} | OURS, percent=value)
        for window in windows
    ]


def polls(every, **pods):
    """Polls of an endpoint with so many seconds between them, by pod."""
    all_of = {series("pollux_endpoint_interval_seconds", pod="a", endpoint="prices"): f"{every}x240"}
    for pod, samples in pods.items():
        all_of[series("pollux_polls_total", pod=pod, endpoint="prices", outcome="changed")] = samples
        skipped = series("pollux_polls_total", pod=pod, endpoint="prices", outcome="skipped")
        all_of[skipped] = "0+9x240"
    return all_of


def fenced(samples):
    return {series("pollux_publications_total", pod="a", outcome="fenced"): samples}


def streams(conflated, delivered):
    return {
        series("pollux_gateway_conflated_total", pod="a"): conflated,
        series("pollux_gateway_deliveries_total", pod="a", transport="sse"): delivered,
    }


def eviction(**labels):
    return series("pollux_redis_shortcoming", pod="a", kind="eviction", **labels)


EVICTED = 'redis_evicted_keys_total{namespace="shop", instance="redis:9121"}'
ELSEWHERE = {"release": "other"}

CASES = [
    # ------------------------------------------------------------------------------ PolluxNoLeader
    Case(
        "PolluxNoLeader",
        "no replica sees a leader",
        each("pollux_has_leader", {"a": "1x4 0x20", "b": "1x4 0x20"}),
        [fired(CRITICAL)],
        at="3m",
    ),
    Case(
        "PolluxNoLeader",
        "all pods are gone, while another release lives",
        each("pollux_has_leader", {"a": "1x4 stale"})
        | {series("pollux_has_leader", pod="z", **ELSEWHERE): "1x60"},
        [fired(CRITICAL | {"reason": "unseen"})],
        at="8m",
    ),
    Case(
        "PolluxNoLeader",
        "a failover in which a lease of 30 s had to end",
        each("pollux_has_leader", {"a": "1x40 stale _x80", "b": "1x40 0 0 1x80"}),
    ),
    Case(
        "PolluxNoLeader",
        "a release that is being installed",
        each("pollux_has_leader", {"a": "_x12 0 1x100"}),
    ),
    Case(
        "PolluxNoLeader",
        "another release without a leader",
        each("pollux_has_leader", {"a": "1x120"})
        | {series("pollux_has_leader", pod="z", **ELSEWHERE): "0x120"},
    ),
    # ---------------------------------------------------------------------------- PolluxTwoLeaders
    Case(
        "PolluxTwoLeaders",
        "two that lead on two servers",
        each("pollux_is_leader", {"a": "1x40", "b": "0x8 1x40", "c": "0x40"}),
        [fired(CRITICAL, value="2")],
        at="9m",
    ),
    Case(
        "PolluxTwoLeaders",
        "a handover that scrapes saw at different moments",
        each("pollux_is_leader", {"a": "1x42 0x80", "b": "0x40 1x82"}),
    ),
    Case(
        "PolluxTwoLeaders",
        "a leader that vanished without a trace, followed by one that has just started",
        each("pollux_is_leader", {"a": "1x40 _x80", "b": "_x40 1x80"}),
    ),
    Case(
        "PolluxTwoLeaders",
        "a leader of each of two releases",
        each("pollux_is_leader", {"a": "1x120"})
        | {series("pollux_is_leader", pod="z", **ELSEWHERE): "1x120"},
    ),
    # ------------------------------------------------------------------------- PolluxLeaderFlapping
    Case(
        "PolluxLeaderFlapping",
        "seven changes in half an hour",
        each("pollux_leader_changes_total", {"a": "0x20 1x8 2x8 3x8 4x8 5x8 6x8 7x60", "b": "0x120"}),
        [fired(WARNING, value="7")],
    ),
    Case(
        "PolluxLeaderFlapping",
        "a roll-out of three, each of which led",
        each(
            "pollux_leader_changes_total",
            {"a": "0x40 1x4 stale", "b": "0x40 1x4 2x4 stale", "c": "_x40 0x4 1x4 2x80"},
        ),
    ),
    Case(
        "PolluxLeaderFlapping",
        "five drained nodes",
        each("pollux_leader_changes_total", {"a": "0x20 1x12 2x12 3x12 4x12 5x60"}),
    ),
    # ------------------------------------------------------------------------ PolluxLeaseMarginThin
    Case(
        "PolluxLeaseMarginThin",
        "renewals that hang again and again",
        lease(" ".join(["5.5 5.2 3.5 5.4"] * 20)),
        [fired(WARNING, duration="1.5s")],
        at="18m",
    ),
    Case("PolluxLeaseMarginThin", "renewals every second", lease("5.1x80"), at="20m"),
    Case(
        "PolluxLeaseMarginThin",
        "one renewal in a hundred",
        lease("5.5x30 2.1 5.5x50"),
        at="20m",
    ),
    Case(
        "PolluxLeaseMarginThin",
        "a failover, before which the new leader saw the lease run out",
        lease("5.5x30 4 3 2 1 0 0 5.5x50", leads="0x35 1x50"),
        at="20m",
    ),
    # ------------------------------------------------------------------------------ PolluxNoStandby
    Case(
        "PolluxNoStandby",
        "the other replica cannot reach Redis",
        each("pollux_is_leader", {"a": "1x80", "b": "0x80"})
        | each("pollux_has_leader", {"a": "1x80", "b": "1x4 0x76"}),
        [fired(WARNING)],
        at="15m",
    ),
    Case(
        "PolluxNoStandby",
        "all pods are gone",
        each("pollux_has_leader", {"a": "1x4 stale"}),
        [fired(WARNING)],
        at="15m",
    ),
    Case(
        "PolluxNoStandby",
        "gateways alone beside the leader",
        each("pollux_is_leader", {"a": "1x80", "gateway": "0x80"})
        | each("pollux_has_leader", {"a": "1x80"}),
        [fired(WARNING)],
        at="15m",
    ),
    Case(
        "PolluxNoStandby",
        "a standby that is being replaced",
        each("pollux_is_leader", {"a": "1x120", "b": "0x20 stale", "c": "_x50 0x70"})
        | each("pollux_has_leader", {"a": "1x120", "b": "1x20 stale", "c": "_x50 1x70"}),
    ),
    Case(
        "PolluxNoStandby",
        "a leader and a standby",
        each("pollux_is_leader", {"a": "1x120", "b": "0x120"})
        | each("pollux_has_leader", {"a": "1x120", "b": "1x120"}),
    ),
    # --------------------------------------------------------------------------- PolluxEndpointStale
    Case(
        "PolluxEndpointStale",
        "two gateways have nothing new",
        each("pollux_has_leader", {"a": "1x40"})
        | {
            series("pollux_endpoint_stale", pod=pod, endpoint=endpoint): samples
            for pod in "ab"
            for endpoint, samples in (("prices", "0x4 1x40"), ("news", "0x40"))
        },
        [fired(WARNING | {"endpoint": "prices"}, value="2", endpoint="prices")],
        at="8m",
    ),
    Case(
        "PolluxEndpointStale",
        "more than 500 endpoints, told by host",
        each("pollux_has_leader", {"a": "1x40"})
        | {series("pollux_endpoint_stale", pod="a", host="backend.example"): "1x40"},
        [fired(WARNING | {"host": "backend.example"}, value="1", host="backend.example")],
        at="8m",
    ),
    Case(
        "PolluxEndpointStale",
        "a backend that is away for four minutes",
        each("pollux_has_leader", {"a": "1x120"})
        | {series("pollux_endpoint_stale", pod="a", endpoint="prices"): "0x20 1x15 0x80"},
    ),
    Case(
        "PolluxEndpointStale",
        "an endpoint is new and never answers",
        each("pollux_has_leader", {"a": "1x40"}) | endpoint("1x40", age=None),
        [fired(WARNING | {"endpoint": "prices"}, value="1", endpoint="prices")],
        at="8m",
    ),
    Case(
        "PolluxEndpointStale",
        "nobody leads, which PolluxNoLeader says",
        each("pollux_has_leader", {"a": "0x120"}) | stale(1, 120),
    ),
    # --------------------------------------------------------------------- PolluxFreshnessBudgetBurn
    Case(
        "PolluxFreshnessBudgetBurn",
        "2 % stale: twenty times the budget",
        stale(0.02, 2000),
        # Prometheus 2 reads a window with both its ends: one sample more than its length.
        burn("1h", value="2.017%")
        + burn("6h", value="2.003%")
        + burn("1d", value="2.001%")
        + burn("3d", value="0.6947%"),
        at="25h",
        every="1m",
    ),
    Case(
        "PolluxFreshnessBudgetBurn",
        "0.8 % stale",
        stale(0.008, 2000),
        burn("6h", value="0.8011%") + burn("1d", value="0.8003%") + burn("3d", value="0.2779%"),
        at="25h",
        every="1m",
    ),
    Case(
        "PolluxFreshnessBudgetBurn",
        "0.4 % stale",
        stale(0.004, 2000),
        burn("1d", value="0.4001%") + burn("3d", value="0.1389%"),
        at="25h",
        every="1m",
    ),
    Case(
        "PolluxFreshnessBudgetBurn",
        "0.2 % stale",
        stale(0.002, 5000),
        burn("3d", value="0.1389%"),
        at="50h",
        every="1m",
    ),
    Case(
        "PolluxFreshnessBudgetBurn",
        "everything is stale, within minutes of it",
        endpoint("0x360 1x12"),
        burn("1h", value="15.83%")
        + burn("6h", value="2.639%")
        + burn("1d", value="0.6597%")
        + burn("3d", value="0.2199%"),
        at="370m",
        every="1m",
    ),
    Case("PolluxFreshnessBudgetBurn", "within the budget", stale(0.0009, 300), at="5h", every="1m"),
    Case(
        "PolluxFreshnessBudgetBurn",
        "a failover that made everything stale for a quarter of a minute",
        endpoint("0x1200 1 0x400"),
        at="6h",
    ),
    Case(
        "PolluxFreshnessBudgetBurn",
        "a failover three minutes after the install",
        endpoint("0x11 1x1 0x200"),
    ),
    Case(
        "PolluxFreshnessBudgetBurn",
        "the first that is ever known is a moment of staleness",
        endpoint("_x40 1 0x200"),
        at="50m",
    ),
    Case(
        "PolluxFreshnessBudgetBurn",
        "all is stale from three minutes after the install on",
        endpoint("0x11 1x40"),
        burn("1h", value="9.167%") + burn("6h", value="1.528%"),
        at="8m",
    ),
    Case(
        "PolluxFreshnessBudgetBurn",
        "more than 500 endpoints, told by host",
        endpoint("0x11 1x40", host="backend.example"),
        burn("1h", value="9.167%") + burn("6h", value="1.528%"),
        at="8m",
    ),
    Case(
        "PolluxFreshnessBudgetBurn",
        "an endpoint is new and never answers",
        endpoint("0x1000") | endpoint("_x40 1x900", age=None, endpoint="new"),
        at="4h",
    ),
    Case(
        "PolluxFreshnessBudgetBurn",
        "an endpoint that is no longer configured does not count as fresh",
        endpoint("0x11 1x40") | endpoint("0x51", age=" ".join(["NaN"] * 52), endpoint="old"),
        burn("1h", value="9.167%") + burn("6h", value="1.528%"),
        at="8m",
    ),
    # ----------------------------------------------------------------------------- PolluxOverPolling
    Case(
        "PolluxOverPolling",
        "two replicas poll",
        polls(3, a="0+5x240", b="0+5x240"),
        [fired(WARNING | {"endpoint": "prices"}, value="1.2k", endpoint="prices")],
        at="45m",
    ),
    Case("PolluxOverPolling", "one polls at each interval", polls(3, a="0+5x240"), at="60m"),
    Case(
        "PolluxOverPolling",
        "one hands over to another",
        polls(3, a="0+5x120 600x120", b="0x120 0+5x120"),
        at="60m",
    ),
    Case(
        "PolluxOverPolling",
        "a long interval, a takeover and a late scrape",
        polls(1200, a="0x40 1x40 stale", b="_x60 0x20 1x80 2x80"),
        at="60m",
    ),
    # ---------------------------------------------------------------------- PolluxFencedPublications
    Case(
        "PolluxFencedPublications",
        "a machine that freezes every ten minutes",
        fenced("0x39 2x39 4x39 6x39 8x39 10x39"),
        [fired(WARNING, value="5")],
        at="58m",
    ),
    Case(
        "PolluxFencedPublications",
        "one failover with forty of them",
        fenced("0x63 25 40x180"),
        at="60m",
    ),
    Case("PolluxFencedPublications", "two failovers in an hour", fenced("0x63 8x80 12x90"), at="58m"),
    # --------------------------------------------------------------------------- PolluxSlowConsumers
    Case(
        "PolluxSlowConsumers",
        "a fifth is skipped",
        streams("0+2x150", "0+8x150"),
        [fired(WARNING, percent="20%")],
        at="35m",
    ),
    Case("PolluxSlowConsumers", "one in twenty is skipped", streams("0+1x150", "0+19x150"), at="35m"),
    Case("PolluxSlowConsumers", "nobody reads", streams("0x150", "0x150"), at="35m"),
    Case(
        "PolluxSlowConsumers",
        "a burst of ten minutes",
        streams("0x40 0+9x40 360x100", "0+10x180"),
        at="45m",
    ),
    # --------------------------------------------------------------------------- PolluxRedisEvicting
    Case(
        "PolluxRedisEvicting",
        "evictions where Pollux may not look at the policy",
        {EVICTED: "0x20 5x20"},
        [fired(CRITICAL | {"instance": "redis:9121"}, value="5", instance="redis:9121")],
        at="8m",
    ),
    Case(
        "PolluxRedisEvicting",
        "a policy that may evict",
        {eviction(): "1x200"},
        [fired(WARNING)],
        at="40m",
    ),
    Case(
        "PolluxRedisEvicting",
        "another Redis beside one that never evicts",
        {EVICTED: "0+5x120", eviction(): "0x120"},
    ),
    Case("PolluxRedisEvicting", "no evictions", {EVICTED: "7x120"}),
    Case(
        "PolluxRedisEvicting",
        "a policy that is mended within twenty minutes",
        {eviction(): "1x80 0x120"},
        at="45m",
    ),
    # ---------------------------------------------------------------------------- PolluxReloadFailed
    Case(
        "PolluxReloadFailed",
        "two replicas refuse what is in place",
        each("pollux_config_refused", {"a": "0x4 1x40", "b": "0x5 1x40", "c": "0x40"}),
        [fired(WARNING | {"pod": pod}, pod=pod) for pod in "ab"],
        at="8m",
    ),
    Case(
        "PolluxReloadFailed",
        "a mistake that is mended within four minutes",
        each("pollux_config_refused", {"a": "0x20 1x15 0x80", "b": "0x120"}),
    ),
]
