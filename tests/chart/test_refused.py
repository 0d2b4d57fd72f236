"""Bad values, one by one, each with what is said of it."""

import pytest
from chart import refusal, values
from matrix import NETWORK, SCALING

SEPARATE = {"separate": True}


def test_a_release_without_a_configuration_says_what_to_set():
    said = refusal({})
    for part in ["Nothing to poll is configured", "  endpoints:", "redis.embedded=true"]:
        assert part in said


# What the templates refuse, in sentences.
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"config": {"cluster": None}}, "config.cluster is missing: the name that all replicas share"),
        ({"config": {"endpoints": None}}, "config.endpoints is missing: what to poll"),
        ({"config": {"endpoints": []}}, "config.endpoints"),
        (
            {"config": {"redis": None}},
            "config.redis is missing: without it each of the 3 replicas would poll for itself. "
            "Set config.redis.url, or redis.embedded=true for a trial, or replicas=1.",
        ),
        (
            {"config": {"redis": None}, "replicas": 1, "gateway": SEPARATE},
            "config.redis is missing: separate gateways read what the pollers publish there.",
        ),
        (
            {"redis": {"embedded": True}},
            "config.redis names a Redis, and redis.embedded brings another: choose one.",
        ),
        (
            {"config": {"replica": "one"}},
            "config.replica cannot be set: each pod has its own, which the chart fills in.",
        ),
        ({"config": {"address": "http://one:9090"}}, "config.address cannot be set"),
        (
            {"config": {"admin": {"listen": "127.0.0.1:9090"}}},
            "config.admin.listen is 127.0.0.1:9090, where nobody outside the pod reaches it",
        ),
        ({"config": {"gateway": {"listen": "[::1]:8080"}}}, "config.gateway.listen is [::1]:8080"),
        (
            {"config": {"gateway": {"listen": "0.0.0.0:9090"}}},
            "config.gateway.listen and config.admin.listen have the same port, 9090.",
        ),
        (
            {"config": {"lease": {"duration": "4s"}}},
            "config.lease.renew_deadline (4s) must be less than config.lease.duration (4s): "
            "the leader must stop before its lease ends.",
        ),
        (
            {"config": {"lease": {"renew_deadline": "900ms"}}},
            "config.lease.retry_period (1s) must be less than config.lease.renew_deadline (900ms): "
            "a renewal must be tried more than once before the leader gives up.",
        ),
        (
            {"config": {"lease": {"renew_deadline": "1m", "duration": "59s1000ms"}}},
            "config.lease.renew_deadline (1m) must be less than config.lease.duration (59s1000ms)",
        ),
        (
            {"config": {"redis": {"timeout": "4s"}}},
            "config.redis.timeout (4s) must be less than config.lease.renew_deadline (4s)",
        ),
        (
            {"autoscaling": {"enabled": True}},
            "autoscaling.enabled needs gateway.separate: more pollers would poll no more, "
            "only one of them leads.",
        ),
        (
            {**SCALING, "autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 4}},
            "autoscaling.minReplicas (5) is more than autoscaling.maxReplicas (4).",
        ),
        (
            {**SCALING, "autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": 0}},
            "autoscaling.enabled has nothing to go by",
        ),
        (
            {"gateway": {**SEPARATE, "resources": {"limits": {"memory": "1Gi"}}}, "autoscaling": {"enabled": True}},
            "autoscaling.targetCPUUtilizationPercentage is a share of the CPU that gateways request, and "
            "gateway.resources.requests.cpu is missing",
        ),
        (
            {"podDisruptionBudget": {"minAvailable": 3}},
            "podDisruptionBudget.minAvailable is 3 of 3 replicas: none could ever be evicted, and no "
            "node with one of them drained. Lower it, or set podDisruptionBudget.enabled=false.",
        ),
        ({"podDisruptionBudget": {"minAvailable": "90%"}}, "minAvailable is 90% of 3 replicas"),
        (
            {"podDisruptionBudget": {"maxUnavailable": 0}},
            "podDisruptionBudget.maxUnavailable is 0: none could ever be evicted",
        ),
        ({"podDisruptionBudget": {"maxUnavailable": "0%"}}, "maxUnavailable is 0%"),
        (
            {"gateway": {**SEPARATE, "podDisruptionBudget": {"minAvailable": 2}}},
            "gateway.podDisruptionBudget.minAvailable is 2 of 2 replicas",
        ),
        (
            {"gateway": {**SEPARATE, "podDisruptionBudget": {"minAvailable": 3}},
             "autoscaling": {"enabled": True, "minReplicas": 3}},
            "gateway.podDisruptionBudget.minAvailable is 3 of 3 replicas",
        ),
        ({"ingress": {"enabled": True}}, "ingress.enabled needs ingress.hosts"),
        ({"httpRoute": {"enabled": True}}, "httpRoute.enabled needs httpRoute.parentRefs"),
        (
            {"networkPolicy": {"enabled": True}},
            "networkPolicy.enabled needs networkPolicy.redis.cidrs or .peers: where Redis is, "
            "or it would be out of reach.",
        ),
        (
            {"networkPolicy": {**NETWORK, "backends": {}}},
            "networkPolicy.enabled needs networkPolicy.backends.cidrs or .peers",
        ),
    ],
)
def test_what_cannot_work_is_said_plainly(changes, sentence):
    assert sentence in refusal(values(changes))


def test_all_that_is_wrong_is_said_at_once():
    said = refusal(values(config={"cluster": None, "redis": None}, autoscaling={"enabled": True}))
    for sentence in ["config.cluster is missing", "config.redis is missing", "autoscaling.enabled"]:
        assert sentence in said


# What the schema refuses: the path of the value, and what was expected there.
@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        ({"replicaCount": 3}, "(root)", "Additional property replicaCount is not allowed"),
        ({"replicas": 0}, "replicas", "Must be greater than or equal to 1"),
        ({"replicas": "3"}, "replicas", "Expected: integer, given: string"),
        ({"image": {"digest": "0123"}}, "image.digest", "Does not match pattern"),
        ({"image": {"pullPolicy": "Sometimes"}}, "image.pullPolicy", "must be one of"),
        ({"existingSecret": "Not A Name"}, "existingSecret", "Does not match pattern"),
        ({"gateway": {"seperate": True}}, "gateway", "Additional property seperate is not allowed"),
        ({"gateway": {"separate": "yes"}}, "gateway.separate", "Expected: boolean, given: string"),
        ({"autoscaling": {"minReplicas": 0}}, "autoscaling.minReplicas", "greater than or equal to 1"),
        ({"redis": {"maxmemory": "lots"}}, "redis.maxmemory", "Does not match pattern"),
        ({"redis": {"persistence": {"size": "1 GB"}}}, "redis.persistence.size", "Does not match"),
        ({"redis": {"url": "redis://a"}}, "redis", "Additional property url is not allowed"),
        ({"service": {"type": "ExternalName"}}, "service.type", "must be one of"),
        ({"service": {"port": 0}}, "service.port", "greater than or equal to 1"),
        ({"service": {"loadBalancerSourceRanges": ["10.0.0.1"]}}, "loadBalancerSourceRanges.0", "match"),
        ({"ingress": {"paths": ["v1"]}}, "ingress.paths.0", "Does not match pattern"),
        ({"httpRoute": {"parentRefs": ["public"]}}, "httpRoute.parentRefs.0", "Expected: object"),
        ({"networkPolicy": {"redis": {"cidrs": ["redis.example"]}}}, "networkPolicy.redis.cidrs.0", "match"),
        ({"networkPolicy": {"redis": {"ports": []}}}, "networkPolicy.redis.ports", "at least 1 items"),
        ({"podDisruptionBudget": {"maxUnavailable": "one"}}, "podDisruptionBudget.maxUnavailable", "match"),
        ({"preStopSleepSeconds": -1}, "preStopSleepSeconds", "greater than or equal to 0"),
        ({"preflight": {"activeDeadlineSeconds": 0}}, "preflight.activeDeadlineSeconds", "or equal to 1"),
        ({"podLabels": {"team": 1}}, "podLabels.team", "Expected: string, given: integer"),
        ({"extraEnv": [{"value": "a"}]}, "extraEnv.0", "name is required"),
        ({"extraEnv": {"A": "b"}}, "extraEnv", "Expected: array, given: object"),
        (
            {"extraVolumeMounts": [{"name": "ca", "mountPath": "/ca", "subPath": "ca.pem"}]},
            "extraVolumeMounts.0",
            "Must not validate the schema",
        ),
        ({"chaos": {"enabled": True}}, "chaos", "Additional property enabled is not allowed"),
        # The configuration, as `pollux schema` describes it.
        ({"config": {"cluster": "Capital"}}, "config.cluster", "Does not match pattern"),
        ({"config": {"drian": "2s"}}, "config", "Additional property drian is not allowed"),
        ({"config": {"drain": "20"}}, "config.drain", "Does not match pattern"),
        ({"config": {"drain": 20}}, "config.drain", "Expected: string, given: integer"),
        ({"config": {"lease": {"ttl": "6s"}}}, "config.lease", "Additional property ttl is not allowed"),
        ({"config": {"history": -1}}, "config.history", "Must be greater than or equal to 0"),
        (
            {"config": {"endpoints": [{"name": "a", "every": "2s"}]}},
            "config.endpoints.0",
            "url is required",
        ),
        (
            {"config": {"endpoints": [{"name": "a", "url": "http://a", "every": 2}]}},
            "config.endpoints.0.every",
            "Expected: string, given: integer",
        ),
        ({"config": {"redis": {"url": "http://redis"}}}, "config.redis.url", "Does not match pattern"),
        ({"config": {"admin": {"token": "short"}}}, "config.admin.token", "Does not match pattern"),
    ],
)
def test_what_has_the_wrong_shape_is_named(changes, path, message):
    said = refusal(values(changes))
    lines = [line for line in said.splitlines() if line.startswith(f"- {path}") or path in line]
    assert any(message in line for line in lines), said
