// Shows what /v1/cluster/stream tells of the cluster.

import { age, announce, byId, make, plural, setClass, setText, span, time, whole } from "/page/common.js";
import { Endpoints } from "/page/endpoints.js";
import { showStepDown } from "/page/step-down.js";
import { showTimeline } from "/page/timeline.js";

// Reports come every second: after this many ms without one something is wrong.
const LATE = 3500;
// When a stream that the server ended for good is opened again, in ms.
const AGAIN = 3000;

const endpoints = new Endpoints();
const replicas = new Map();
let report = null;
// When it came, by this page's own clock.
let came = 0;
let stream = null;
let lost = false;
let leader;

// Seconds since the report; without new ones, time stands still rather than being made up.
const since = () => Math.min((performance.now() - came) / 1000, LATE / 1000);
// The time by the store's clock, in ms.
const now = () => (report.now === null ? Date.now() : report.now + since() * 1000);

// --- At a glance

function showLeader() {
  const { leader: lead, term, store } = report;
  const tile = byId("leader-tile");
  tile.classList.toggle("bad", lead === null);
  setText(byId("leader"), lead ? lead.replica : store.ok ? "Nobody" : "Not known");
  setText(byId("leader-since"), lead
    ? `since ${time(lead.since, now())}`
    : !store.ok ? "while the store is away" : term === null ? "nobody has led yet" : "the lease is free");
  setText(byId("leader-term"), term === null ? "" : `term ${term}`);
  setText(byId("headline"), lead
    ? `${lead.replica} leads and polls for all.`
    : store.ok ? "Nobody leads: the lease is free to be claimed."
      : "Who leads is not known while the store is away.");
}

let longest = 0;

function showLease() {
  const lead = report.leader;
  const left = lead ? Math.max(lead.lease_remaining - since(), 0) : 0;
  longest = Math.max(longest, left);
  setText(byId("lease-text"), lead ? `Lease: ${left.toFixed(1)} s left unless renewed`
    : report.store.ok ? "No lease" : "");
  byId("lease-fill").style.transform = `scaleX(${longest ? Math.min(left / longest, 1) : 0})`;
}

function showData() {
  const list = report.endpoints;
  const tile = byId("data-tile");
  if (list === null) {
    setText(byId("fresh"), "–");
    setText(byId("oldest"), "this replica serves no clients");
    return;
  }
  const stale = list.filter((endpoint) => endpoint.stale).length;
  const failing = list.filter((endpoint) => endpoint.failures > 0).length;
  const open = list.filter((endpoint) => endpoint.retry_at !== null).length;
  setText(byId("fresh"), `${whole(list.length - stale)} of ${whole(list.length)}`);
  setClass(tile, `panel ${stale ? "warn" : ""}`);
  const late = list.reduce((worst, endpoint) =>
    ((endpoint.age ?? 0) / endpoint.stale_after > (worst?.age ?? 0) / (worst?.stale_after ?? 1) ? endpoint : worst), null);
  setText(byId("oldest"), late ? `nearest to stale: ${late.name}` : "");
  setText(byId("failing"), failing
    ? `${plural(failing, "endpoint fails", "endpoints fail")}${open ? `, ${open} with an open breaker` : ""}`
    : report.polls.replica ? "no polls fail" : "");
}

function showServed() {
  const { reads, deliveries, polls, saved, since: start } = report.served;
  setText(byId("saved"), start === null ? "–" : whole(saved).replace("-", "−"));
  if (start === null) {
    setText(byId("served"), report.store.ok ? "no replica has told its counts yet"
      : "not known while the store is away");
    setText(byId("served-why"), "");
    return;
  }
  setText(byId("served"), `${plural(reads, "read", "reads")} + ${plural(deliveries, "delivery", "deliveries")}`
    + ` − ${plural(polls, "poll", "polls")}`);
  setText(byId("served-why"), saved < 0
    ? "more polls than reads so far: few clients read here"
    : `if each had been a request, since ${time(start, now())}${report.store.ok ? "" : ", before the store went away"}`);
}

function showStore() {
  const { kind, ok, error } = report.store;
  byId("store-tile").classList.toggle("bad", !ok);
  setText(byId("store"), kind === "redis" ? "Redis" : "Embedded");
  setText(byId("store-detail"), ok
    ? kind === "redis" ? "answers" : "in this process alone: no redundancy"
    : "does not answer: what is shown was seen last");
  const notice = byId("notice");
  setText(notice, ok ? "" : `${kind} does not answer: ${error}`);
  notice.hidden = ok;
}

// --- Replicas

function replicaCard() {
  const parts = {
    name: make("h3", ""), badge: make("span", "badge"), facts: make("p", "facts"),
    address: make("p", "term"), heard: make("p", "detail"),
  };
  parts.card = make("li", "card replica", make("div", "card-head", parts.name, parts.badge),
    parts.facts, parts.address, parts.heard);
  return parts;
}

// Since when a replica has been silent, in ms; each tells of itself every ten seconds.
const SILENT = 15_000;

function standing(replica) {
  if (report.leader?.replica === replica.replica) return ["good", "● Leading"];
  const found = report.timeline.find(({ event, replica: dead }) => event === "reaped" && dead === replica.replica);
  if (found && found.at > replica.seen_at) return ["bad", "✕ Crashed"];
  if (report.now !== null && report.now - replica.seen_at > SILENT) return ["warn", "⚠ Silent"];
  return replica.role === "gateway" ? ["", "◇ Serves clients"] : ["", "○ Standing by"];
}

const ROLES = { all: "polls and serves", poller: "polls", gateway: "serves" };

function showReplica(replica) {
  const { card, name, badge, facts, address } = replicas.get(replica.replica);
  const leads = report.leader?.replica === replica.replica;
  const [kind, text] = standing(replica);
  setClass(card, `card replica ${leads ? "leading" : ["bad", "warn"].includes(kind) ? "silent" : ""}`);
  setText(name, replica.replica + (replica.replica === report.replica ? " (this one)" : ""));
  setClass(badge, `badge ${kind}`);
  setText(badge, text);
  const { hosts } = replica;
  const reach = make("b", hosts && hosts.reachable < hosts.checked ? "short" : "",
    hosts ? `${hosts.reachable} of ${hosts.checked}` : "–");
  facts.replaceChildren(
    make("span", "", make("b", "", ROLES[replica.role] ?? replica.role)),
    make("span", "", "Pollux ", make("b", "", replica.version)),
    ...(replica.role === "gateway" ? [] : [make("span", "", "hosts reached ", reach)]),
    ...(replica.config_refused ? [make("b", "short", "refuses its new configuration: see its log")] : []));
  setText(address, replica.address);
}

function showReplicas() {
  const present = new Set(report.replicas.map(({ replica }) => replica));
  for (const [name, { card }] of replicas) {
    if (present.has(name)) continue;
    card.remove();
    replicas.delete(name);
  }
  report.replicas.forEach((replica, at) => {
    if (!replicas.has(replica.replica)) replicas.set(replica.replica, replicaCard());
    const { card } = replicas.get(replica.replica);
    const place = byId("replicas").children[at];
    if (place !== card) byId("replicas").insertBefore(card, place ?? null);
    showReplica(replica);
  });
}

function tickReplicas() {
  for (const replica of report.replicas) {
    const { heard } = replicas.get(replica.replica);
    const ago = report.now === null ? null : Math.max((now() - replica.seen_at) / 1000, 0);
    const lives = !["bad", "warn"].includes(standing(replica)[0]);
    const up = lives && replica.started_at ? `, up for ${span(Math.max(now() - replica.started_at, 0) / 1000)}` : "";
    setText(heard, ago === null ? `last heard of at ${time(replica.seen_at, now())}` : `heard of ${age(ago)} ago${up}`);
  }
}

// --- All of it

function tellLeader() {
  const name = report.leader?.replica ?? null;
  if (name === leader) return;
  if (leader !== undefined) {
    announce(name ? `${name} leads in term ${report.leader.term}.`
      : report.store.ok ? "Nobody leads." : "The store is away: who leads is not known.");
  }
  leader = name;
}

function show() {
  setText(byId("cluster"), report.cluster);
  setText(byId("lede"), `as ${report.replica} sees it`);
  document.title = `${report.leader ? "" : "⚠ "}${report.cluster} · Pollux`;
  tellLeader();
  showLeader();
  showData();
  showServed();
  showStore();
  showReplicas();
  showTimeline(report.timeline, now(), !report.store.ok);
  endpoints.show(report, now());
  showStepDown(report);
  tick();
}

// What changes as time passes.
function tick() {
  showConnection();
  if (!report) return;
  showLease();
  tickReplicas();
  endpoints.tick(report.now === null ? null : now(), since());
}

function showConnection() {
  if (!report && !lost) return;
  const silent = performance.now() - came;
  const away = lost || silent > LATE;
  const badge = byId("connection");
  document.body.classList.toggle("lost", away);
  setClass(badge, `badge ${away ? "warn" : "good"}`);
  setText(badge, away
    ? report ? `⚠ Connection lost: as of ${age(silent / 1000)} ago` : "⚠ No connection"
    : "● Live");
}

function loseConnection() {
  if (!lost) announce("The connection is lost. What is shown is old.");
  lost = true;
  tick();
}

// A hidden page follows nothing: browsers allow six connections to a server, for all its tabs.
function follow() {
  stream?.close();
  const own = new EventSource("/v1/cluster/stream");
  stream = own;
  own.addEventListener("cluster", (event) => {
    report = JSON.parse(event.data);
    came = performance.now();
    if (lost) announce("The connection is back.");
    lost = false;
    show();
  });
  own.addEventListener("error", () => {
    if (own !== stream) return;
    loseConnection();
    // It tries again by itself, unless it was refused.
    if (own.readyState === EventSource.CLOSED) {
      setTimeout(() => {
        if (own === stream && !document.hidden) follow();
      }, AGAIN);
    }
  });
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) {
    follow();
    return;
  }
  stream?.close();
  stream = null;
});
byId("filter").addEventListener("input", () => {
  if (report) {
    endpoints.refilter(now());
    tick();
  }
});
setInterval(tick, 250);
follow();
