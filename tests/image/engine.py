"""The image built and run by a Docker engine: compose.yaml's containers on a network of Docker's.

    engine.py FILES LAST        with the engine that the environment names
    engine.py FILES LAST --own  as root of a network and mounts of its own, with an engine for itself

FILES are the image's files, LAST a folder to build its last stage from (see dockerfile.py).
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import yaml
from support import check, eventually, get, get_json, metric, skip, version_of

REPLICAS = ("pollux-1", "pollux-2", "pollux-3")
# The whole image; the binary is nearly all of it.
MOST_BYTES = 30_000_000
WHAT = "the image under a Docker engine"
# What an engine puts into a container by itself.
ENGINES_OWN = {".dockerenv", "dev", "proc", "sys", "etc/hostname", "etc/hosts", "etc/mtab",
               "etc/resolv.conf", "dev/console", "dev/pts", "dev/shm"}


def docker(*arguments, fails=False, raw=False):
    """The output of a docker command; of one that must fail, what it says."""
    ended = subprocess.run(["docker", *arguments], capture_output=True, timeout=300)
    said = ended.stderr.decode()
    if fails:
        check(f"docker {arguments[0]} fails as it must", ended.returncode != 0, ended.stdout)
        return said
    check_silently(ended.returncode == 0, f"docker {' '.join(arguments)}: {said}")
    return ended.stdout if raw else ended.stdout.decode().strip()


def check_silently(holds, what):
    if not holds:
        sys.exit(f"FAILED  {what}")


def inspect(what):
    return json.loads(docker("inspect", what))[0]


class OwnEngine:
    """A Docker engine that nothing else knows of."""

    def __init__(self):
        self.at = Path(tempfile.mkdtemp(prefix="pollux-engine-"))
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        socket = f"unix://{self.at}/docker.sock"
        os.environ["DOCKER_HOST"] = socket
        os.environ.pop("DOCKER_CONTEXT", None)
        self.log = self.at / "log"
        command = ["dockerd", "--data-root", f"{self.at}/data", "--exec-root", f"{self.at}/exec",
                   "--pidfile", f"{self.at}/pid", "--host", socket, "--storage-driver", "vfs"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers_or_ended():
            version = subprocess.run(["docker", "version"], capture_output=True)
            return version.returncode == 0 or self.process.poll() is not None

        eventually("the engine answers", answers_or_ended)
        if self.process.poll() is not None:
            lines = self.log.read_text().strip().splitlines()
            self.end()
            skip(WHAT, f"dockerd cannot run here: {lines[-1] if lines else 'no reason given'}")

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.at, ignore_errors=True)


def build_image(last, tag):
    """The Dockerfile's last stage, and what it says of itself."""
    source, revision = "https://example.com/pollux", "0123abc"
    docker("build", "--quiet", "--tag", tag, "--build-arg", f"REVISION={revision}",
           "--build-arg", f"SOURCE={source}", last)
    image = inspect(tag)
    config = image["Config"]
    version = next(line.split('"')[1] for line in open("Cargo.toml") if line.startswith("version"))
    label = "org.opencontainers.image."
    labels = {"title": "Pollux", "licenses": "Apache-2.0", "source": source, "version": version,
              "revision": revision}
    for name, expected in labels.items():
        found = config["Labels"].get(label + name)
        check(f"its label {name} is {expected}", found == expected, found)
    check("it has a description", len(config["Labels"][label + "description"]) > 20)
    check("it is not root's", config["User"] == "65532:65532", config["User"])
    check("its entrypoint is the binary", config["Entrypoint"] == ["/pollux"], config["Entrypoint"])
    check("it runs a replica", config["Cmd"] == ["run", "--config", "/etc/pollux/pollux.yaml"])
    check("its ports are known", set(config["ExposedPorts"]) == {"8080/tcp", "9090/tcp"})
    check("the binary checks its health",
          config["Healthcheck"]["Test"] == ["CMD", *config["Entrypoint"], "health", *config["Cmd"][1:]])
    check("SIGTERM stops it", config["StopSignal"] == "SIGTERM")
    check("it is under 30 MB", image["Size"] < MOST_BYTES, image["Size"])
    print(f"        {image['Size'] / 1e6:.1f} MB")


def holds_nothing_else(tag, files):
    """No shell, and no file that the Dockerfile does not name."""
    container = docker("create", tag)
    tar = tarfile.open(fileobj=io.BytesIO(docker("export", container, raw=True)))
    docker("rm", container)
    found = {entry.name.rstrip("/") for entry in tar if not entry.isdir()} - ENGINES_OWN
    named = {str(path.relative_to(files)) for path in files.rglob("*") if path.is_file()}
    check("it holds the named files and no other", found == named, found ^ named)
    said = docker("run", "--rm", "--entrypoint", "/bin/sh", tag, "-c", "true", fails=True)
    check("it has no shell", "no such file" in said, said)
    check("its binary starts", docker("run", "--rm", tag, "--version").startswith("pollux "))


def redis_image(wanted, tag):
    """The Redis that compose.yaml names or, where it cannot be had, this machine's by that name's
    rules: a user `redis` that owns /data."""
    pulled = subprocess.run(["docker", "pull", "--quiet", wanted], capture_output=True, timeout=120)
    if pulled.returncode == 0:
        docker("tag", wanted, tag)
        return
    print(f"        {wanted} cannot be pulled: this machine's redis-server stands for it")
    with tempfile.TemporaryDirectory(prefix="pollux-redis-") as folder:
        root = Path(folder) / "root"
        for program in ("redis-server", "redis-cli"):
            # Not resolved: the server is a link whose name tells what it is.
            path = Path(shutil.which(program))
            libraries = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout
            needed = [word for word in libraries.split() if word.startswith("/")]
            for source in [path, *map(Path, needed)]:
                at = root / str(source).lstrip("/")
                at.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source.resolve(), at)
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/passwd").write_text("redis:x:999:999::/data:/sbin/nologin\n")
        (root / "etc/group").write_text("redis:x:999:\n")
        (Path(folder) / "data").mkdir()
        (Path(folder) / "Dockerfile").write_text(
            "FROM scratch\nCOPY root /\nCOPY --chown=999:999 data /data\n"
            "ENV PATH=/usr/bin\nVOLUME /data\nWORKDIR /data\n")
        docker("build", "--quiet", "--tag", tag, folder)


class Cluster:
    """The containers of compose.yaml, but for the images' names and the ports on this machine."""

    def __init__(self, image, redis, project):
        described = yaml.safe_load(Path("compose.yaml").read_text())
        for name, service in described["services"].items():
            service.pop("build", None)
            service["image"] = redis if name == "redis" else image
            ports = service.get("ports", [])
            service["ports"] = [f"127.0.0.1::{port.rsplit(':', 1)[1]}" for port in ports]
            service["volumes"] = [volume.replace("./", f"{Path.cwd()}/")
                                  for volume in service.get("volumes", [])]
        self.folder = tempfile.TemporaryDirectory(prefix="pollux-compose-")
        self.file = Path(self.folder.name) / "compose.yaml"
        self.file.write_text(yaml.safe_dump(described))
        self.project, self.services = project, described["services"]
        v2 = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
        self.command = ["docker", "compose"] if v2 else ["docker-compose"]

    def compose(self, *arguments):
        command = [*self.command, "-p", self.project, "-f", str(self.file), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
        check_silently(ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}")
        return ended.stdout.strip()

    def container(self, service):
        return self.compose("ps", "-q", service)

    def address(self, service, port):
        return "http://" + docker("port", self.container(service), f"{port}/tcp").splitlines()[0]

    def survey(self, service):
        return get_json(f"{self.address(service, 9090)}/v1/cluster")

    def leader(self, service):
        survey = self.survey(service)
        return survey["leader"] and survey["leader"]["replica"]

    def version(self, service):
        endpoints = get_json(f"{self.address(service, 8080)}/v1/endpoints")["endpoints"]
        return version_of(next(each["version"] for each in endpoints if each["name"] == "prices"))


def all_run(cluster):
    """Three replicas that work, of which one leads and each serves."""
    for service in (*REPLICAS, "redis"):
        container = cluster.container(service)
        state = lambda: inspect(container)["State"]  # noqa: E731
        eventually(f"{service} is healthy", lambda: state()["Health"]["Status"] == "healthy")
    check("the three replicas and Redis are healthy by their own checks", True)
    for service in REPLICAS:
        gateway = cluster.address(service, 8080)
        for endpoint in ("prices", "departures", "weather", "status"):
            eventually(f"{service} serves {endpoint}",
                       lambda: get(f"{gateway}/v1/endpoints/{endpoint}")[0] == 200)
    check("each serves the four endpoints, by the names of Docker's DNS", True)
    known = eventually("all three are known", lambda: {
        each["replica"] for each in cluster.survey("pollux-1")["replicas"]} == set(REPLICAS))
    leaders = {cluster.leader(service) for service in REPLICAS}
    check("they agree on one leader", known and len(leaders) == 1 and None not in leaders, leaders)


def kernel_status(facts):
    """What the kernel tells of a container's first process; `None` where this is not its machine."""
    at = Path(f"/proc/{facts['State']['Pid']}")
    if not at.exists() or facts["Id"] not in (at / "cgroup").read_text():
        return None
    lines = (at / "status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def all_are_confined(cluster):
    """Every container as the chart's pods are."""
    for service in cluster.services:
        facts = inspect(cluster.container(service))
        host, user = facts["HostConfig"], facts["Config"]["User"]
        published = {binding["HostIp"] for bindings in (host["PortBindings"] or {}).values()
                     for binding in bindings}
        for what, holds in {
            "its root is read-only": host["ReadonlyRootfs"],
            "it has no capability": host["CapDrop"] == ["ALL"] and not host["CapAdd"],
            "it cannot gain a privilege": "no-new-privileges:true" in (host["SecurityOpt"] or []),
            "it is not root": user == ("redis" if service == "redis" else "65532:65532"),
            "it starts again": host["RestartPolicy"]["Name"] == "unless-stopped",
            "its ports are this machine's alone": published <= {"127.0.0.1"},
        }.items():
            check_silently(holds, f"{service}: {what}: {host}")
        check(f"{service} is confined: root, capabilities, privileges, user, ports", True)
        status = kernel_status(facts)
        if status:
            none = status["CapEff"] == status["CapBnd"] == "0" * 16
            user = "0" not in status["Uid"].split()
            check(f"{service}: the kernel agrees", none and user and status["NoNewPrivs"] == "1", status)


def leaves_and_crashes(cluster):
    """The leader is stopped, comes back, and the next one is killed."""
    leader = cluster.leader("pollux-1")
    left = [service for service in REPLICAS if service != leader]
    before, container = cluster.version(left[0]), cluster.container(leader)
    docker("stop", "--time", "30", container)
    state = inspect(container)["State"]
    check("docker stop ends the leader with status 0", state["ExitCode"] == 0, state)
    successor = eventually("another leads", lambda: (now := cluster.leader(left[0])) != leader and now)
    taken = 'pollux_takeover_seconds_count{cause="released"}'
    metrics = get(f"{cluster.address(successor, 9090)}/metrics")[1].decode()
    check("it handed over", metric(metrics, taken) == 1, metrics)
    eventually("the data go on", lambda: cluster.version(left[0])[0] > before[0])
    check("the data go on after a handover", True)
    docker("start", container)
    eventually("it is back", lambda: inspect(container)["State"]["Health"]["Status"] == "healthy")

    killed, witness = successor, leader
    before = cluster.version(witness)
    docker("kill", cluster.container(killed))
    eventually("another leads", lambda: cluster.leader(witness) not in (killed, None))
    eventually("the data go on", lambda: cluster.version(witness)[0] > before[0])
    check("the data go on after a crash", True)


def hands_over_when_asked(cluster):
    """`step-down` inside a container, where the admin server takes it without a token."""
    before = cluster.leader("pollux-1")
    docker("exec", cluster.container("pollux-1"), "/pollux", "step-down")
    eventually("another leads", lambda: cluster.leader("pollux-1") not in (before, None))
    check("the leader steps down when a container is asked to", True)


def measure(cluster):
    for service in ("backend", *REPLICAS):
        status = kernel_status(inspect(cluster.container(service)))
        if status:
            print(f"        {service}: {status['VmRSS'].strip()} resident")


def prove(files, last):
    name = f"pollux-test-{os.getpid()}"
    image, redis = f"{name}-image", f"{name}-redis"
    build_image(last, image)
    cluster = None
    try:
        holds_nothing_else(image, Path(files))
        described = yaml.safe_load(Path("compose.yaml").read_text())
        redis_image(described["services"]["redis"]["image"], redis)
        cluster = Cluster(image, redis, name)
        cluster.compose("up", "--detach")
        all_run(cluster)
        all_are_confined(cluster)
        measure(cluster)
        hands_over_when_asked(cluster)
        leaves_and_crashes(cluster)
    except BaseException:
        if cluster:
            print(cluster.compose("logs", "--no-color", "--tail", "10"))
        raise
    finally:
        if cluster:
            cluster.compose("down", "--volumes", "--timeout", "30")
        for tag in (image, redis):
            subprocess.run(["docker", "rmi", "--force", tag], capture_output=True)


def main():
    files, last, *own = sys.argv[1:]
    engine = OwnEngine() if own == ["--own"] else None
    try:
        prove(files, last)
    finally:
        if engine:
            engine.end()


if __name__ == "__main__":
    main()
