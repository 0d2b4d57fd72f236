"""The values that every check is made with: by name, each with something of its own."""

from chart import values

SECRET = {"existingSecret": "pollux-secrets"}
FULL = {
    "cluster": "everything",
    "redis": {
        "sentinel": {"master": "mymaster", "nodes": ["one.example:26379", "two.example:26379"]},
        "username": "pollux",
        "password": "${file:/run/secrets/pollux/redis}",
        "timeout": "1s",
    },
    "lease": {"duration": "10s", "renew_deadline": "8s", "retry_period": "2s", "crash_probe": "200ms"},
    "history": 1000000,
    "defaults": {"headers": {"Accept-Language": "en"}, "max_body": 10485760},
    "endpoints": [
        {"name": "prices", "url": "https://backend.example/prices", "every": "2s"},
        {
            "name": "rates",
            "url": "https://backend.example/rates.csv",
            "every": "1m",
            "timeout": "10s",
            "max_body": "512KiB",
            "headers": {"Authorization": "Bearer ${file:/run/secrets/pollux/rates}"},
            "expect": {"content_type": ["text/csv", "text/plain"]},
        },
    ],
    "gateway": {"listen": "0.0.0.0:8000", "max_streams": 20000},
    "admin": {"listen": "0.0.0.0:9000", "token": "${file:/run/secrets/pollux/token}"},
    "traces": {
        "endpoint": "https://collector.example:4318",
        "ratio": 0.5,
        "headers": {"Authorization": "Bearer ${file:/run/secrets/pollux/collector}"},
    },
    "drain": "1m30s",
}
NETWORK = {
    "enabled": True,
    "redis": {"cidrs": ["10.1.2.0/24"], "ports": [6379, 26379]},
    "backends": {"cidrs": ["203.0.113.0/24", "2001:db8::/32"]},
}
SCALING = {
    "gateway": {"separate": True, "extraEnv": [{"name": "POLLUX__GATEWAY__MAX_STREAMS", "value": "500"}]},
    "autoscaling": {"enabled": True},
}
WAYS_IN = {
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "hosts": ["pollux.example.com"],
        "tls": [{"secretName": "tls", "hosts": ["pollux.example.com"]}],
    },
    "httpRoute": {
        "enabled": True,
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["pollux.example.com"],
    },
}
PODS = {
    "image": {"repository": "registry.example/pollux", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "podAnnotations": {"example.com/owner": "data"},
    "podLabels": {"team": "data"},
    "priorityClassName": "important",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "pollux"}},
                }
            ]
        }
    },
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    "topologySpreadConstraints": [
        {"topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    ],
    "extraEnv": [{"name": "RUST_LOG", "value": "debug"}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/etc/ca", "readOnly": True}],
    "serviceAccount": {"create": False, "name": "shared"},
    "service": {
        "type": "LoadBalancer",
        "port": 8080,
        "annotations": {"example.com/internal": "true"},
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
    },
    "chaos": {"shareProcessNamespace": True},
    "podDisruptionBudget": {"minAvailable": "50%"},
    "preStopSleepSeconds": 0,
}

MATRIX = {
    "default": values(),
    "full configuration": {"config": FULL, **SECRET},
    "one without redis": values(replicas=1, config={"redis": None}),
    "separate gateways": values(gateway={"separate": True, "resources": {"limits": {"memory": "1Gi"}}}),
    "autoscaling": values(SCALING),
    "embedded redis": values(config={"redis": None}, redis={"embedded": True}),
    "all ways in": values(WAYS_IN),
    "network policies": values(networkPolicy=NETWORK),
    "network policies, apart, embedded": values(
        SCALING,
        config={"redis": None},
        redis={"embedded": True},
        networkPolicy={"enabled": True, "backends": {"peers": [{"namespaceSelector": {}}]}},
    ),
    "pods of all kinds": values(PODS),
    "own token": values(admin={"existingSecret": "token", "existingSecretKey": "t"}),
    "token of a variable": values(
        config={"admin": {"token": "${env:ADMIN_TOKEN}"}},
        extraEnv=[
            {
                "name": "ADMIN_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": "token", "key": "t"}},
            }
        ],
    ),
    "ipv6": values(ipv6=True),
    "watched": values(
        monitoring={part: {"enabled": True} for part in ("podMonitor", "rules", "dashboards")},
    ),
    "watched, apart": values(
        gateway={"separate": True},
        monitoring={"serviceMonitor": {"enabled": True}, "dashboards": {"enabled": True}},
    ),
    "without extras": values(
        preflight={"enabled": False},
        podDisruptionBudget={"enabled": False},
        fullnameOverride="p",
    ),
}
