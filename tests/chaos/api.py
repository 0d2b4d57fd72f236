"""A stand-in for Kubernetes' API server: as much of it as a real kubectl needs for what the scripts do."""

import base64
import contextlib
import hashlib
import http.client
import http.server
import json
import re
import socket
import struct
import subprocess
import threading
import urllib.parse

import kubernetes_validate

#: By group and version: resources, with the kind and the short forms that kubectl looks for.
RESOURCES = {
    "v1": [
        ("pods", "Pod", "get list watch delete patch"),
        ("pods/ephemeralcontainers", "Pod", "get patch update"),
        ("pods/log", "Pod", "get"),
        ("pods/exec", "PodExecOptions", "create get"),
        ("pods/proxy", "PodProxyOptions", "get"),
        ("namespaces", "Namespace", "get list"),
    ],
    "apps/v1": [
        ("deployments", "Deployment", "get list watch patch"),
        ("replicasets", "ReplicaSet", "get list"),
    ],
    "networking.k8s.io/v1": [("networkpolicies", "NetworkPolicy", "get list create delete")],
    "authorization.k8s.io/v1": [("selfsubjectaccessreviews", "SelfSubjectAccessReview", "create")],
}
POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"


class Api:
    """Serves the pods of a kubelet. `denied` are rights that are missing, `changes` what was asked for."""

    def __init__(self, kubelet, directory):
        self.kubelet, self.denied, self.changes, self.policies = kubelet, set(), [], {}
        self.proxies = True
        handler = type("Handler", (Handler,), {"api": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.kubeconfig = directory / "kubeconfig"
        context = {"cluster": "stub", "user": "stub", "namespace": "default"}
        self.kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [
                        {"name": "stub", "cluster": {"server": self.url}},
                        {"name": "gone", "cluster": {"server": "http://127.0.0.1:1"}},
                    ],
                    "users": [{"name": "stub", "user": {}}],
                    "contexts": [
                        {"name": "stub", "context": context},
                        {"name": "gone", "context": {**context, "cluster": "gone"}},
                    ],
                    "current-context": "stub",
                }
            )
        )

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def enforce(self):
        """Shuts the ways to Redis of the pods that a policy cuts off, if this cluster enforces any."""
        for pod in self.kubelet.replica_pods():
            labels = pod.object["metadata"]["labels"]
            cut = [one for one in self.policies.values() if selects(one, labels) and not allows(one, 6379)]
            if cut and self.kubelet.enforces:
                pod.gate.open.clear()
            else:
                pod.gate.open.set()


def selects(policy, labels):
    return policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()


def allows(policy, port):
    """Whether a policy lets TCP out to a port anywhere."""
    for rule in policy["spec"].get("egress", []):
        for one in rule.get("ports", []):
            if one.get("protocol", "TCP") == "TCP" and one["port"] <= port <= one.get("endPort", one["port"]):
                return True
    return False


def matches(labels, selector):
    """A label selector as in a query."""
    for name, values in re.findall(r"([\w./-]+) in \(([^)]*)\)", selector):
        if labels.get(name) not in values.split(","):
            return False
    for name, value in re.findall(r"([\w./-]+)=([\w.-]+)", selector):
        if labels.get(name) != value:
            return False
    return True


def fields(message):
    """The fields of a message of Protocol Buffers that are texts or messages, by number."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = number()
        size = number()
        if tag & 7 == 2:
            found[tag >> 3] = message[at : at + size]
            at += size
    return found


def texts(message, path, names):
    """The texts of the message that is within others at these fields."""
    for step in path:
        message = fields(message)[step]
    return {name: fields(message).get(index, b"").decode() for index, name in enumerate(names, 1)}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")

    def do_PATCH(self):
        self.answer("PATCH")

    def do_DELETE(self):
        self.answer("DELETE")

    def answer(self, method):
        url = urllib.parse.urlsplit(self.path)
        self.query = urllib.parse.parse_qs(url.query)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else b""
        namespace = re.escape(self.api.kubelet.namespace)
        routes = [
            ("GET", r"/version", self.version),
            ("GET", r"/api", lambda: self.say({"kind": "APIVersions", "versions": ["v1"]})),
            ("GET", r"/apis", self.groups),
            ("GET", r"/(?:api|apis)/((?:[\w.]+/)?v1)", self.resources),
            ("GET", r"/openapi/v3", self.openapi),
            ("GET", r"/openapi/v3/apis/networking.k8s.io/v1", self.openapi_networking),
            ("POST", r"/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", self.review),
            ("GET", rf"/api/v1/namespaces/{namespace}/pods/([\w.-]+):\d+/proxy(/.*)", self.proxy),
            ("GET", rf"/api/v1/namespaces/{namespace}/pods/([\w.-]+)/log", self.log),
            ("GET", rf"/api/v1/namespaces/{namespace}/pods/([\w.-]+)/exec", self.exec),
            ("PATCH", rf"/api/v1/namespaces/{namespace}/pods/([\w.-]+)/ephemeralcontainers", self.ephemeral),
            ("GET", rf"/api/v1/namespaces/{namespace}/pods/([\w.-]+)", self.pod),
            ("DELETE", rf"/api/v1/namespaces/{namespace}/pods/([\w.-]+)", self.delete_pod),
            ("PATCH", rf"/api/v1/namespaces/{namespace}/pods/([\w.-]+)", self.label),
            ("GET", r"/api/v1/namespaces/([\w.-]+)/pods", self.pods),
            ("GET", rf"/apis/apps/v1/namespaces/{namespace}/deployments", self.deployments),
            (
                "GET",
                rf"/apis/apps/v1/namespaces/{namespace}/deployments/([\w.-]+)",
                lambda _: self.say(self.deployment()),
            ),
            ("PATCH", rf"/apis/apps/v1/namespaces/{namespace}/deployments/([\w.-]+)", self.restart),
            ("GET", POLICIES.format(namespace), self.list_policies),
            ("POST", POLICIES.format(namespace), self.create_policy),
            ("DELETE", POLICIES.format(namespace) + r"/([\w.-]+)", self.delete_policy),
        ]
        for verb, pattern, action in routes:
            found = re.fullmatch(pattern, url.path)
            if verb == method and found:
                if method in {"PATCH", "DELETE"} or (method == "POST" and action != self.review):
                    self.api.changes.append(f"{method} {url.path}")
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    action(*found.groups())
                return
        self.fail(404, f"the server could not find the requested resource: {method} {self.path}")

    def say(self, value, status=200, kind="application/json"):
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, status, message, reason="NotFound"):
        self.say(
            {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "message": message,
                "reason": reason,
                "code": status,
            },
            status,
        )

    def version(self):
        self.say({"major": "1", "minor": "32", "gitVersion": "v1.32.0"})

    def groups(self):
        groups = [version.split("/")[0] for version in RESOURCES if "/" in version]

        def versions(group):
            return {"groupVersion": f"{group}/v1", "version": "v1"}

        self.say(
            {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [
                    {"name": group, "versions": [versions(group)], "preferredVersion": versions(group)}
                    for group in groups
                ],
            }
        )

    def resources(self, version):
        def one(name, kind, verbs):
            return {
                "name": name,
                "singularName": "",
                "namespaced": name not in {"namespaces", "selfsubjectaccessreviews"},
                "kind": kind,
                "verbs": verbs.split(),
            }

        self.say(
            {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": version,
                "resources": [one(*resource) for resource in RESOURCES[version]],
            }
        )

    def openapi(self):
        self.say(
            {
                "paths": {
                    "apis/networking.k8s.io/v1": {
                        "serverRelativeURL": "/openapi/v3/apis/networking.k8s.io/v1"
                    }
                }
            }
        )

    def openapi_networking(self):
        # kubectl looks whether the server itself checks fields.
        kind = {"group": "networking.k8s.io", "kind": "NetworkPolicy", "version": "v1"}
        operation = {
            "parameters": [{"name": "fieldValidation", "in": "query"}],
            "x-kubernetes-group-version-kind": kind,
            "responses": {},
        }
        self.say(
            {
                "openapi": "3.0.0",
                "info": {"title": "stub", "version": "1"},
                "paths": {POLICIES.format("{namespace}"): {"post": operation, "patch": operation}},
            }
        )

    def review(self):
        # kubectl says this by Protocol Buffers: a message in an envelope.
        wanted = texts(
            self.body[4:], [2, 2, 1], ["namespace", "verb", "group", "version", "resource", "subresource"]
        )
        resource = "/".join(filter(None, [wanted["resource"], wanted.get("subresource")]))
        allowed = f"{wanted['verb']} {resource}" not in self.api.denied
        self.say(
            {
                "kind": "SelfSubjectAccessReview",
                "apiVersion": "authorization.k8s.io/v1",
                "status": {"allowed": allowed},
            },
            201,
        )

    def is_valid(self, thing):
        """Whether it is as Kubernetes' own schema has it."""
        try:
            kubernetes_validate.validate(thing, "1.32", strict=True)
        except kubernetes_validate.ValidationError as error:
            self.fail(422, f"invalid: {error}", "Invalid")
            return False
        return True

    def found(self, name):
        pod = self.api.kubelet.pods.get(name)
        if pod is None:
            self.fail(404, f'pods "{name}" not found')
        return pod

    def pods(self, namespace):
        selector = self.query.get("labelSelector", [""])[0]
        with self.api.kubelet.lock:
            pods = list(self.api.kubelet.pods.values())
        own = namespace == self.api.kubelet.namespace
        items = [pod.shown() for pod in pods if own and matches(pod.object["metadata"]["labels"], selector)]
        self.say(
            {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}
        )

    def pod(self, name):
        if pod := self.found(name):
            self.say(pod.shown())

    def delete_pod(self, name):
        if pod := self.found(name):
            self.api.kubelet.delete(name)
            self.say(pod.shown())

    def label(self, name):
        if pod := self.found(name):
            labels = pod.object["metadata"]["labels"]
            for key, value in json.loads(self.body)["metadata"]["labels"].items():
                if value is None:
                    labels.pop(key, None)
                else:
                    labels[key] = value
            self.api.enforce()
            self.say(pod.shown())

    def ephemeral(self, name):
        if pod := self.found(name):
            for container in json.loads(self.body)["spec"]["ephemeralContainers"]:
                # The "restricted" profile, or Pod Security refuses it.
                security = container.get("securityContext", {})
                if security.get("runAsNonRoot") is not True or security.get("capabilities", {}).get(
                    "drop"
                ) != ["ALL"]:
                    self.fail(
                        403,
                        f'pods "{name}" is forbidden: violates PodSecurity "restricted:latest"',
                        "Forbidden",
                    )
                    return
                spec = pod.object["spec"]
                changed = {
                    **pod.object,
                    "spec": {
                        **spec,
                        "ephemeralContainers": [*spec.get("ephemeralContainers", []), container],
                    },
                }
                if not self.is_valid(changed):
                    return
                pod.object = changed
                pod.add_ephemeral(container)
            self.say(pod.shown())

    def log(self, name):
        if pod := self.found(name):
            container = pod.ephemeral.get(self.query["container"][0])
            if container is None or container["log"] is None:
                self.fail(400, "container is waiting to start", "BadRequest")
            else:
                self.say(container["log"].read_text(), kind="text/plain")

    def proxy(self, name, path):
        pod = self.found(name)
        if pod is None:
            return
        try:
            if not self.api.proxies:
                raise OSError("no route to host")
            connection = http.client.HTTPConnection("127.0.0.1", pod.port, timeout=10)
            # As the real one: the pod's own address is the host.
            connection.request("GET", path, headers={"Host": f"127.0.0.1:{pod.port}"})
            answer = connection.getresponse()
            self.say(answer.read().decode(), answer.status)
        except OSError as error:
            self.fail(503, f"error trying to reach service: {error}", "ServiceUnavailable")

    def deployment(self):
        kubelet = self.api.kubelet
        metadata = {
            **kubelet.deployment["metadata"],
            "generation": kubelet.generation,
            "resourceVersion": "1",
            "uid": "1",
        }
        return {**kubelet.deployment, "metadata": metadata, "status": kubelet.deployment_status()}

    def deployments(self):
        self.say(
            {
                "kind": "DeploymentList",
                "apiVersion": "apps/v1",
                "metadata": {"resourceVersion": "1"},
                "items": [self.deployment()],
            }
        )

    def restart(self, _):
        self.api.kubelet.roll()
        self.say(self.deployment())

    def list_policies(self):
        items = list(self.api.policies.values())
        self.say(
            {
                "kind": "NetworkPolicyList",
                "apiVersion": "networking.k8s.io/v1",
                "metadata": {"resourceVersion": "1"},
                "items": items,
            }
        )

    def create_policy(self):
        policy = json.loads(self.body)
        if not self.is_valid(policy):
            return
        self.api.policies[policy["metadata"]["name"]] = policy
        self.api.created = policy
        self.api.enforce()
        self.say(policy, 201)

    def delete_policy(self, name):
        if self.api.policies.pop(name, None) is None:
            self.fail(404, f'networkpolicies "{name}" not found')
            return
        self.api.enforce()
        self.say({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def exec(self, name):
        """Over a WebSocket: each message begins with the number of its channel."""
        pod = self.found(name)
        if pod is None:
            return
        if self.headers.get("Upgrade", "").lower() != "websocket":
            self.fail(403, "only WebSockets are spoken here", "Forbidden")
            return
        command = self.query["command"]
        if command[0] == "/pollux":
            command = [
                self.api.kubelet.pollux,
                *(part.replace(":9090", f":{pod.port}") for part in command[1:]),
            ]
        elif pod.shared:
            command = pod.enter(command)
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header(
            "Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        )
        self.send_header(
            "Sec-WebSocket-Protocol", self.headers["Sec-WebSocket-Protocol"].split(",")[0].strip()
        )
        self.end_headers()
        done = subprocess.run(command, capture_output=True)
        self.frame(2, b"\x01" + done.stdout)
        self.frame(2, b"\x02" + done.stderr)
        status = {"status": "Success"}
        if done.returncode:
            causes = [{"reason": "ExitCode", "message": str(done.returncode)}]
            status = {
                "status": "Failure",
                "reason": "NonZeroExitCode",
                "message": "it failed",
                "details": {"causes": causes},
            }
        self.frame(2, b"\x03" + json.dumps({"kind": "Status", "apiVersion": "v1", **status}).encode())
        self.frame(8, struct.pack(">H", 1000))
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.settimeout(2)
            self.connection.recv(1024)
            self.connection.shutdown(socket.SHUT_RDWR)

    def frame(self, kind, data):
        size = len(data)
        head = bytes([0x80 | kind])
        if size < 126:
            head += bytes([size])
        elif size < 65536:
            head += bytes([126]) + struct.pack(">H", size)
        else:
            head += bytes([127]) + struct.pack(">Q", size)
        self.wfile.write(head + data)
        self.wfile.flush()
