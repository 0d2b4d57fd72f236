// Shows what /demo/events tells of the cluster and what /v1/stream brings of the data.

import { Chart } from "/demo/chart.js";

const byId = (id) => document.getElementById(id);
const chart = new Chart(byId("chart"));
const replicas = new Map();
const endpoints = new Map();
let stopStreams = () => {};
let leader;
let announced = "";
let timelineShown = "";
let choosing = false;

// An element with a class and contents; texts are never read as markup.
function make(tag, className, ...contents) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...contents);
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const whole = (number) => Math.round(number).toLocaleString("en");
const seconds = (number) => `${number.toFixed(1)} s`;
const rate = (number) => (number < 100 ? number.toFixed(1) : whole(number));

// --- Replicas

const ROLES = {
  leading: { badge: "good", text: "● Leading" },
  standby: { badge: "", text: "○ Standing by" },
  crashed: { badge: "bad", text: "✕ Crashed" },
};

function replicaCard(name) {
  const parts = {
    badge: make("span", "badge"),
    term: make("p", "term"),
    leaseText: make("span", ""),
    fill: make("div", "fill"),
  };
  const track = make("div", "track", parts.fill);
  track.setAttribute("aria-hidden", "true");
  parts.card = make(
    "li",
    "card replica",
    make("div", "card-head", make("h3", "", name), parts.badge),
    parts.term,
    make("div", "lease", parts.leaseText, track),
  );
  byId("replicas").append(parts.card);
  return parts;
}

function leaseText(replica, state) {
  if (replica.back_in !== null) return `Starts again in ${seconds(Math.max(replica.back_in, 0))}`;
  if (replica.role === "crashed") {
    return replica.lease_left === null
      ? "Its lease has ended"
      : `Its lease still lasts ${seconds(replica.lease_left)}`;
  }
  if (replica.role === "leading") {
    return `Lease: ${seconds(replica.lease_left)} of ${seconds(state.lease)}, renewed in time`;
  }
  return state.leader === null ? "About to take over" : "Ready to take over";
}

function showReplica(replica, state) {
  if (!replicas.has(replica.name)) replicas.set(replica.name, replicaCard(replica.name));
  const { card, badge, term, leaseText: text, fill } = replicas.get(replica.name);
  const role = ROLES[replica.role];
  card.className = `card replica ${replica.role}`;
  badge.className = `badge ${role.badge}`;
  setText(badge, role.text);
  const verb = { leading: "term", standby: "follows term", crashed: "led term" }[replica.role];
  setText(term, `${verb} ${replica.term ?? state.term ?? "none yet"}`);
  setText(text, leaseText(replica, state));
  fill.style.transform = `scaleX(${Math.min((replica.lease_left ?? 0) / state.lease, 1)})`;
}

function headline(state) {
  if (state.leader !== null) return `${state.leader} leads and polls for all.`;
  const holder = state.replicas.find((replica) => replica.lease_left !== null);
  if (holder) {
    return `${holder.name} crashed. The others have not missed it yet.`;
  }
  return "Nobody leads: the lease is free to be claimed.";
}

// Tells a screen reader of changes of the leader alone, not of every tick.
function announce(state) {
  const crashed = state.replicas.find((replica) => replica.name === leader);
  let message = announced;
  if (state.leader !== null && state.leader !== leader) {
    message = `${state.leader} leads in term ${state.term}.`;
    leader = state.leader;
  } else if (state.leader === null && crashed?.role === "crashed") {
    message = `${leader} crashed. Another is about to take over.`;
  } else if (state.leader !== null && announced.includes("crashed")) {
    message = `${state.leader} leads in term ${state.term}.`;
  }
  announced = message;
  setText(byId("announcer"), message);
}

// --- Endpoints

const TITLES = {
  prices: "Prices",
  departures: "Departures",
  weather: "Weather",
  status: "Service status",
};

function table(caption, rows) {
  const body = make("tbody", "", ...rows.map((cells) => make("tr", "", ...cells)));
  const name = make("caption", "unseen", caption);
  return make("table", "", name, body);
}

const SHOW = {
  prices: ({ unit, instruments }) =>
    table(`Prices in ${unit}`, instruments.map(({ name, price, change }) => [
      make("td", "", name),
      make("td", "number", price.toLocaleString("en", { minimumFractionDigits: 2 })),
      make("td", `number ${change < 0 ? "down" : "up"}`,
        `${change < 0 ? "▼" : "▲"} ${Math.abs(change).toFixed(2)} %`),
    ])),
  departures: ({ stop, departures }) =>
    table(`Departures from ${stop}`, departures.map((departure) => [
      make("td", "", make("span", "line", String(departure.line))),
      make("td", "", departure.destination),
      make("td", "quiet platform", `platform ${departure.platform}`),
      make("td", "quiet", departure.late ? "late" : ""),
      make("td", "number", departure.minutes === 0 ? "now" : `${departure.minutes} min`),
    ])),
  weather: ({ condition, temperature, wind, cloud }) =>
    make("div", "",
      make("p", "big", `${temperature.toFixed(1)} °C`),
      make("p", "message", condition),
      make("p", "quiet", `Wind ${wind.toFixed(1)} km/h, ${cloud} % cloud`)),
  status: ({ status, message }) =>
    make("div", "",
      make("p", "message", `${status === "normal" ? "✓" : "!"} ${message}`),
      make("p", "quiet", "Seldom changes: most polls are answered “304 Not Modified” and cost next to nothing.")),
};

function endpointCard(name) {
  const parts = {
    badge: make("span", "badge", "…"),
    body: make("div", "body"),
    version: make("b", "version", "–"),
    age: make("b", "", "–"),
    every: make("span", ""),
  };
  const title = make("h3", "", TITLES[name] ?? name);
  parts.card = make("article", "card endpoint",
    make("div", "card-head", title, parts.badge),
    parts.body,
    make("p", "facts",
      make("span", "", "Age ", parts.age),
      make("span", "", "Version ", parts.version),
      parts.every));
  byId("endpoints").append(parts.card);
  endpoints.set(name, parts);
}

function showEndpoint({ name, age, stale, every }) {
  const { card, badge, age: shown, every: interval } = endpoints.get(name);
  setText(shown, age === null ? "–" : seconds(age));
  setText(interval, `polled every ${every} s`);
  card.classList.toggle("stale", stale);
  badge.className = `badge ${stale ? "warn" : "good"}`;
  setText(badge, stale ? "⚠ Stale" : "✓ Fresh");
}

function showSnapshot(publication) {
  const parts = endpoints.get(publication.endpoint);
  if (!parts) return;
  setText(parts.version, publication.version);
  parts.body.replaceChildren(SHOW[publication.endpoint]?.(publication.data)
    ?? make("code", "", JSON.stringify(publication.data)));
}

// --- Load

const COUNTS = [...byId("readers").querySelectorAll("input")].map((input) => Number(input.value));

function showLoad({ backend, readers }) {
  setText(byId("requests-rate"), rate(backend.rate));
  setText(byId("requests-total"),
    `${whole(backend.requests)} so far, ${whole(backend.unchanged)} of them a 304`);
  setText(byId("reads-rate"), rate(readers.rate));
  setText(byId("reads-total"),
    `${whole(readers.reads)} so far, by ${whole(readers.clients)} clients`);
  setText(byId("without-rate"), rate(backend.rate_without));
  setText(byId("without-why"), "if each client polled as often itself");
  const all = Math.max(...COUNTS);
  setText(byId("room"), readers.room < all ? `: open files allow ${readers.room}` : "");
  for (const input of byId("readers").elements) {
    input.disabled = Number(input.value) > readers.room;
    if (!choosing) input.checked = Number(input.value) === readers.wanted;
  }
}

// --- Timeline

function timelineText({ event, replica, cause }) {
  if (event === "crashed") return `${replica} crashed`;
  if (event === "released") return `${replica} handed over`;
  return cause === "first" ? `${replica} became the first leader` : `${replica} took over`;
}

function timelineItem(change) {
  const time = make("time", "", new Date(change.at).toLocaleTimeString("en-GB"));
  const claimed = change.event === "claimed";
  const mark = make("span", claimed ? "claimed-mark" : "crashed-mark", claimed ? "●" : "✕");
  mark.setAttribute("aria-hidden", "true");
  const gap = make("span", "gap");
  if (change.without_leader !== null) {
    gap.append("after ", make("b", "", `${change.without_leader.toFixed(2)} s`), " without a leader");
  }
  const what = make("span", "", timelineText(change), " ", make("span", "term", `term ${change.term}`));
  return make("li", "", time, mark, what, gap);
}

function showTimeline(changes) {
  const key = JSON.stringify(changes);
  if (key === timelineShown) return;
  timelineShown = key;
  byId("timeline").replaceChildren(...changes.map(timelineItem));
}

// --- All of it

function show(state) {
  for (const replica of state.replicas) showReplica(replica, state);
  setText(byId("headline"), headline(state));
  byId("headline").classList.toggle("bad", state.leader === null);
  byId("crash").setAttribute("aria-disabled", String(state.leader === null));
  announce(state);
  for (const endpoint of state.endpoints) {
    if (!endpoints.has(endpoint.name)) endpointCard(endpoint.name);
    showEndpoint(endpoint);
  }
  showLoad(state);
  chart.add(state.now, {
    backend: state.backend.rate,
    reads: state.readers.rate,
    without: state.backend.rate_without,
  });
  showTimeline(state.timeline);
}

function notice(text) {
  const element = byId("notice");
  setText(element, text);
  element.hidden = text === "";
}

function follow(names) {
  const query = new URLSearchParams(names.map((name) => ["endpoint", name]));
  const stream = new EventSource(`/v1/stream?${query}`);
  stream.addEventListener("snapshot", (event) => showSnapshot(JSON.parse(event.data)));
  return stream;
}

// A hidden page follows nothing: browsers allow six connections to a server, for all its tabs.
function startStreams() {
  stopStreams();
  const states = new EventSource("/demo/events");
  let data = null;
  states.addEventListener("message", (event) => {
    const state = JSON.parse(event.data);
    notice("");
    show(state);
    data ??= follow(state.endpoints.map((endpoint) => endpoint.name));
  });
  states.addEventListener("error", () => notice("The demo does not answer: has it ended?"));
  stopStreams = () => {
    states.close();
    data?.close();
  };
}

async function ask(path) {
  try {
    const answer = await fetch(path, { method: "POST" });
    if (!answer.ok) notice((await answer.json()).detail);
  } catch {
    notice("The demo does not answer: has it ended?");
  }
}

byId("crash").addEventListener("click", () => {
  if (byId("crash").getAttribute("aria-disabled") !== "true") ask("/demo/crash");
});
byId("readers").addEventListener("change", async (event) => {
  choosing = true;
  await ask(`/demo/readers?count=${encodeURIComponent(event.target.value)}`);
  choosing = false;
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stopStreams();
  else startStreams();
});
setText(byId("try"), `curl -N '${location.origin}/v1/stream?endpoint=prices'`);
startStreams();
