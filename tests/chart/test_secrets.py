"""The Secrets that the chart makes: once, and kept by upgrades."""

import base64
import contextlib
import http.server
import json
import os
import subprocess
import threading

import yaml
from chart import CHART, find, kinds, render, values
from matrix import FULL, MATRIX, SECRET


def decoded(secret):
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


class Cluster(http.server.BaseHTTPRequestHandler):
    """As much of Kubernetes as Helm asks for a Secret."""

    secrets = {}

    def do_GET(self):
        path = self.path.split("?")[0]
        *where, name = path.split("/")
        if path == "/api/v1":
            resource = {"name": "secrets", "kind": "Secret", "namespaced": True, "verbs": ["get"]}
            listed = {"groupVersion": "v1", "resources": [resource]}
            self.answer(200, {"kind": "APIResourceList", "apiVersion": "v1", **listed})
        elif where == "/api/v1/namespaces/shop/secrets".split("/") and name in self.secrets:
            self.answer(200, self.secrets[name])
        else:
            status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404}
            self.answer(404, {**status, "reason": "NotFound"})

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def cluster(secrets):
    handler = type("Handler", (Cluster,), {"secrets": secrets})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def render_beside(secrets, of, tmp_path):
    """Renders as an upgrade does, where these Secrets are in the cluster."""
    with cluster({secret["metadata"]["name"]: secret for secret in secrets}) as address:
        command = ["helm", "template", "prod", str(CHART), "--namespace=shop", "--values=-"]
        command += ["--dry-run=server", f"--kube-apiserver={address}"]
        environment = {**os.environ, "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "none")}
        done = subprocess.run(
            command, input=json.dumps(of), capture_output=True, text=True, env=environment, check=True
        )
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def test_an_upgrade_keeps_token_and_password(tmp_path):
    of = MATRIX["embedded redis"]
    names = ["prod-pollux-admin", "prod-pollux-redis"]
    first = [find(render_beside([], of, tmp_path), "Secret", name) for name in names]
    second = [find(render_beside(first, of, tmp_path), "Secret", name) for name in names]
    assert [one["data"] for one in first] == [one["data"] for one in second]
    # Not because they are always the same.
    other = [find(render_beside([], of, tmp_path), "Secret", name) for name in names]
    assert all(one["data"] != another["data"] for one, another in zip(first, other))


def test_a_token_is_long_and_redis_gets_its_password():
    objects = render(MATRIX["embedded redis"])
    assert len(decoded(find(objects, "Secret", "prod-pollux-admin"))["admin-token"]) == 40
    redis = decoded(find(objects, "Secret", "prod-pollux-redis"))
    assert redis["password.conf"] == f"requirepass {redis['redis-password']}\n"


def test_none_is_made_where_there_is_one():
    for of in [MATRIX["own token"], {"config": FULL, **SECRET}, MATRIX["token of a variable"]]:
        assert not any(path.startswith("Secret/") for path in kinds(render(of)))


def sources(of):
    pod = find(render(of), "Deployment")["spec"]["template"]["spec"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "secrets"]
    return volume["projected"]["sources"]


def test_all_secrets_are_files_in_one_directory():
    of = values(MATRIX["own token"], existingSecret="more")
    assert sources(of) == [
        {"secret": {"name": "more"}},
        {"secret": {"name": "token", "items": [{"key": "t", "path": "admin-token"}]}},
    ]
    embedded = sources(MATRIX["embedded redis"])
    assert [source["secret"]["name"] for source in embedded] == ["prod-pollux-admin", "prod-pollux-redis"]
