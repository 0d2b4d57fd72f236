"""A release under load, watched by a real Prometheus and a real Redis exporter."""

import contextlib
import http.client
import http.server
import itertools
import json
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import yaml
from chart import find, render, values
from release import Release, answers, eventually, free_port, stop

ENDPOINTS = ["changing", "same", "tagged", "large", "broken"]
#: A lease that is short, so that nothing takes long.
LEASE = {"duration": "4s", "renew_deadline": "3s", "retry_period": "500ms"}
#: How long, in seconds, anything may take that a test waits for: nothing does but on a loaded machine.
PATIENCE = 60
PODS = ["prod-pollux-0", "prod-pollux-1", "prod-pollux-2"]


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers each endpoint in its own way, by its name."""

    protocol_version = "HTTP/1.1"
    count = itertools.count()

    def do_GET(self):
        name = self.path.strip("/")
        if name == "broken":
            return self.answer(500, b"")
        if name == "tagged" and self.headers.get("If-None-Match"):
            return self.answer(304, b"")
        number = next(self.count)
        bodies = {"changing": [number], "large": [number, "x" * 400_000]}
        return self.answer(200, json.dumps(bodies.get(name, [1])).encode())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Live:
    """Everything that runs, until it is left."""

    def __init__(self, directory, pollux):
        self.directory, self.pollux = directory, pollux
        self.closing = contextlib.ExitStack()
        self.ended = threading.Event()
        self.ports = {pod: (free_port(), free_port()) for pod in PODS}
        self.replicas = {}
        self.began = time.time()

    def __enter__(self):
        with contextlib.ExitStack() as until_ready:
            until_ready.push(self.close)
            self.start()
            until_ready.pop_all()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self, *_):
        self.ended.set()
        self.closing.close()

    def start(self):
        backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
        backend.daemon_threads = True
        threading.Thread(target=backend.serve_forever, daemon=True).start()
        self.closing.callback(backend.server_close)
        self.closing.callback(backend.shutdown)
        objects = render(self.values(f"http://127.0.0.1:{backend.server_port}"))
        self.rules = find(objects, "PrometheusRule")["spec"]
        (self.scraped,) = find(objects, "PodMonitor")["spec"]["podMetricsEndpoints"]
        self.release = self.closing.enter_context(Release(objects, self.directory, self.pollux))
        self.redis = self.release.start_redis()
        secrets = self.release.secrets.values()
        (self.password,) = [one["redis-password"] for one in secrets if "redis-password" in one]
        self.prometheus = f"http://127.0.0.1:{self.start_prometheus(self.start_exporter())}"
        for pod in PODS:
            self.start_replica(pod)
        self.leader()

    def values(self, backend):
        endpoints = [
            {"name": name, "url": f"{backend}/{name}", "every": "200ms"} for name in ENDPOINTS
        ]
        config = {"redis": None, "lease": LEASE, "endpoints": endpoints}
        watched = {part: {"enabled": True} for part in ("rules", "podMonitor")}
        return values({"monitoring": watched}, config=config, redis={"embedded": True})

    def run(self, port, name, *command):
        """Starts a program that ends with all else, and waits until it answers at its port."""
        program = shutil.which(command[0])
        assert program, f"{command[0]} is not installed: tests/chart/run does that"
        log = open(self.directory / f"{name}.log", "w")
        process = subprocess.Popen([program, *command[1:]], stdout=log, stderr=subprocess.STDOUT)
        self.closing.callback(process.wait)
        self.closing.callback(process.kill)
        eventually(f"{name} answers", lambda: answers(port), PATIENCE)
        assert process.poll() is None, pathlib.Path(log.name).read_text()

    def start_exporter(self):
        port = free_port()
        listen = f"--web.listen-address=127.0.0.1:{port}"
        with_password = self.redis.replace("redis://", f"redis://:{self.password}@")
        self.run(port, "exporter", "prometheus-redis-exporter", f"--redis.addr={with_password}", listen)
        return port

    def start_prometheus(self, exporter):
        """Scrapes twice a second, as the operator would have it by the chart's PodMonitor."""
        port, file = free_port(), self.directory / "prometheus.yaml"
        # The operator's own labels, of which `endpoint` is the port's name; and what it knows of the pod.
        ours = {"namespace": "shop", "container": "pollux", "endpoint": self.scraped["port"]}
        ours["__meta_kubernetes_pod_label_app_kubernetes_io_instance"] = "prod"
        pods = [
            {"targets": [f"127.0.0.1:{admin}"], "labels": ours | {"pod": pod}}
            for pod, (_, admin) in self.ports.items()
        ]
        relabelings = [
            {re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", key): of for key, of in one.items()}
            for one in self.scraped["relabelings"]
        ]
        redis = [{"targets": [f"127.0.0.1:{exporter}"], "labels": {"namespace": "shop"}}]
        # At the pace of all else here, not at their own.
        hurried = [group | {"interval": "1s"} for group in self.rules["groups"]]
        (self.directory / "rules.yaml").write_text(yaml.safe_dump({"groups": hurried}))
        configuration = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": "pollux", "static_configs": pods, "relabel_configs": relabelings},
                {"job_name": "redis", "static_configs": redis},
            ],
        }
        file.write_text(yaml.safe_dump(configuration))
        storage = f"--storage.tsdb.path={self.directory / 'tsdb'}"
        listen = f"--web.listen-address=127.0.0.1:{port}"
        self.run(port, "prometheus", "prometheus", f"--config.file={file}", storage, listen)
        return port

    def start_replica(self, pod):
        gateway, admin = self.ports[pod]
        outside = {
            "POLLUX__REDIS__URL": self.redis,
            "POLLUX__GATEWAY__LISTEN": f"127.0.0.1:{gateway}",
            "POLLUX__ADMIN__LISTEN": f"127.0.0.1:{admin}",
        }
        _, self.replicas[pod] = self.release.start_replica("prod-pollux", pod, **outside)

    def leader(self, other_than=None):
        """Waits until the replicas that answer agree on a leader. Gives its name."""

        def agreed():
            said = {self.says(pod) for pod in PODS} - {None}
            return len(said) == 1 and said != {other_than} and said.pop()

        return eventually("all agree on a leader", agreed, PATIENCE)

    def says(self, pod):
        """Who leads, as a replica says; None while it does not answer."""
        with contextlib.suppress(OSError, KeyError, TypeError):
            url = f"http://127.0.0.1:{self.ports[pod][1]}/v1/cluster"
            return get(url)["leader"]["replica"]

    def crash(self):
        """Kills the leader, and starts it again once it has a successor."""
        leader = self.leader()
        self.replicas[leader].kill()
        self.replicas[leader].wait()
        self.leader(other_than=leader)
        self.start_replica(leader)

    def hand_over(self):
        """Ends the leader as a roll-out does, and starts it again."""
        leader = self.leader()
        stop(self.replicas[leader])
        self.leader(other_than=leader)
        self.start_replica(leader)

    def restart_redis(self):
        """Ends Redis as a roll-out does, starts it again with its data, and waits until polls go on."""
        moment = time.time()
        self.release.restart_redis()
        self.until(f"redis_start_time_seconds > {moment - 1.5}")
        self.leader()
        self.until("min(timestamp(pollux_endpoint_age_seconds)) > %.3f" % time.time())
        self.until("max(pollux_endpoint_age_seconds{endpoint='changing'}) < 1")

    def settle(self, seconds):
        """Waits until Prometheus has seen the present leader lead for so long."""

        def led():
            series = f'pollux_is_leader{{pod="{self.leader()}"}}'
            since = f"{series} offset {seconds}s == 1"
            return self.now(f"min_over_time({series}[{seconds}s]) == 1 and {since}")

        eventually(f"a replica leads for {seconds} s", led, PATIENCE)

    def until(self, expression):
        """Waits until Prometheus has something that fulfils an expression."""
        eventually(f"Prometheus sees {expression}", lambda: self.now(expression), PATIENCE)

    def load(self):
        """Readers of all kinds, until the end."""
        for pod in PODS:
            self.spawn(self.follow, pod, "endpoint=changing&endpoint=same")
        for pod in PODS[:2]:
            self.spawn(self.follow, pod, "endpoint=large&endpoint=tagged")
            self.spawn(self.follow, pod, "endpoint=large", slow=True)
            self.spawn(self.read, pod)

    def spawn(self, task, *arguments, **more):
        threading.Thread(target=task, args=arguments, kwargs=more, daemon=True).start()

    def follow(self, pod, query, slow=False):
        """Holds a stream, and opens it anew when it breaks; a slow reader takes 100 KB a second."""
        while not self.ended.wait(0.1):
            with contextlib.suppress(OSError), socket.socket() as connection:
                if slow:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                connection.settimeout(30)
                connection.connect(("127.0.0.1", self.ports[pod][0]))
                connection.sendall(f"GET /v1/stream?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                while connection.recv(10_000 if slow else 1_000_000):
                    if self.ended.wait(0.1 if slow else 0):
                        return

    def read(self, pod):
        """Reads an endpoint that stays the same five times a second, by what it has."""
        tag = {}
        while not self.ended.wait(0.2):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", self.ports[pod][0], timeout=5)
                connection.request("GET", "/v1/endpoints/same", headers=tag)
                answer = connection.getresponse()
                answer.read()
                tag = {"If-None-Match": answer.headers["ETag"]} if answer.headers["ETag"] else {}
                connection.close()

    def redis_counts(self):
        """What this Redis counts, as its own text."""
        port = urllib.parse.urlsplit(self.redis).port
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(f"AUTH {self.password}\r\nINFO stats\r\nQUIT\r\n".encode())
            text = b""
            while more := connection.recv(65536):
                text += more
        return text.decode()

    def ask(self, path, **parameters):
        """What Prometheus' API answers."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        return get(f"{self.prometheus}/api/v1/{path}?{query}")["data"]

    def now(self, expression):
        """The values of an expression at this moment, with their labels."""
        found = self.ask("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def since_the_start(self, expression):
        """All values of an expression, a second apart, with their labels."""
        span = {"start": self.began, "end": time.time(), "step": 1}
        found = self.ask("query_range", query=expression, **span)["result"]
        return [(one["metric"], [float(value) for _, value in one["values"]]) for one in found]


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)
