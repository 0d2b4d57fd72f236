"""Replicas, their Redis and a backend as processes of this machine, and the scripts run against them."""

import contextlib
import http.server
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHAOS = ROOT / "chaos"
#: As scripts end.
VALID, INVALID, USAGE, UNKNOWN = 0, 1, 2, 3
PATIENCE = 30


def eventually(what, attempt, within=PATIENCE):
    """The first true result of `attempt`, within so many seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        result = attempt()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"not within {within} s: {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def cluster(admin):
    """What a replica says of the cluster; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"{admin}/v1/cluster", timeout=2) as answer:
            return json.load(answer)
    except OSError:
        return None


class Backend:
    """Answers each request with another number, or none, while `down`."""

    def __init__(self):
        numbers, self.down = itertools.count(), False
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(next(numbers)).encode()
                self.send_response(503 if backend.down else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def configuration(redis_port, backend, lease=2.0):
    """A replica's configuration: two endpoints, and timings of the lease as 6 : 4 : 1."""
    millis = int(lease * 1000)
    endpoints = [
        {"name": name, "url": backend + name, "every": "200ms", "stale_after": "3s"}
        for name in ("prices", "news")
    ]
    return json.dumps(
        {
            "cluster": "chaos",
            "redis": {"url": f"redis://127.0.0.1:{redis_port}"},
            "lease": {
                "duration": f"{millis}ms",
                "renew_deadline": f"{millis * 4 // 6}ms",
                "retry_period": f"{millis // 6}ms",
            },
            "drain": "1s",
            "endpoints": endpoints,
        }
    )


class Machine:
    """Three replicas with a lease of 2 s, started as an operator would, by name."""

    def __init__(self, directory, pollux, names=("castor", "pollux", "helena")):
        self.directory, self.pollux, self.names = pathlib.Path(directory), pollux, names
        self.backend = Backend()
        self.redis_port = free_port()
        self.admins = {name: f"http://127.0.0.1:{free_port()}" for name in names}
        self.processes = {}
        self.config = self.directory / "pollux.yaml"
        self.config.write_text(configuration(self.redis_port, self.backend.url))

    def __enter__(self):
        self.start_redis()
        for name in self.names:
            self.start(name)
        eventually("all see one leader, and fresh data", self.is_well)
        return self

    def __exit__(self, *_):
        for port in [self.redis_port, *(int(admin.rsplit(":", 1)[1]) for admin in self.admins.values())]:
            end_listener(port)
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.backend.stop()

    def redis_command(self):
        return [
            "redis-server",
            "--port",
            str(self.redis_port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--loglevel",
            "warning",
        ]

    def start_redis(self):
        with open(self.directory / "redis.log", "a") as log:
            self.processes["redis"] = subprocess.Popen(
                self.redis_command(), stdout=log, stderr=log, cwd=self.directory
            )
        eventually("Redis answers", lambda: answers(self.redis_port))

    def start(self, name, **variables):
        given = {
            "PATH": os.environ["PATH"],
            "POLLUX__REPLICA": name,
            "POLLUX__ADMIN__LISTEN": self.admins[name].removeprefix("http://"),
            "POLLUX__GATEWAY__LISTEN": "127.0.0.1:0",
        }
        with open(self.directory / f"{name}.log", "a") as log:
            self.processes[name] = subprocess.Popen(
                [self.pollux, "run", "--config", str(self.config)],
                env={**given, **variables},
                stdout=log,
                stderr=log,
            )

    def is_well(self):
        reports = [cluster(admin) for admin in self.admins.values()]
        if not all(report and report["leader"] and report["endpoints"] for report in reports):
            return False
        if any(one["version"] is None or one["stale"] for report in reports for one in report["endpoints"]):
            return False
        return len({report["leader"]["replica"] for report in reports}) == 1 and len(
            reports[0]["replicas"]
        ) == len(reports)

    def leader(self):
        return eventually(
            "a leader",
            lambda: next(
                (r["leader"]["replica"] for r in map(cluster, self.admins.values()) if r and r["leader"]),
                None,
            ),
        )

    def pid(self, name):
        """The process that listens at the replica's address now, whoever started it."""
        return listener(int(self.admins[name].rsplit(":", 1)[1]))

    def run(self, script, *options, **more):
        return run(script, "--local", "--admin", self.admins[self.names[0]], *options, **more)


def listener(port):
    """The process that listens at a port of this machine; nothing where none does."""
    inodes = set()
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[1].endswith(f":{port:04X}"):
            inodes.add(f"socket:[{fields[9]}]")
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for handle in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if os.readlink(handle) in inodes:
                        return int(process.name)
    return None


def end_listener(port):
    """Ends what a script started again."""
    pid = listener(port)
    if pid is not None and pid > 1 and pid != os.getpid():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        eventually(f"nobody listens at {port}", lambda: listener(port) != pid)


class Done:
    """How a script ended, what it said, and its report."""

    def __init__(self, process, output, errors, report):
        self.status, self.output, self.errors = process.returncode, output, errors
        path = pathlib.Path(report) / "report.json"
        self.report = json.loads(path.read_text()) if path.exists() else None
        record = pathlib.Path(report) / "record.jsonl"
        self.record = (
            [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
        )
        lines = output.splitlines()
        self.verdict = lines[-1] if lines else ""

    def __str__(self):
        return f"status {self.status}\n{self.output}{self.errors}"


def start(script, *options, report, **more):
    """Starts a script, away from any terminal. What it says is in `said(process)`."""
    # No look at the kubeconfig of whoever runs the tests.
    meanwhile = tempfile.TemporaryDirectory()
    environment = {**os.environ, "KUBECONFIG": "/dev/null", "TMPDIR": meanwhile.name, **more.pop("env", {})}
    command = [str(CHAOS / script), *options, "--report", str(report)]
    files = {name: tempfile.TemporaryFile("w+") for name in ("stdout", "stderr")}
    process = subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, "env": environment, **files, **more})
    process.files, process.meanwhile = files, meanwhile
    return process


def said(process, name="stderr"):
    """What a script has said so far."""
    return os.pread(process.files[name].fileno(), 1 << 20, 0).decode()


def finish(process, report, timeout=90):
    """Waits for a script's end."""
    try:
        process.wait(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"it does not end: {said(process, 'stdout')}{said(process)}") from None
    assert not os.listdir(process.meanwhile.name), "it removes what it made"
    return Done(process, said(process, "stdout"), said(process), report)


def run(script, *options, report, **more):
    """Runs a script to its end."""
    return finish(start(script, *options, report=report, **more), report)


def expect(done, status, *words):
    """A script ended so, with one line that says so and these words, and its report says the same."""
    kind = {VALID: "valid", INVALID: "invalid", UNKNOWN: "unknown"}[status]
    assert done.status == status, str(done)
    assert done.output.count("\n") == 1 and done.verdict == f"{kind}: {done.report['why']}", str(done)
    assert done.report["verdict"] == kind, str(done)
    for word in words:
        assert word in done.verdict, str(done)
