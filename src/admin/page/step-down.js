// Asks the leader to hand over, once that is confirmed, and tells what came of it.

import { byId, setText, span } from "/page/common.js";

// How long a successor is waited for, in ms.
const PATIENCE = 15_000;

const dialog = byId("step-down-dialog");
const button = byId("step-down");
// Kept in memory alone.
let token = null;
let report = null;
// The term that was asked to end, while its end is awaited.
let awaited = null;
// From the press of the button on: who was asked stays named.
let asked = false;
let timer = 0;

// Why the leader cannot be asked, if so.
function hindrance() {
  if (!report) return "The cluster is not known yet.";
  if (!report.store.ok) return "The store does not answer: nobody can be asked.";
  if (!report.leader) return "Nobody leads.";
  const stands = ({ replica, role }) => role !== "gateway" && replica !== report.leader.replica;
  return report.replicas.some(stands) ? "" : "Nobody else could lead: no other poller was heard of.";
}

function describe() {
  const name = report.leader?.replica ?? "the leader";
  byId("step-down-text").hidden = false;
  setText(byId("step-down-title"), `Ask ${name} to hand over?`);
  setText(byId("step-down-text"), `${name} publishes what it has polled, gives its lease back, and `
    + "another replica takes over, as a rule within 50 ms. Clients keep reading.");
  setText(byId("confirm"), "Hand over");
}

function problem(text) {
  setText(byId("step-down-problem"), text);
  byId("step-down-problem").hidden = text === "";
}

function outcome(text, good) {
  setText(byId("step-down-outcome"), text);
  byId("step-down-outcome").classList.toggle("good", Boolean(good));
}

function finish() {
  awaited = null;
  clearTimeout(timer);
  byId("step-down-text").hidden = true;
  setText(byId("cancel"), "Close");
  byId("cancel").focus();
}

function askForToken() {
  byId("token-field").hidden = false;
  byId("token").value = "";
  byId("token").focus();
}

async function ask() {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  const answer = await fetch("/v1/step-down", { method: "POST", headers });
  const content = await answer.json();
  if (answer.status === 401) {
    asked = false;
    problem(token === null ? "This replica asks for its admin token." : "That is not its admin token.");
    token = null;
    askForToken();
    return;
  }
  if (!answer.ok) throw new Error(content.detail);
  awaited = content;
  byId("confirm").hidden = true;
  byId("token-field").hidden = true;
  byId("token").value = "";
  setText(byId("step-down-title"), `${content.replica} was asked to hand over`);
  outcome(`Waiting for a successor …`);
  timer = setTimeout(() => {
    outcome("");
    problem(`No other replica has taken over yet: ${report.leader?.replica ?? "nobody"} leads.`);
    finish();
  }, PATIENCE);
  showStepDown(report);
}

byId("step-down-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (byId("confirm").disabled || byId("confirm").hidden) return;
  problem("");
  if (!byId("token-field").hidden) token = byId("token").value || null;
  byId("confirm").disabled = true;
  asked = true;
  try {
    await ask();
  } catch (error) {
    asked = false;
    problem(`It was not asked: ${error.message}`);
  }
  byId("confirm").disabled = false;
});

button.addEventListener("click", () => {
  if (hindrance()) return;
  problem("");
  outcome("");
  awaited = null;
  asked = false;
  byId("confirm").hidden = false;
  byId("token-field").hidden = true;
  setText(byId("cancel"), "Cancel");
  describe();
  dialog.showModal();
  byId("cancel").focus();
});

byId("cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  clearTimeout(timer);
  byId("token").value = "";
  awaited = null;
});

export function showStepDown(newest) {
  report = newest;
  const why = hindrance();
  button.setAttribute("aria-disabled", String(why !== ""));
  button.title = why;
  if (!dialog.open || !report) return;
  if (awaited && report.leader && report.leader.term > awaited.term) {
    const claim = report.timeline.find(({ event, term }) => event === "claimed" && term === report.leader.term);
    const gap = claim?.gap ? `, after ${span(claim.gap / 1000)} without a leader` : "";
    const again = report.leader.replica === awaited.replica;
    outcome(again ? `${awaited.replica} handed over and, as nobody else took over, leads again.`
      : `${report.leader.replica} took over from ${awaited.replica}${gap}.`, !again);
    finish();
  } else if (!asked) {
    describe();
  }
}
