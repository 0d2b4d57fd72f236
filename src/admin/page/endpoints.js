// The endpoints: how old, how polled, when next.

import { byId, make, plural, setClass, setText, size, span, time, whole } from "/page/common.js";
import { showDifference } from "/page/difference.js";

// More rows than this nobody reads.
const MOST_ROWS = 200;
// Of more than these the leader does not tell the polls of all.
const TOLD = 300;

const rows = new Map();
const filter = byId("filter");
let shownOrder = "";

// How urgently an endpoint is to be looked at: 0 most.
function rank({ stale, retry_at, failures, version }) {
  if (stale) return 0;
  if (retry_at !== null) return 1;
  if (failures > 0) return 2;
  return version === null ? 3 : 4;
}

const NAMES = {
  changed: "changed", unchanged: "unchanged", not_modified: "not modified", failed: "failed",
  skipped: "skipped",
};

function newRow(endpoint) {
  const { name } = endpoint;
  const link = make("a", "", name);
  link.href = `/v1/endpoints/${encodeURIComponent(name)}`;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  link.title = "The current body, in a new tab";
  const parts = {
    link,
    facts: make("p", "detail"),
    version: make("p", "detail version"),
    age: make("span", ""),
    fill: make("div", "fill"),
    every: make("i", ""),
    strip: make("div", "strip"),
    last: make("p", "detail"),
    badge: make("span", "badge"),
    due: make("span", "detail due"),
    difference: make("button", "quiet-button small", "Difference"),
    polls: null,
  };
  const track = make("div", "track", parts.fill, parts.every);
  track.setAttribute("aria-hidden", "true");
  parts.strip.setAttribute("role", "img");
  parts.difference.type = "button";
  parts.difference.setAttribute("aria-haspopup", "dialog");
  parts.difference.setAttribute("aria-label", `Last difference of ${name}`);
  parts.difference.addEventListener("click", () => showDifference(name));
  parts.row = make("li", "endpoint",
    make("div", "", make("p", "name", link), parts.facts, parts.version),
    make("div", "age", parts.age, track),
    make("div", "strip-cell", parts.strip, parts.last),
    make("div", "state", parts.badge, parts.due),
    make("div", "actions", parts.difference));
  parts.row.dataset.name = name;
  return parts;
}

// One bar for each poll. It is made anew when there is a new poll.
function showPolls(parts, polls, now, told) {
  const key = `${told} ${polls.length} ${polls.at(-1)?.at} ${polls.at(-1)?.outcome}`;
  if (key === parts.polls) return;
  parts.polls = key;
  parts.strip.hidden = polls.length === 0;
  parts.strip.replaceChildren(...polls.map((poll) => {
    const bar = make("i", `poll ${poll.outcome}`);
    const kind = poll.kind ? ` (${poll.kind})` : "";
    const took = poll.outcome === "skipped" ? "" : `, in ${span(poll.seconds)}`;
    bar.title = `${time(poll.at, now)}: ${NAMES[poll.outcome] ?? poll.outcome}${kind}${took}`;
    return bar;
  }));
  const counts = new Map();
  for (const { outcome } of polls) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  const list = [...counts].map(([outcome, count]) => `${count} ${NAMES[outcome] ?? outcome}`);
  const label = `The last ${plural(polls.length, "poll", "polls")}: ${list.join(", ")}`;
  parts.strip.setAttribute("aria-label", label);
  const last = polls.at(-1);
  if (!last) setText(parts.last, told);
  else if (last.outcome === "failed") setText(parts.last, `last: failed, ${last.kind}`);
  else if (last.outcome === "skipped") setText(parts.last, "last: skipped, the one before still ran");
  else setText(parts.last, `last: ${NAMES[last.outcome]}, in ${span(last.seconds)}`);
}

function badge({ stale, retry_at, failures, version }) {
  if (retry_at !== null) return ["bad", "✕ Breaker open"];
  if (failures > 0) return ["warn", stale ? "⚠ Failing, stale" : "! Failing"];
  if (stale) return ["warn", "⚠ Stale"];
  return version === null ? ["", "… Not fetched yet"] : ["good", "✓ Fresh"];
}

function showFacts(parts, endpoint, now, told, history) {
  const type = endpoint.content_type?.split(";")[0];
  const facts = endpoint.size === null ? [] : [size(endpoint.size), type];
  setText(parts.facts, facts.join(" · "));
  setText(parts.version, endpoint.version ?? "no version yet");
  const [kind, text] = badge(endpoint);
  setClass(parts.badge, `badge ${kind}`);
  setText(parts.badge, text);
  parts.every.style.left = `${Math.min(endpoint.every / endpoint.stale_after, 1) * 100}%`;
  // There may be a history from now on, or none any more.
  parts.difference.hidden = history === 0 || endpoint.version === null;
  showPolls(parts, endpoint.polls, now, told);
}

// What changes as time passes: `since` seconds ago the endpoint was as it is told.
function showTimes(parts, endpoint, now, since) {
  const { every, stale_after: limit, stale, next_due: due } = endpoint;
  const age = endpoint.age === null ? null : endpoint.age + since;
  setText(parts.age, age === null ? `never checked, every ${span(every)}`
    : `${span(age)} old, every ${span(every)}${stale ? ", stale" : ""}`);
  parts.fill.style.transform = `scaleX(${age === null ? 0 : Math.min(age / limit, 1)})`;
  setClass(parts.fill, `fill ${stale ? "bad" : age > (every + limit) / 2 ? "warn" : ""}`);
  const wait = due === null || now === null ? null : (due - now) / 1000;
  const failed = endpoint.failures > 0 ? `${plural(endpoint.failures, "poll", "polls")} failed, ` : "";
  if (wait === null) setText(parts.due, "");
  else if (endpoint.retry_at !== null) setText(parts.due, `${failed}next in ${span(Math.max(wait, 0))}`);
  else setText(parts.due, wait > 0.05 ? `${failed}next poll in ${span(wait)}` : `${failed}next poll now`);
}

export class Endpoints {
  #report = null;
  #shown = [];

  // Takes a report, and shows the rows that matter most.
  show(report, now) {
    this.#report = report;
    const { endpoints, history, polls } = report;
    const none = endpoints === null;
    const wanted = filter.value.trim().toLowerCase();
    const found = (endpoints ?? []).filter(({ name }) => name.toLowerCase().includes(wanted));
    const order = found.map((endpoint, at) => [rank(endpoint), at, endpoint]);
    order.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
    this.#shown = order.slice(0, MOST_ROWS).map(([, , endpoint]) => endpoint);
    const told = polls.replica === null ? ""
      : endpoints.length > TOLD ? "told where polls fail" : "no poll in this term yet";
    for (const endpoint of this.#shown) {
      const { name } = endpoint;
      if (!rows.has(name)) rows.set(name, newRow(endpoint));
      showFacts(rows.get(name), endpoint, now, told, history);
    }
    this.#arrange();
    this.#hints(endpoints, found.length, none, wanted);
    const error = polls.error && !none && report.leader ? `Polls are not shown: ${polls.error}.` : "";
    setText(byId("polls-error"), error);
    byId("polls-error").hidden = error === "";
  }

  // Puts the rows in order, unless somebody is at one of them.
  #arrange() {
    const key = this.#shown.map(({ name }) => name).join("\n");
    const list = byId("endpoints");
    if (key === shownOrder || (list.contains(document.activeElement) && list.matches(":focus-within"))) return;
    shownOrder = key;
    const elements = this.#shown.map(({ name }) => rows.get(name).row);
    list.replaceChildren(...elements);
    const kept = new Set(this.#shown.map(({ name }) => name));
    for (const name of rows.keys()) if (!kept.has(name)) rows.delete(name);
  }

  #hints(endpoints, found, none, wanted) {
    const more = byId("more-endpoints");
    let text = "";
    if (none) text = "This replica serves no clients, so it holds no data: a gateway's page shows the endpoints.";
    else if (found === 0 && wanted) text = "No endpoint has this in its name.";
    else if (found > MOST_ROWS) {
      text = `${whole(found - MOST_ROWS)} more, in better state than these: filter by name to see them.`;
    }
    setText(more, text);
    more.hidden = text === "";
    setText(byId("endpoints-hint"), none ? ""
      : wanted ? `${whole(found)} of ${whole(endpoints.length)}`
        : `${whole(endpoints.length)}, those in trouble first`);
  }

  tick(now, since) {
    for (const endpoint of this.#shown) {
      const parts = rows.get(endpoint.name);
      if (parts) showTimes(parts, endpoint, now, since);
    }
  }

  refilter(now) {
    if (this.#report) this.show(this.#report, now);
  }
}
