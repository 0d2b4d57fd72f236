// Chromium, and pages in it that tell of every error.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import axe from "axe-core";
import { chromium } from "playwright-core";

export async function startBrowser() {
  const directory = mkdtempSync(join(tmpdir(), "pollux-browser-"));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    headless: true,
    env: { ...process.env, HOME: directory, XDG_CONFIG_HOME: directory, XDG_CACHE_HOME: directory },
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  return {
    browser,
    async stop() {
      await browser.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Opens a page in a profile of its own. `page.problems` lists console errors and violated policies. */
export async function open(browser, url, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1240, height: 900 }, colorScheme: "light", reducedMotion: "reduce", ...options,
  });
  const page = await context.newPage();
  page.problems = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.problems.push(message.text());
  });
  page.on("pageerror", (error) => page.problems.push(String(error)));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(url);
  return page;
}

/** What axe-core finds wrong with a page, in words. */
export async function violations(page) {
  // As the browser's own debugger, which no policy of the page keeps out.
  await page.evaluate(axe.source);
  const { violations: found } = await page.evaluate(() => globalThis.axe.run());
  return found.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join(" ")}`);
}
