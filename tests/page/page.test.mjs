// The admin page in a real browser, before real replicas.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { open, startBrowser, violations } from "./browser.mjs";
import { DEADLINE, eventually, startCluster } from "./cluster.mjs";

let chromium;
before(async () => { chromium = await startBrowser(); });
after(() => chromium?.stop());

const screenshot = (page, name, whole = true) =>
  page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}.png`), fullPage: whole });
const shows = (page, selector, text) =>
  page.locator(selector).filter({ hasText: text }).first().waitFor({ timeout: DEADLINE });
const leader = (page) => page.locator("#leader").textContent();

describe("a cluster of three", () => {
  let cluster;
  before(async () => {
    cluster = await startCluster({ more: "history: 1000" });
    cluster.read(15);
  });
  after(() => cluster?.stop());

  const admin = (name = "castor") => cluster.named(name).admin;
  const leading = () => eventually("somebody leads", async () =>
    (await cluster.alive()[0].report()).leader);
  // A replica that does not lead, and is still there.
  async function standby() {
    const alive = cluster.alive();
    const lead = await leading();
    return alive.find(({ name }) => name !== lead.replica);
  }

  test("the page shows leader, replicas, data and polls, also where another leads", async () => {
    const page = await open(chromium.browser, (await standby()).admin);
    const lead = await leading();
    await shows(page, "#leader", lead.replica);
    assert.equal(await page.locator("#replicas .card").count(), 3);
    assert.equal(await page.locator(".replica.leading h3").textContent(), lead.replica);
    await shows(page, "#fresh", "4 of 4");
    const strip = page.locator("[data-name=status] .strip");
    await strip.locator(".not_modified").first().waitFor({ timeout: DEADLINE });
    assert.match(await strip.getAttribute("aria-label"), /^The last \d+ polls: 1 changed, \d+ not modified$/);
    await shows(page, "[data-name=prices] .due", /^next poll (in|now)/);
    await shows(page, "#served", /[\d,]+ reads? \+ [\d,]+ deliver(y|ies) − [1-9][\d,]* polls?/);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test("nothing is wrong for those who cannot see, in light, in dark and on a phone", async () => {
    const phone = { viewport: { width: 375, height: 812 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
    const views = [
      ["light", {}], ["dark", { colorScheme: "dark" }],
      ["phone-light", phone], ["phone-dark", { ...phone, colorScheme: "dark" }],
    ];
    for (const [name, options] of views) {
      const page = await open(chromium.browser, admin(), options);
      await shows(page, "#fresh", "4 of 4");
      assert.deepEqual(await violations(page), [], name);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
      assert.equal(wide, false, `${name}: nothing is to be scrolled sideways`);
      await screenshot(page, name);
      await page.locator("#step-down").click();
      assert.deepEqual(await violations(page), [], `${name}, asked to confirm`);
      await page.keyboard.press("Escape");
      await page.locator("[data-name=prices] button").click();
      await page.locator("#difference-lines p").first().waitFor({ timeout: DEADLINE });
      assert.deepEqual(await violations(page), [], `${name}, the difference`);
      assert.deepEqual(page.problems, [], name);
      await page.context().close();
    }
  });

  test("the last difference is shown line by line", async () => {
    const page = await open(chromium.browser, admin());
    await shows(page, "#fresh", "4 of 4");
    await page.getByRole("button", { name: "Last difference of prices" }).click();
    const lines = page.locator("#difference-lines");
    await lines.locator(".removed", { hasText: "\"round\":" }).waitFor({ timeout: DEADLINE });
    await lines.locator(".added", { hasText: "\"round\":" }).waitFor();
    assert.equal(await lines.locator(".removed").count(), 2);
    assert.equal(await lines.locator(".added").count(), 2);
    await screenshot(page, "difference", false);
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#difference").isVisible(), false);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test("the current body opens, and can neither run nor load anything", async () => {
    const page = await open(chromium.browser, admin());
    await shows(page, "#fresh", "4 of 4");
    const opened = page.context().waitForEvent("page");
    await page.locator("[data-name=weather] a").click();
    const body = await opened;
    await body.waitForLoadState();
    assert.match(await body.content(), /clear/);
    const answer = await fetch(`${admin()}/v1/endpoints/weather`);
    assert.equal(answer.headers.get("content-security-policy"), "sandbox; default-src 'none'");
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
    await page.context().close();
  });

  test("a failing endpoint comes first, with its breaker, and recovers", async () => {
    const page = await open(chromium.browser, (await standby()).admin);
    await shows(page, "#fresh", "4 of 4");
    cluster.backend.state.failing.add("status");
    await shows(page, "[data-name=status] .badge", /Failing/);
    await eventually("it is first", async () =>
      await page.locator(".endpoint").first().getAttribute("data-name") === "status");
    await shows(page, "[data-name=status] .badge", /Breaker open/);
    await shows(page, "[data-name=status] .due", /^\d+ polls failed, next in/);
    await shows(page, "[data-name=status]", "last: failed, status");
    await screenshot(page, "breaker");
    cluster.backend.state.failing.delete("status");
    await shows(page, "[data-name=status] .badge", "Fresh");
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test("the leader steps down by the keyboard alone", async () => {
    const page = await open(chromium.browser, admin());
    await shows(page, "#fresh", "4 of 4");
    const first = await leader(page);
    const reach = async (id) => eventually(`Tab reaches ${id}`, async () => {
      await page.keyboard.press("Tab");
      return page.evaluate((wanted) => document.activeElement?.id === wanted, id);
    });
    await reach("step-down");
    await page.keyboard.press("Enter");
    assert.equal(await page.locator("#step-down-title").textContent(), `Ask ${first} to hand over?`);
    assert.equal(await page.evaluate(() => document.activeElement.id), "cancel");
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#step-down-dialog").isVisible(), false);
    assert.equal(await page.evaluate(() => document.activeElement.id), "step-down");
    await page.keyboard.press("Enter");
    await reach("confirm");
    await page.keyboard.press("Enter");
    await shows(page, "#step-down-outcome", new RegExp(`took over from ${first}`));
    await screenshot(page, "step-down", false);
    assert.equal(await page.evaluate(() => document.activeElement.id), "cancel");
    await page.keyboard.press("Enter");
    assert.notEqual(await leader(page), first);
    await shows(page, "#timeline li", new RegExp(`${first} led .*until it was asked to step down`));
    assert.deepEqual(page.problems, []);
    await page.context().close();
  });

  test("a failover is watched happening", async () => {
    const watching = await standby();
    const page = await open(chromium.browser, watching.admin);
    await shows(page, "#fresh", "4 of 4");
    await page.evaluate(() => { globalThis.never = "reloaded"; });
    const first = await leader(page);
    await cluster.named(first).stop("SIGKILL");
    await eventually("another leads", async () => ![first, "Nobody"].includes(await leader(page)));
    const second = await leader(page);
    const entry = page.locator("#timeline li").filter({ hasText: `${first} led` }).first();
    await entry.filter({ hasText: "until it crashed" }).waitFor({ timeout: DEADLINE });
    assert.match(await entry.locator(".gap").textContent(), /^then .* without a leader$/);
    await shows(page, "#announcer", `${second} leads in term`);
    await shows(page, ".replica", new RegExp(`^${first}.*Crashed`));
    await shows(page, "#fresh", "4 of 4");
    assert.equal(await page.evaluate(() => globalThis.never), "reloaded");
    assert.deepEqual(page.problems, []);
    await screenshot(page, "failover");
    await page.context().close();
  });

  test("why a leadership ended is told for every cause", async () => {
    const page = await open(chromium.browser, cluster.alive()[0].admin);
    await shows(page, "#fresh", "4 of 4");
    const told = await page.evaluate(async () => {
      const { spells } = await import("/page/timeline.js");
      const claimed = (at, replica, cause, gap) => ({ at, event: "claimed", replica, term: at, cause, gap });
      const released = (at, replica, term, cause) => ({ at, event: "released", replica, term, cause, gap: 0 });
      const changes = [
        claimed(10, "x", "first", 0),
        released(20, "x", 10, "shutdown"),
        claimed(30, "y", "released", 0),
        released(40, "y", 30, "abdicated"),
        claimed(50, "z", "released", 0),
        released(60, "z", 50, "constructor"),
        claimed(100, "a", "released", 0),
        released(200, "a", 100, ""),
        claimed(203, "b", "released", 0),
        { at: 300, event: "reaped", replica: "b", term: 203, cause: "", gap: 0 },
        claimed(310, "c", "crashed", 120),
        claimed(900, "d", "expired", 90),
        claimed(950, "d", "restarted", 0),
      ];
      return spells(changes.reverse()).map(({ replica, until, why, gap }) => [replica, until, why, gap]);
    });
    assert.deepEqual(told, [
      ["d", null, null, null],
      ["d", 950, "the store was restarted or replaced", 0],
      ["c", 810, "its lease ended", 90],
      ["b", 300, "it crashed", 120],
      ["a", 200, "it handed over", 3],
      ["z", 60, "it handed over", 40],
      ["y", 40, "it abdicated: another reaches more hosts", 10],
      ["x", 20, "it was shut down", 10],
    ]);
    await page.context().close();
  });

  test("differences are found line by line, whatever their size", async () => {
    const page = await open(chromium.browser, cluster.alive()[0].admin);
    await shows(page, "#fresh", "4 of 4");
    const found = await page.evaluate(async () => {
      const { compare, excerpt } = await import("/page/difference.js");
      const lines = (count, at) => Array.from({ length: count }, (_, line) => (line === at ? "changed" : `${line}`));
      const marks = (before, after) => compare(before, after).map(([mark]) => mark).join("");
      return {
        both: marks(["a", "b", "c", "d"], ["a", "x", "c", "y", "d"]),
        same: marks(["a"], ["a"]),
        empty: marks([], ["a"]),
        large: compare(lines(9000, 1), [...lines(9000, 8000).reverse()]).length,
        excerpt: excerpt(compare(lines(20, 5), lines(20, 99))).map(([mark]) => mark).join(""),
      };
    });
    assert.deepEqual(found, { both: " −+ + ", same: " ", empty: "+", large: 18_000, excerpt: "…   −+   …" });
    await page.context().close();
  });

  // For README, and to be looked at.
  test("pictures are taken", async () => {
    const watching = await standby();
    const phone = { viewport: { width: 375, height: 812 }, isMobile: true, hasTouch: true };
    const views = [["page-light", { viewport: { width: 1120, height: 900 } }],
      ["page-dark-phone", { ...phone, colorScheme: "dark" }]];
    for (const [name, options] of views) {
      const page = await open(chromium.browser, watching.admin, options);
      await shows(page, "#saved", /^[\d,]+$/);
      await eventually("there are polls of each", async () => {
        const strips = await page.locator(".strip").evaluateAll((all) => all.map(({ children }) => children.length));
        return strips.length === 4 && strips.every((polls) => polls >= 8);
      }, 40_000);
      await screenshot(page, name);
      await page.context().close();
    }
  });

  test("a lost connection is said, and comes back by itself", async () => {
    const extra = await cluster.add("mebsuta");
    const page = await open(chromium.browser, extra.admin);
    await shows(page, "#connection", "Live");
    await page.context().setOffline(false);
    extra.process.kill("SIGSTOP");
    await shows(page, "#connection", /Connection lost: as of \d+ s ago/);
    await screenshot(page, "lost");
    extra.process.kill("SIGCONT");
    await shows(page, "#connection", "Live");
    await page.context().close();
    await extra.stop("SIGKILL");
  });

  test("another website can neither press the button nor look in", async () => {
    const lead = await leading();
    const target = cluster.named(lead.replica).admin;
    const foreign = createServer((_, response) =>
      response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>evil</title>"));
    foreign.listen(0, "127.0.0.1");
    await once(foreign, "listening");
    const page = await open(chromium.browser, `http://localhost:${foreign.address().port}/`);
    const tried = await page.evaluate(async (at) => {
      const attempt = (path, options) => fetch(at + path, options).then((answer) => answer.type, () => "refused");
      const frame = document.createElement("iframe");
      frame.src = at;
      document.body.append(frame);
      await new Promise((resolve) => { frame.onload = resolve; });
      const form = document.createElement("form");
      form.method = "post";
      form.action = `${at}/v1/step-down`;
      form.target = "hidden";
      const hidden = document.createElement("iframe");
      hidden.name = "hidden";
      document.body.append(form, hidden);
      const submitted = new Promise((resolve) => { hidden.onload = resolve; });
      form.submit();
      await submitted;
      return {
        post: await attempt("/v1/step-down", { method: "POST" }),
        blind: await attempt("/v1/step-down", { method: "POST", mode: "no-cors" }),
        read: await attempt("/v1/cluster", {}),
        framed: frame.contentDocument === null,
      };
    }, target);
    assert.deepEqual(tried, { post: "refused", blind: "opaque", read: "refused", framed: true });
    const { leader: still } = await cluster.named(lead.replica).report();
    assert.equal(still.term, lead.term, "it leads on");
    foreign.close();
    await page.context().close();
  });
});

test("a token is asked for: a wrong one is refused, the right one taken, and neither is kept", async () => {
  const cluster = await startCluster({ names: ["castor", "alhena"], more: "admin: { token: sesame-open }" });
  try {
    const page = await open(chromium.browser, cluster.replicas[0].admin);
    await shows(page, "#fresh", "4 of 4");
    const first = await leader(page);
    const addresses = [];
    page.on("request", (request) => addresses.push(request.url()));
    await page.getByRole("button", { name: "Step down" }).click();
    await page.getByRole("button", { name: "Hand over" }).click();
    await shows(page, "#step-down-problem", "asks for its admin token");
    await page.getByLabel("Admin token").fill("sesame-shut");
    await page.keyboard.press("Enter");
    await shows(page, "#step-down-problem", "not its admin token");
    assert.equal(await leader(page), first);
    assert.deepEqual(await violations(page), []);
    await page.getByLabel("Admin token").fill("sesame-open");
    await page.keyboard.press("Enter");
    await shows(page, "#step-down-outcome", new RegExp(`took over from ${first}`));
    const kept = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.querySelector("#token").value]));
    assert.doesNotMatch(kept, /sesame/);
    assert.doesNotMatch(addresses.join(" "), /sesame/);
    // The browser itself reports the two refusals.
    assert.deepEqual(page.problems.filter((text) => !text.includes("401 (Unauthorized)")), []);
    assert.equal(page.problems.length, 2);
    await page.context().close();
  } finally {
    await cluster.stop();
  }
});

test("while the store is away, the page shows what it told last, and says so", async () => {
  const cluster = await startCluster({ names: ["castor", "alhena"] });
  try {
    const page = await open(chromium.browser, cluster.replicas[0].admin);
    await shows(page, "#served", "polls");
    await shows(page, "#timeline li", "leads");
    await cluster.loseStore();
    await shows(page, "#timeline-hint", "As of before the store went away.");
    assert.equal(await page.locator("#replicas .card").count(), 2);
    await shows(page, ".replica .detail", /^last heard of at \d\d:/);
    await shows(page, "#timeline li", "led term");
    await shows(page, "#served-why", /before the store went away|more polls than reads/);
    await shows(page, "#leader", "Not known");
    assert.doesNotMatch(await page.locator("main").textContent(), /No change of leader so far|no replica has told|Nobody leads/);
    assert.equal(await page.locator("#step-down").getAttribute("aria-disabled"), "true");
    assert.deepEqual(await violations(page), []);
    await screenshot(page, "away");
    assert.deepEqual(page.problems, []);
    await page.context().close();
  } finally {
    await cluster.stop();
  }
});

test("a difference is offered of what was fetched, as soon as there is a history", async () => {
  const cluster = await startCluster({ names: ["castor"] });
  try {
    const page = await open(chromium.browser, cluster.replicas[0].admin);
    await shows(page, "#fresh", "4 of 4");
    const offered = await page.evaluate(async () => {
      const { Endpoints } = await import("/page/endpoints.js");
      const { endpoints: [fetched], ...report } = await (await fetch("/v1/cluster")).json();
      const endpoints = [fetched, { ...fetched, name: "never-fetched", version: null }];
      const shown = new Endpoints();
      return [0, 5, 0].map((history) => {
        shown.show({ ...report, endpoints, history }, report.now);
        return endpoints.map(({ name }) => !document.querySelector(`[data-name=${name}] button`).hidden);
      });
    });
    assert.deepEqual(offered, [[false, false], [true, false], [false, false]]);
    await page.context().close();
  } finally {
    await cluster.stop();
  }
});

test("a replica that refuses its new configuration says so on everybody's page", async () => {
  const cluster = await startCluster({ names: ["castor", "alhena"] });
  try {
    const { admin } = cluster.named("alhena");
    const { file } = cluster.named("castor");
    const good = readFileSync(file, "utf8");
    writeFileSync(file, `${good}\ndrian: 5s\n`);
    const page = await open(chromium.browser, admin);
    const refusing = page.locator(".replica", { hasText: "refuses its new configuration" });
    await refusing.waitFor({ timeout: DEADLINE });
    assert.equal(await refusing.count(), 1);
    assert.match(await refusing.locator("h3").textContent(), /^castor/);
    assert.deepEqual(await violations(page), []);
    writeFileSync(file, good);
    await refusing.waitFor({ state: "detached", timeout: DEADLINE });
    assert.deepEqual(page.problems, []);
    await page.context().close();
  } finally {
    await cluster.stop();
  }
});

test("with thousands of endpoints the page shows those in trouble, and filters", async () => {
  const endpoints = Array.from({ length: 3000 }, (_, at) => [`feed-${at}`, "60s"]);
  endpoints.push(["late-one", "1s"]);
  const cluster = await startCluster({ names: ["castor"], endpoints });
  try {
    cluster.backend.state.failing.add("late-one");
    const page = await open(chromium.browser, cluster.replicas[0].admin);
    await shows(page, ".endpoint", "late-one");
    await eventually("the one in trouble is first", async () =>
      await page.locator(".endpoint").first().getAttribute("data-name") === "late-one");
    assert.equal(await page.locator(".endpoint").count(), 200);
    await shows(page, "#more-endpoints", "2,801 more");
    await page.getByLabel("Filter").fill("feed-2999");
    await eventually("one is left", async () => await page.locator(".endpoint").count() === 1);
    await shows(page, "#endpoints-hint", "1 of 3,001");
    await page.getByLabel("Filter").fill("nothing");
    await shows(page, "#more-endpoints", "No endpoint");
    assert.deepEqual(page.problems, []);
    await page.context().close();
  } finally {
    await cluster.stop();
  }
});
