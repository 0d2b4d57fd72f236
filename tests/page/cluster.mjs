// A real Redis, a backend, and replicas, as processes of their own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect, createServer as createListener } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Long enough for a loaded machine; nothing waits for it but a failing test. */
export const DEADLINE = 20_000;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` yields something. */
export async function eventually(what, condition, within = DEADLINE) {
  const deadline = Date.now() + within;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${within} ms: ${what}`);
    await pause(20);
  }
}

async function freePort() {
  const listener = createListener().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}

const answers = (port) => new Promise((resolve) => {
  const socket = connect(port, "127.0.0.1");
  socket.once("connect", () => { socket.destroy(); resolve(true); });
  socket.once("error", () => resolve(false));
});

/** A backend whose answers the test decides. */
async function startBackend() {
  const state = { round: 0, failing: new Set() };
  const bodies = {
    prices: () => ({ unit: "EUR", instruments: [
      { name: "Copper", price: 9200 + state.round }, { name: "Cocoa", price: 6465 },
      { name: "Coffee", price: 3826 }, { name: "Wheat", price: 231 },
    ], round: state.round }),
    departures: () => ({ stop: "Harbour", line: 1 + (state.round % 7) }),
    weather: () => ({ condition: "clear", temperature: 10.4 }),
    status: () => ({ status: "normal", message: "All lines run as planned." }),
  };
  const server = createServer((request, response) => {
    const name = request.url.slice(1);
    if (state.failing.has(name)) {
      response.writeHead(503).end();
      return;
    }
    const body = JSON.stringify(bodies[name]?.() ?? { name });
    const etag = name === "status" ? "\"one\"" : null;
    if (etag && request.headers["if-none-match"] === etag) {
      response.writeHead(304).end();
      return;
    }
    response.writeHead(200, { "content-type": "application/json", ...(etag ? { etag } : {}) }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const timer = setInterval(() => { state.round += 1; }, 1500);
  const stop = () => { clearInterval(timer); server.closeAllConnections(); server.close(); };
  return { url: `http://127.0.0.1:${server.address().port}`, state, stop };
}

/** One `pollux run`. */
class Replica {
  constructor(name, directory, configuration) {
    this.name = name;
    this.log = join(directory, `${name}.log`);
    this.file = join(directory, `${name}.yaml`);
    writeFileSync(this.file, configuration);
    this.process = spawn(process.env.POLLUX, ["run", "--config", this.file], {
      env: {
        ...process.env, POLLUX__REPLICA: name,
        POLLUX__GATEWAY__LISTEN: "127.0.0.1:0", POLLUX__ADMIN__LISTEN: "127.0.0.1:0",
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const log = createWriteStream(this.log);
    this.process.stdout.pipe(log);
    this.process.stderr.pipe(log);
  }

  async started() {
    const line = await eventually(`${this.name} starts`, () => {
      const lines = readFileSync(this.log, { encoding: "utf8", flag: "a+" }).split("\n");
      return lines.find((text) => text.includes("\"pollux starts\""));
    });
    const event = JSON.parse(line);
    const { admin, gateway } = event.fields ?? event;
    this.admin = `http://${admin}`;
    this.gateway = `http://${gateway}`;
    return this;
  }

  /** Whether it still runs. */
  get lives() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  async report() {
    return (await fetch(`${this.admin}/v1/cluster`)).json();
  }

  async stop(signal) {
    if (!this.lives) return;
    const ended = once(this.process, "exit");
    this.process.kill(signal);
    await ended;
  }
}

async function follow(url) {
  try {
    const answer = await fetch(url);
    for await (const _ of answer.body);
  } catch {
    // The replica is gone.
  }
}

/** Redis, a backend and replicas, all of which `stop` ends. */
export async function startCluster({ names = ["castor", "alhena", "tejat"], endpoints, more = "" } = {}) {
  const directory = mkdtempSync(join(tmpdir(), "pollux-page-"));
  const port = await freePort();
  const redis = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory],
    { stdio: "ignore" });
  await eventually("redis-server answers", () => answers(port));
  const backend = await startBackend();
  const listed = endpoints ?? [["prices", "500ms"], ["departures", "1s"], ["weather", "2s"], ["status", "1s"]];
  const configuration = [
    "cluster: example", `redis: { url: "redis://127.0.0.1:${port}" }`, more, "endpoints:",
    ...listed.map(([name, every]) => `  - { name: ${name}, url: "${backend.url}/${name}", every: ${every} }`),
  ].join("\n");
  const replicas = names.map((name) => new Replica(name, directory, configuration));
  const cluster = {
    replicas, backend, port,
    alive: () => replicas.filter((replica) => replica.lives),
    named: (name) => replicas.find((replica) => replica.name === name),
    /** Lets some clients follow each replica's data, as long as it lives. */
    read(clients) {
      for (const { gateway } of replicas) {
        const query = listed.map(([name]) => `endpoint=${name}`).join("&");
        for (let client = 0; client < clients; client += 1) follow(`${gateway}/v1/stream?${query}`);
      }
    },
    add(name) {
      replicas.push(new Replica(name, directory, configuration));
      return replicas.at(-1).started();
    },
    async loseStore() {
      const ended = once(redis, "exit");
      redis.kill("SIGKILL");
      await ended;
    },
    async stop() {
      for (const replica of replicas) await replica.stop("SIGKILL");
      backend.stop();
      if (redis.exitCode === null && redis.signalCode === null) {
        const ended = once(redis, "exit");
        redis.kill("SIGKILL");
        await ended;
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
  try {
    for (const replica of replicas) await replica.started();
    await eventually("all are heard of and one leads", async () => {
      const { leader, replicas: heard, endpoints: held } = await replicas[0].report();
      const fetched = held.filter(({ version }) => version !== null).length;
      return leader && heard.length === names.length && fetched >= Math.min(held.length, 4);
    });
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}
