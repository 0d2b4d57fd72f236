// Who led when: the changes of leadership as spells, in a list and as lanes.

import { byId, make, setText, span, time } from "/page/common.js";

const FEW = 6;

// Why a lease was given back. Older replicas do not tell.
const RELEASED = {
  shutdown: "it was shut down",
  asked: "it was asked to step down",
  abdicated: "it abdicated: another reaches more hosts",
  reconfigured: "it was configured anew",
  deadline: "it could not renew its lease in time",
  fenced: "another claimed",
};

let all = false;
let shown = "";
let last = null;

function why(cause) {
  return Object.hasOwn(RELEASED, cause) ? RELEASED[cause] : "it handed over";
}

// The spells in which somebody led, the newest first, from changes of which the newest is first.
export function spells(changes) {
  const found = [];
  for (const change of [...changes].reverse()) {
    const open = found.at(-1);
    const running = open && open.until === null ? open : null;
    if (change.event === "claimed") {
      if (running) {
        const restarted = change.cause === "restarted" && running.replica === change.replica;
        running.until = restarted ? change.at : change.at - change.gap;
        running.why = restarted ? "the store was restarted or replaced" : "its lease ended";
        running.crashed = !restarted;
      }
      const before = found.at(-1);
      if (before) {
        before.gap = change.gap || (before.handedOver ? change.at - before.until : 0);
        before.successor = change.replica;
      }
      found.push({
        replica: change.replica, term: change.term, from: change.at, until: null,
        first: change.cause === "first", why: null, gap: null, crashed: false, handedOver: false,
      });
    } else if (running && running.term === change.term) {
      running.until = change.at;
      running.crashed = change.event === "reaped";
      running.handedOver = !running.crashed;
      running.why = running.crashed ? "it crashed" : why(change.cause);
    }
  }
  return found.reverse();
}

// `away`: the store does not answer, and what has happened since then is not known.
function item(spell, now, away) {
  const { replica, from, until, why, gap, crashed, term } = spell;
  const open = until === null;
  const mark = make("span", `mark ${open ? "good" : crashed ? "bad" : "over"}`,
    open ? "●" : crashed ? "✕" : "○");
  mark.setAttribute("aria-hidden", "true");
  const what = make("span", "", make("b", "", replica),
    open && !away ? " leads " : " led ", make("span", "term", `term ${term}`));
  if (why) what.append(make("span", "why", `, until ${why}`));
  const after = make("span", "gap");
  if (open && away) after.append("when last seen");
  else if (open) after.append("for ", make("b", "length", span((now - from) / 1000)));
  else if (gap) after.append("then ", make("b", "", span(gap / 1000)), " without a leader");
  const end = !open ? time(until, from) : away ? "?" : "now";
  const times = make("time", "", `${time(from, now)} – ${end}`);
  const row = make("li", "", times, mark, what, after);
  row.dataset.term = term;
  return row;
}

function lanes(list, now) {
  const start = Math.min(...list.map((spell) => spell.from));
  const whole = Math.max(now - start, 1);
  const names = [...new Set(list.map((spell) => spell.replica))].slice(0, 6).sort();
  const lane = (name) => {
    const track = make("div", "");
    for (const { replica, from, until, crashed } of list) {
      if (replica !== name) continue;
      const block = make("i", until === null ? "" : crashed ? "over crashed" : "over");
      // The newest is seen however short it is.
      block.style.left = `min(${((from - start) / whole) * 100}%, 100% - 4px)`;
      block.style.width = `${(((until ?? now) - from) / whole) * 100}%`;
      track.append(block);
    }
    return make("div", "lane", make("span", "", name), track);
  };
  const scale = make("div", "scale", make("span", "", time(start, now)), make("span", "", "now"));
  const times = make("div", "lane", make("span", ""), scale);
  byId("lanes").replaceChildren(...names.map(lane), times);
}

export function showTimeline(changes, now, away) {
  last = [changes, away];
  const list = spells(changes);
  const few = all ? list : list.slice(0, FEW);
  const key = JSON.stringify([changes[0], few.length, away]);
  if (key !== shown) {
    shown = key;
    byId("timeline").replaceChildren(...few.map((spell) => item(spell, now, away)));
    byId("more-timeline").hidden = few.length === list.length;
    setText(byId("more-timeline"), `Show all ${list.length}`);
    setText(byId("timeline-hint"), hint(list, away));
  }
  if (few.length) lanes(few, now);
  else byId("lanes").replaceChildren();
  const length = byId("timeline").querySelector(".length");
  if (length) setText(length, span((now - few[0].from) / 1000));
}

function hint(list, away) {
  if (away) return list.length ? "As of before the store went away." : "Not known while the store is away.";
  const gaps = list.map((spell) => spell.gap).filter((gap) => gap);
  if (!gaps.length) return "No change of leader so far.";
  return `${gaps.length === 1 ? "One change" : `${gaps.length} changes`} of leader, `
    + `the longest gap ${span(Math.max(...gaps) / 1000)}.`;
}

byId("more-timeline").addEventListener("click", () => {
  all = true;
  if (last) showTimeline(last[0], Date.now(), last[1]);
  byId("timeline").focus();
});
