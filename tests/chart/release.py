"""A rendered release as processes on this machine: pods become processes, Secrets and ConfigMaps files."""

import base64
import contextlib
import functools
import http.server
import itertools
import json
import pathlib
import re
import signal
import socket
import socketserver
import subprocess
import threading
import time

from chart import find

#: Where pods find their files.
CONFIG, SECRETS, REDIS_CONFIG, REDIS_SECRETS = (
    "/etc/pollux",
    "/run/secrets/pollux",
    "/etc/redis",
    "/run/secrets/redis",
)
PATIENCE = 20


def eventually(what, attempt, within=PATIENCE):
    """The first true result of `attempt`, within so many seconds."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        result = attempt()
        if result:
            return result
        time.sleep(0.02)
    raise AssertionError(f"not within {within} s: {what}")


class Release:
    """Lays out a release's files below a directory, and runs its pods there until it is left."""

    def __init__(self, objects, directory, pollux):
        self.objects, self.pollux = objects, pollux
        self.directory = pathlib.Path(directory)
        self.processes, self.running = [], contextlib.ExitStack()
        self.secrets = {}
        for one in objects:
            if one["kind"] == "Secret":
                data = {key: base64.b64decode(text).decode() for key, text in one["data"].items()}
                self.secrets[one["metadata"]["name"]] = data

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.running.close()

    def files(self, pod):
        """Writes what a pod mounts. Gives the directories by where they are in the pod."""
        places = {}
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for mount in pod["containers"][0].get("volumeMounts", []):
            place = self.directory / f"{len(list(self.directory.iterdir()))}-{mount['name']}"
            place.mkdir()
            places[mount["mountPath"]] = place
            for name, text in self.contents(volumes.get(mount["name"], {})).items():
                (place / name).write_text(text)
        for place in places.values():
            for path in place.iterdir():
                path.write_text(self.local(path.read_text(), places))
        return places

    def contents(self, volume):
        """The files of a volume."""
        if "configMap" in volume:
            return dict(find(self.objects, "ConfigMap", volume["configMap"]["name"])["data"])
        if "secret" in volume:
            return self.secrets[volume["secret"]["secretName"]]
        files = {}
        for source in volume.get("projected", {}).get("sources", []):
            missing = {} if source["secret"].get("optional") else None
            data = self.secrets.get(source["secret"]["name"], missing)
            assert data is not None, f"no Secret {source['secret']['name']}"
            chosen = source["secret"].get("items", [{"key": key, "path": key} for key in data])
            files |= {item["path"]: data[item["key"]] for item in chosen}
        return files

    def local(self, text, places):
        for inside, place in places.items():
            text = re.sub(rf"{re.escape(inside)}(?=[/\s]|$)", str(place), text)
        return text

    def variables(self, pod):
        """A container's variables, where Secrets are filled in."""
        given = {"PATH": "/usr/bin:/bin", "POD_IP": "127.0.0.1"}
        for variable in pod["containers"][0].get("env", []):
            source = variable.get("valueFrom", {})
            if "secretKeyRef" in source:
                reference = source["secretKeyRef"]
                given[variable["name"]] = self.secrets[reference["name"]][reference["key"]]
            elif "value" in variable:
                value = variable["value"]
                given[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda name: given[name[1]], value)
        return given

    def command(self, pod, places):
        (container,) = pod["containers"]
        program = container.get("command", [self.pollux])
        return [self.local(part, places) for part in [*program, *container.get("args", [])]]

    def start(self, pod, log, more_arguments=(), **variables):
        """Starts a pod that stays."""
        command = [*self.command(pod, self.files(pod)), *more_arguments]
        return self.launch(command, {**self.variables(pod), **variables}, log)

    def launch(self, command, environment, log):
        process = subprocess.Popen(
            command, env=environment, stdout=open(log, "w"), stderr=subprocess.STDOUT
        )
        # As it is started again by the kubelet: with the same files.
        process.again = functools.partial(self.launch, command, environment, log)
        self.processes.append(process)
        return process

    def run(self, pod, replace=(), **variables):
        """Runs a pod that ends. Gives its status and what it said."""
        places = self.files(pod)
        command = self.command(pod, places)
        for old, new in replace:
            assert any(old in part for part in command), command
            command = [part.replace(old, new) for part in command]
        done = subprocess.run(
            command,
            env={**self.variables(pod), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=90,
        )
        return done.returncode, done.stdout

    def start_redis(self, **changes):
        """Starts the embedded Redis on a port of its own, with changes to its settings. Gives its URL."""
        pod = find(self.objects, "StatefulSet")["spec"]["template"]["spec"]
        log = self.directory / "redis.log"
        for _ in range(5):
            port = free_port()
            more = ["--port", str(port), "--bind", "127.0.0.1"]
            for name, value in changes.items():
                more += [f"--{name.replace('_', '-')}", *value.split()]
            process = self.start(pod, log, more)
            ready = eventually(
                "redis-server answers or ends", lambda: process.poll() is not None or answers(port)
            )
            if ready and process.poll() is None:
                self.redis = process
                return f"redis://127.0.0.1:{port}"
        raise AssertionError(log.read_text())

    def restart_redis(self):
        """Ends the embedded Redis as the kubelet does, and starts it again where it was, with its data."""
        stop(self.redis)
        self.redis = self.redis.again()

    def start_replica(self, deployment, name, **variables):
        """Starts one pod of a Deployment. Gives its admin address."""
        pod = find(self.objects, "Deployment", deployment)["spec"]["template"]["spec"]
        log = self.directory / f"{name}.log"
        local = {
            "POLLUX__REPLICA": name,
            "POLLUX__ADDRESS": "http://127.0.0.1:0",
            "POLLUX__ADMIN__LISTEN": "127.0.0.1:0",
            "POLLUX__GATEWAY__LISTEN": "127.0.0.1:0",
        }
        process = self.start(pod, log, **{**local, **variables})

        def started():
            assert process.poll() is None, log.read_text()
            for line in log.read_text().splitlines():
                if '"pollux starts"' in line and line.endswith("}"):
                    fields = json.loads(line)
                    return "http://" + fields.get("fields", fields)["admin"]
            return None

        return eventually(f"{name} starts", started), process

    def service(self, addresses):
        """An address behind which each connection leads to the next of these. Gives its URL."""
        ports = itertools.cycle([int(address.rsplit(":", 1)[1]) for address in addresses])

        class Connection(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.create_connection(("127.0.0.1", next(ports))) as behind:
                    back = threading.Thread(target=pass_on, args=(behind, self.request), daemon=True)
                    back.start()
                    pass_on(self.request, behind)
                    back.join()

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Connection)
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.running.callback(server.server_close)
        self.running.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_address[1]}"

    def serve(self, answer):
        """Serves `answer()` as JSON at any path. Gives its URL."""

        class Backend(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(answer()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.running.callback(server.server_close)
        self.running.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}/"


def pass_on(source, target):
    """Passes on what one end of a connection says until it has said all."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def stop(process):
    """Ends a process as the kubelet does. Gives how long it took, in seconds."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    return time.monotonic() - began


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
