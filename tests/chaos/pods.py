"""Pods of a rendered release as processes of this machine, each with process ids of its own, as a kubelet
runs them: restarted when they end, replaced when they are deleted."""

import contextlib
import copy
import datetime
import itertools
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import uuid

from machine import answers, cluster, eventually, free_port


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def state_of(pid):
    """A process's state as in /proc: T where it is stopped; nothing where it is gone."""
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return None


def child_of(process):
    """The only child of a process that was started."""
    path = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return int(eventually("its child is there", lambda: path.read_text().split())[0])


class Gate:
    """The way from one pod to Redis: while it is shut, nothing passes, and nobody is told."""

    def __init__(self, port):
        self.target, self.open = port, threading.Event()
        self.open.set()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self.server.accept()
                threading.Thread(target=self.serve, args=(inner,), daemon=True).start()

    def serve(self, inner):
        with contextlib.suppress(OSError), inner:
            self.open.wait()
            with socket.create_connection(("127.0.0.1", self.target), 5) as outer:
                outer.settimeout(None)
                back = threading.Thread(target=self.pass_on, args=(outer, inner), daemon=True)
                back.start()
                self.pass_on(inner, outer)
                back.join()

    def pass_on(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.open.wait()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.open.set()
        self.server.close()


class Pod:
    """One pod: its object, and the process of its first container."""

    def __init__(self, kubelet, name, template, kind):
        self.kubelet, self.name, self.kind = kubelet, name, kind
        self.log = kubelet.directory / f"{name}.log"
        self.ephemeral, self.restarts, self.last, self.going = {}, 0, {}, False
        spec = copy.deepcopy(template["spec"])
        labels = dict(template["metadata"]["labels"])
        self.object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": kubelet.namespace,
                "uid": str(uuid.uuid4()),
                "labels": labels,
                "resourceVersion": "1",
                "creationTimestamp": now(),
            },
            "spec": {**spec, "nodeName": "node"},
            "status": {},
        }
        self.shared = spec.get("shareProcessNamespace", False)
        self.gate = Gate(kubelet.redis_port)
        self.port = free_port()
        self.pause = None
        if self.shared:
            self.pause = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sleep", "infinity"]
            )
            self.pause_pid = child_of(self.pause)
        self.start()
        threading.Thread(target=self.keep, daemon=True).start()

    def enter(self, command):
        return ["nsenter", f"--target={self.pause_pid}", "--pid", "--mount", "--", *command]

    def start(self):
        command, variables = self.kubelet.command(self)
        wrapped = (
            self.enter(command)
            if self.shared
            else ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
        )
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                wrapped, env={"PATH": os.environ["PATH"], **variables}, stdout=log, stderr=log
            )
        self.pid = child_of(self.process)

    def keep(self):
        """Starts the container again when it ends, as the kubelet does."""
        while not self.going:
            # nsenter stops with what it runs, and goes on when it is told to alone.
            if state_of(self.process.pid) == "T" and state_of(self.pid) != "T":
                self.process.send_signal(signal.SIGCONT)
            if self.process.poll() is not None and not self.going:
                code = self.process.returncode
                self.last = {"terminated": {"exitCode": 128 - code if code < 0 else code, "reason": "Error"}}
                time.sleep(self.kubelet.restart_after)
                self.start()
                self.restarts += 1
            time.sleep(0.02)

    def ready(self):
        if self.kind == "StatefulSet":
            return answers(self.kubelet.redis_port)
        return self.process.poll() is None and answers(self.port)

    def status(self):
        ready = str(self.ready() and not self.going)
        running = {"running": {"startedAt": now()}}
        container = self.object["spec"]["containers"][0]["name"]
        return {
            "phase": "Running",
            "podIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [
                {
                    "name": container,
                    "restartCount": self.restarts,
                    "state": running,
                    "lastState": self.last,
                    "ready": ready == "True",
                }
            ],
            "ephemeralContainerStatuses": [
                {"name": name, "state": one["state"]()} for name, one in self.ephemeral.items()
            ],
        }

    def shown(self):
        return {**self.object, "status": self.status()}

    def add_ephemeral(self, container):
        name, log = container["name"], self.kubelet.directory / f"{self.name}-{container['name']}.log"
        if container["image"] not in self.kubelet.images:
            self.ephemeral[name] = {"log": None, "state": lambda: {"waiting": {"reason": "ImagePullBackOff"}}}
            return
        command = container["command"]
        # Without a process namespace of the pod it sees its own processes alone.
        wrapped = (
            self.enter(command)
            if self.shared
            else ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
        )
        with open(log, "w") as out:
            process = subprocess.Popen(wrapped, stdout=out, stderr=out)
        self.kubelet.children.append(process)

        def state():
            return (
                {"running": {}}
                if process.poll() is None
                else {"terminated": {"exitCode": process.returncode}}
            )

        self.ephemeral[name] = {"log": log, "state": state}

    def end(self):
        """By SIGTERM, and by SIGKILL if that takes too long; then nothing is left of it."""
        self.going = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
            os.kill(self.pid, signal.SIGCONT)
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.destroy()

    def destroy(self):
        self.going = True
        for process in [self.process, self.pause]:
            if process is not None:
                process.kill()
                process.wait()
        self.gate.stop()


class Kubelet:
    """All pods of one release: three replicas and an embedded Redis."""

    def __init__(self, directory, pollux, objects, namespace, config):
        self.directory, self.pollux, self.namespace = pathlib.Path(directory), pollux, namespace
        self.images, self.children, self.restart_after = {"busybox:1.36"}, [], 0.4
        self.redis_port, self.names, self.lock = free_port(), itertools.count(1), threading.RLock()
        self.pods, self.generation, self.enforces = {}, 1, True
        self.config = self.directory / "pollux.json"
        self.config.write_text(config)
        self.deployment = next(one for one in objects if one["kind"] == "Deployment")
        self.redis = next(one for one in objects if one["kind"] == "StatefulSet")
        self.replicas = self.deployment["spec"]["replicas"]

    def __enter__(self):
        self.add(self.redis, "StatefulSet", f"{self.redis['metadata']['name']}-0")
        eventually("Redis answers", lambda: answers(self.redis_port))
        for _ in range(self.replicas):
            self.add_replica()
        eventually("all see one leader, and fresh data", self.is_well)
        return self

    def __exit__(self, *_):
        for pod in list(self.pods.values()):
            pod.destroy()
        for process in self.children:
            process.kill()
            process.wait()

    def command(self, pod):
        """What runs in a pod, and its variables."""
        if pod.kind == "StatefulSet":
            data = self.directory / "redis"
            data.mkdir(exist_ok=True)
            port = ["--port", str(self.redis_port), "--bind", "127.0.0.1"]
            return [
                "redis-server",
                *port,
                "--appendonly",
                "yes",
                "--dir",
                str(data),
                "--loglevel",
                "warning",
            ], {}
        variables = {
            "POLLUX__REPLICA": pod.name,
            "POLLUX__ADMIN__LISTEN": f"127.0.0.1:{pod.port}",
            "POLLUX__GATEWAY__LISTEN": "127.0.0.1:0",
            "POLLUX__REDIS__URL": f"redis://127.0.0.1:{pod.gate.port}",
        }
        return [self.pollux, "run", "--config", str(self.config)], variables

    def add(self, owner, kind, name):
        pod = Pod(self, name, owner["spec"]["template"], kind)
        with self.lock:
            self.pods[name] = pod
        return pod

    def add_replica(self):
        suffix = f"{next(self.names):05d}"
        return self.add(self.deployment, "Deployment", f"{self.deployment['metadata']['name']}-{suffix}")

    def delete(self, name):
        """As its owner and the kubelet do: another comes, and it goes."""
        pod = self.pods[name]
        if "deletionTimestamp" in pod.object["metadata"]:
            return
        pod.object["metadata"]["deletionTimestamp"] = now()

        def replace():
            if pod.kind == "Deployment":
                self.add_replica()
            pod.end()
            with self.lock:
                del self.pods[name]
            if pod.kind == "StatefulSet":
                self.add(self.redis, "StatefulSet", name)

        threading.Thread(target=replace, daemon=True).start()

    def roll(self):
        """Replaces one pod after the other, the new one first."""
        self.generation += 1
        generation = self.generation

        def replace():
            for old in [pod for pod in self.pods.values() if pod.kind == "Deployment"]:
                new = self.add_replica()
                new.generation = generation
                eventually("the new pod is ready", new.ready)
                old.object["metadata"]["deletionTimestamp"] = now()
                old.end()
                with self.lock:
                    del self.pods[old.name]

        threading.Thread(target=replace, daemon=True).start()

    def deployment_status(self):
        pods = [pod for pod in self.pods.values() if pod.kind == "Deployment"]
        updated = [
            pod for pod in pods if getattr(pod, "generation", 1) == self.generation or self.generation == 1
        ]
        return {
            "observedGeneration": self.generation,
            "replicas": len(pods),
            "updatedReplicas": len(updated),
            "readyReplicas": len(pods),
            "availableReplicas": sum(pod.ready() for pod in updated),
        }

    def replica_pods(self):
        return [pod for pod in self.pods.values() if pod.kind == "Deployment"]

    def is_well(self):
        reports = [cluster(f"http://127.0.0.1:{pod.port}") for pod in self.replica_pods()]
        if len(reports) != self.replicas or not all(
            report and report["leader"] and report["endpoints"] for report in reports
        ):
            return False
        fresh = all(one["version"] and not one["stale"] for report in reports for one in report["endpoints"])
        return fresh and len({report["leader"]["replica"] for report in reports}) == 1

    def leader(self):
        def found():
            for pod in self.replica_pods():
                report = cluster(f"http://127.0.0.1:{pod.port}")
                if report and report["leader"] and report["leader"]["replica"] in self.pods:
                    return self.pods[report["leader"]["replica"]]
            return None

        return eventually("a leader", found)
