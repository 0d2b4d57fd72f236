"""The image's files alone, run as a container would run them, without an engine.

Runs as root of a network of its own: `unshare --net sandbox.py FILES`. In it are a DNS server, a
Redis, and a backend over https; each replica is process 1 of an empty root with nothing but FILES,
read-only, as user 65532, without a capability.
"""

import http.server
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from support import check, eventually, get, get_json, metric, skip, version_of

USER = "65532"
VERSION = next(line.split('"')[1] for line in open("Cargo.toml") if line.startswith("version"))
# Those of the resolver: the first by DNS, the second by /etc/hosts alone.
RESOLV_CONF = "search cluster.test\nnameserver 127.0.0.1\noptions ndots:5\n"
HOSTS = "127.0.0.1 localhost\n127.0.0.1 backend.hosts\n"
CONFIG = """
cluster: sandbox
redis: {url: "redis://redis.dns:6379"}
endpoints:
  - {name: plain, url: "http://backend.hosts:9000/prices", every: 200ms}
  - {name: secure, url: "https://secure.dns:9443/", every: 200ms}
"""


class Sandbox:
    """The folder with the root of all replicas, and what runs beside them."""

    def __init__(self, files):
        # Readable for user 65532, which the repository may not be.
        self.at = Path(tempfile.mkdtemp(prefix="pollux-image-"))
        self.at.chmod(0o755)
        self.root = self.at / "root"
        shutil.copytree(files, self.root)
        # An engine makes these places of mounts itself.
        for folder in ("dev", "proc", "etc/pollux"):
            (self.root / folder).mkdir()
        for name, text in (("hosts", HOSTS), ("resolv.conf", RESOLV_CONF)):
            (self.root / "etc" / name).touch()
            (self.at / name).write_text(text)
        (self.at / "config").mkdir()
        (self.at / "config/pollux.yaml").write_text(CONFIG)
        self.started = []

    def beside(self, *command):
        """Starts a server; its output is in a file of its name."""
        log = open(self.at / f"{Path(command[0]).name}.log", "w")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.started.append(process)

    def command(self, *arguments, binds=(), environment=None, told=None):
        """The command that runs the binary with these arguments in the empty root."""
        command = []
        if os.getuid() == 0 and os.environ.get("POLLUX_SANDBOX_MAPPED") is None:
            command += ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs"]
        command += ["bwrap", "--ro-bind", str(self.root), "/", "--dev", "/dev", "--proc", "/proc"]
        mounts = [("config", "/etc/pollux"), ("hosts", "/etc/hosts"),
                  ("resolv.conf", "/etc/resolv.conf"), *binds]
        for source, target in mounts:
            command += ["--ro-bind", str(self.at / source), target]
        command += ["--unshare-user", "--uid", USER, "--gid", USER, "--unshare-pid", "--unshare-ipc",
                    "--unshare-uts", "--as-pid-1", "--cap-drop", "ALL", "--die-with-parent", "--clearenv"]
        for name, value in (environment or {}).items():
            command += ["--setenv", name, value]
        if told is not None:
            command += ["--info-fd", str(told)]
        return [*command, "/pollux", *arguments]

    def run(self, *arguments, environment=None):
        """Runs a command to its end."""
        command = self.command(*arguments, environment=environment)
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    def end(self):
        for process in self.started:
            process.kill()
            process.wait()
        shutil.rmtree(self.at, ignore_errors=True)


class Replica:
    """A replica as process 1 of its sandbox."""

    def __init__(self, sandbox, name, port, environment=None, binds=()):
        self.name, self.gateway, self.admin = name, f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"
        self.log = sandbox.at / f"{name}.log"
        told, tell = os.pipe()
        environment = {
            "POLLUX__REPLICA": name,
            "POLLUX__GATEWAY__LISTEN": self.gateway,
            "POLLUX__ADMIN__LISTEN": self.admin,
            "RUST_LOG": "info",
            **(environment or {}),
        }
        command = sandbox.command("run", "--config", "/etc/pollux/pollux.yaml", binds=binds,
                                  environment=environment, told=tell)
        self.began = time.monotonic()
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            pass_fds=[tell])
        os.close(tell)
        sandbox.started.append(self.process)
        with os.fdopen(told) as told:
            self.pid = json.load(told)["child-pid"]
        eventually(f"{name} lives", lambda: get(f"http://{self.admin}/livez")[0] == 200)
        self.alive_after = time.monotonic() - self.began

    def status(self):
        """Facts of the process, as the kernel tells them."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def leader(self):
        cluster = get_json(f"http://{self.admin}/v1/cluster")
        return cluster["leader"] and cluster["leader"]["replica"]

    def serves(self, endpoint):
        return eventually(f"{self.name} serves {endpoint}",
                          lambda: get(f"http://{self.gateway}/v1/endpoints/{endpoint}")[0] == 200)

    def version(self, endpoint):
        endpoints = get_json(f"http://{self.gateway}/v1/endpoints")["endpoints"]
        found = next(each for each in endpoints if each["name"] == endpoint)
        return version_of(found["version"])

    def metrics(self):
        return get(f"http://{self.admin}/metrics")[1].decode()

    def stop(self):
        """SIGTERM, to process 1 itself; its exit status."""
        os.kill(self.pid, signal.SIGTERM)
        return self.process.wait(timeout=30)


class Changing(http.server.BaseHTTPRequestHandler):
    """Answers with another document each time."""

    def do_GET(self):
        body = json.dumps({"now": time.monotonic_ns()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    """Says nothing of clients that refuse its certificate."""

    def handle_error(self, *_):
        pass


def certificates(sandbox):
    """An authority, and a certificate of secure.dns."""
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=sandbox.at, check=True, capture_output=True)

    (sandbox.at / "extensions").write_text("subjectAltName=DNS:secure.dns\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=Authority of the test", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=secure.dns")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", "server.pem", "-days", "2", "-extfile", "extensions")
    standard = (sandbox.root / "etc/ssl/certs/ca-certificates.crt").read_text()
    (sandbox.at / "bundle.pem").write_text(standard + (sandbox.at / "ca.pem").read_text())


def serve_beside(sandbox):
    """DNS, Redis, and the backend over https."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    sandbox.beside("dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                   "--user=root", "--group=root", "--listen-address=127.0.0.1", "--bind-interfaces",
                   "--log-queries", "--pid-file=", "--local=/#/", "--address=/dns/127.0.0.1")
    sandbox.beside("redis-server", "--save", "", "--dir", str(sandbox.at))
    certificates(sandbox)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sandbox.at / "server.pem", sandbox.at / "server.key")
    server = Quiet(("127.0.0.1", 9443), Changing)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sandbox.beside(*sandbox.command("demo", "--backend", "127.0.0.1:9000"))
    eventually("the backend answers", lambda: get("http://127.0.0.1:9000/prices")[0] == 200)


def commands_work(sandbox):
    ended = sandbox.run("--version")
    check("pollux --version", ended.stdout.strip() == f"pollux {VERSION}", ended.stdout + ended.stderr)
    ended = sandbox.run("check", "--config", "/etc/pollux/pollux.yaml")
    check("pollux check", ended.returncode == 0, ended.stderr)
    ended = sandbox.run("preflight", "--config", "/etc/pollux/pollux.yaml")
    check("pollux preflight finds Redis by a name of DNS", ended.returncode == 0, ended.stderr)
    ended = sandbox.run("health", "--url", "http://127.0.0.1:8091")
    check("pollux health fails where no replica is", ended.returncode == 1, ended.stderr)


def is_confined(replica):
    status = replica.status()
    user = status["Uid"].split()
    if os.environ.get("POLLUX_SANDBOX_MAPPED") is None:
        check("it runs as user 65532", set(user) == {USER}, user)
    check("it is process 1", status["NSpid"].split()[-1] == "1", status["NSpid"])
    none = {status[each] for each in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")}
    check("it has no capability", none == {"0" * 16}, none)
    check("it cannot gain a privilege", status["NoNewPrivs"] == "1")
    mounts = [line.split() for line in open(f"/proc/{replica.pid}/mountinfo")]
    root = next(fields for fields in mounts if fields[4] == "/")
    check("its root is read-only", "ro" in root[5].split(","), root)


def names_and_certificates(sandbox):
    """One replica after another, so that each is the one that polls."""
    stranger = Replica(sandbox, "stranger", 8080)
    print(f"        /livez {stranger.alive_after * 1000:.0f} ms after the start of its sandbox")
    stranger.serves("plain")
    check("a backend is found by a name of /etc/hosts", True)
    failed = 'pollux_poll_failures_total{endpoint="secure",kind="tls"}'
    eventually("https without the authority fails", lambda: metric(stranger.metrics(), failed) > 0)
    check("https is refused where the authority is not known", True)
    is_confined(stranger)
    print(f"        resident memory, idle: {stranger.status()['VmRSS'].strip()}")
    ended = sandbox.run("health", "--url", f"http://{stranger.admin}")
    check("pollux health asks it", ended.returncode == 0, ended.stderr)
    ended = sandbox.run("status", "--url", f"http://{stranger.admin}")
    check("pollux status asks it", ended.returncode == 0 and "stranger" in ended.stdout, ended.stderr)
    check("SIGTERM ends it with status 0", stranger.stop() == 0, stranger.log.read_text())

    named = Replica(sandbox, "named", 8082, {"SSL_CERT_FILE": "/etc/pollux-ca.pem"},
                    [("ca.pem", "/etc/pollux-ca.pem")])
    named.serves("secure")
    check("https works with the authorities of SSL_CERT_FILE, by a name of DNS", True)

    bundled = Replica(sandbox, "bundled", 8084, binds=[
        ("bundle.pem", "/etc/ssl/certs/ca-certificates.crt")])
    bundled.serves("secure")
    before = bundled.version("secure")
    eventually("bundled stands by", lambda: get(f"http://{bundled.admin}/readyz")[0] == 200)
    check("another replica leads", bundled.leader() == "named", bundled.leader())
    check("SIGTERM ends the leader with status 0", named.stop() == 0, named.log.read_text())
    eventually("bundled leads", lambda: bundled.leader() == "bundled", within=5)
    taken = 'pollux_takeover_seconds_count{cause="released"}'
    check("it handed over", metric(bundled.metrics(), taken) == 1, bundled.metrics())
    eventually("its data go on", lambda: bundled.version("secure")[0] > before[0])
    check("https works with the image's own bundle of authorities", True)
    check("SIGTERM ends the last one with status 0", bundled.stop() == 0, bundled.log.read_text())


def main():
    sandbox = Sandbox(Path(sys.argv[1]))
    (sandbox.root / "etc/pollux-ca.pem").touch()
    try:
        tried = sandbox.run("--help")
        cannot = tried.stderr.startswith(("bwrap:", "setpriv:")) and "execvp /pollux" not in tried.stderr
        if cannot:
            skip("the files in an empty root", tried.stderr.strip())
        check("the binary runs in an empty root", tried.returncode == 0, tried.stderr)
        serve_beside(sandbox)
        commands_work(sandbox)
        names_and_certificates(sandbox)
        asked = (sandbox.at / "dnsmasq.log").read_text()
        check("DNS was asked for Redis and for the backend",
              "redis.dns" in asked and "secure.dns" in asked, asked)
        check("DNS was not needed for the name of /etc/hosts", "backend.hosts" not in asked, asked)
    except SystemExit:
        for log in sandbox.at.glob("*.log"):
            print(f"-- {log.name}", *log.read_text().splitlines()[-5:], sep="\n")
        raise
    finally:
        sandbox.end()


if __name__ == "__main__":
    main()
