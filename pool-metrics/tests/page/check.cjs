// Looks at the page as a person would, in Chromium: node check.cjs SERVER FOLDER, where SERVER is the
// example `dashboard` and FOLDER takes the pictures. Needs playwright-core and axe-core on NODE_PATH.
"use strict";
const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { readFileSync, mkdtempSync, mkdirSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { join } = require("node:path");
const { createInterface } = require("node:readline");
const { chromium } = require("playwright-core");

const [server, folder] = process.argv.slice(2);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const TOKEN = "let-me & see";
const PATIENCE = { timeout: 30_000 };
setTimeout(() => {
  console.error("the page's test hangs");
  process.exit(1);
}, 300_000).unref();

/** Starts the example; gives its process and the page's address. */
async function start(port) {
  const child = spawn(server, [String(port), TOKEN], { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface(child.stdout)) return { child, url: line };
  throw new Error("the example did not start");
}

const ended = (child) => new Promise((done) => child.once("exit", done));
const put = async (url, name, state) => {
  const response = await fetch(new URL(`/state/${name}/${state}`, url), { method: "POST" });
  assert.equal(response.status, 204);
};

async function looksRight(page, what) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${what}: ${wide} px too wide`);
  await page.evaluate(axe); // not as a script element: the policy of the page has no room for one
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const found = violations.map(
    (one) =>
      `${one.impact} ${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`,
  );
  assert.deepEqual(found, [], what);
}

/** A page whose console must stay empty, but for what the network has to say while it is `away`. */
async function open(browser, options, url) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.problems = [];
  page.away = false;
  page.on("console", (message) => {
    const expected = /Failed to load resource|ERR_/.test(message.text()) && page.away;
    if (["error", "warning"].includes(message.type()) && !expected)
      page.problems.push(message.text());
  });
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("request", (request) => {
    if (!request.url().startsWith(new URL(url).origin))
      page.problems.push(`asked for ${request.url()}`);
  });
  return page;
}

const state = (page, name) =>
  page.getByRole("region", { name, exact: true }).locator(".head .badge");
const states = [
  ["orders", /^(Healthy|Degraded)/],
  ["customers", /exhausted/],
  ["reports", /^Unhealthy: database down$/],
  ["archive", /^Healthy: idle|^Healthy/],
  ["legacy", /^Unhealthy: closed$/],
  ["unused", /^No data yet$/],
];

async function everyState(browser, url) {
  for (const width of [390, 768, 1440]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await open(
        browser,
        { viewport: { width, height: 900 }, colorScheme, reducedMotion: "reduce" },
        url,
      );
      await page.goto(`${url}#token=${encodeURIComponent(TOKEN)}`);
      assert.equal(await page.evaluate(() => location.hash), "", "the token is out of the address");
      for (const [name, words] of states)
        await state(page, name).getByText(words).waitFor(PATIENCE);
      await page.getByText("now", { exact: true }).first().waitFor(PATIENCE);
      await looksRight(page, `${width} px, ${colorScheme}`);
      assert.deepEqual(page.problems, []);
      await page.screenshot({
        path: join(folder, `all-${width}-${colorScheme}.png`),
        fullPage: true,
      });
      await page.context().close();
    }
  }
}

/** Without a token there is a form; a wrong one is said to be; the right one is kept for the tab. */
async function token(browser, url) {
  const page = await open(browser, { viewport: { width: 1440, height: 900 } }, url);
  page.away = true; // a 401 is in the console
  await page.goto(url);
  await page.getByLabel("Token").waitFor(PATIENCE);
  await looksRight(page, "form");
  await page.screenshot({ path: join(folder, "token.png") });
  // What can be no header is asked for anew, and not sent again and again.
  await page.goto("about:blank");
  await page.goto(`${url}#token=${encodeURIComponent("…")}`);
  await page.getByLabel("Token").waitFor(PATIENCE);
  await page.getByLabel("Token").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("not the right one").waitFor(PATIENCE);
  await page.getByLabel("Token").fill(TOKEN);
  await page.keyboard.press("Enter");
  await state(page, "orders")
    .getByText(/ealthy|Degraded/)
    .waitFor(PATIENCE);
  assert.equal(await page.getByLabel("Token").isVisible(), false);
  await page.reload();
  await state(page, "orders")
    .getByText(/ealthy|Degraded/)
    .waitFor(PATIENCE);
  assert.deepEqual(await page.evaluate(() => Object.values(localStorage)), []);
  assert.deepEqual(page.problems, []);
  return page;
}

/** All that a mouse does, keys do. */
async function keys(page) {
  const dark = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const before = await dark();
  await page.getByRole("button", { name: "Dark theme" }).press("Enter");
  assert.notEqual(await dark(), before);
  await page.reload();
  await page.getByRole("button", { name: "Light theme" }).waitFor(PATIENCE);
  assert.notEqual(await dark(), before, "the theme is remembered");

  await state(page, "orders")
    .getByText(/ealthy|Degraded/)
    .waitFor(PATIENCE);
  await page.waitForFunction(
    () => document.querySelector(".plot .l.use")?.getAttribute("d").includes("L"),
    null,
    PATIENCE,
  );
  const plot = page
    .getByRole("region", { name: "orders", exact: true })
    .getByRole("slider")
    .first();
  await plot.focus();
  await page.keyboard.press("ArrowLeft");
  assert.match(
    await plot.getAttribute("aria-valuetext"),
    /\d\d:\d\d:\d\d, \d+ s ago: in use \d+, waiting \d+, max 10/,
  );
  await page.keyboard.press("Escape");
  assert.match(await plot.getAttribute("aria-valuetext"), /^now: /);
  await plot.hover();
  assert.match(await plot.getAttribute("aria-valuetext"), /ago/);

  await page.getByRole("link", { name: /^reports/ }).press("Enter");
  assert.match(await page.evaluate(() => document.activeElement.id), /^db-|^$/);
  const rows = page.getByRole("region", { name: "Events" }).locator("tbody tr");
  await page.getByLabel("Events of").selectOption("reports");
  await page.waitForFunction(
    () =>
      [...document.querySelectorAll("[aria-labelledby=events-h] tbody tr")].every(
        (row) => row.cells[1].textContent === "reports",
      ),
    null,
    PATIENCE,
  );
  assert.ok((await rows.count()) > 0);
}

/** A database that goes down and comes back is told of, each time, without a click. */
async function changes(page, url) {
  await put(url, "archive", "load");
  await state(page, "archive")
    .getByText(/^Healthy$|^Degraded/)
    .waitFor(PATIENCE);
  await put(url, "archive", "down");
  await state(page, "archive")
    .getByText(/^Unhealthy: database down$/)
    .waitFor(PATIENCE);
  await page
    .getByRole("status")
    .getByText("archive is now Unhealthy: database down")
    .waitFor({ ...PATIENCE, state: "attached" });
  await put(url, "archive", "exhausted");
  await state(page, "archive")
    .getByText(/exhausted$/)
    .waitFor(PATIENCE);
  await put(url, "archive", "idle");
}

/** Where there is no place for one more stream, the page asks every few seconds. */
async function full(browser, url) {
  const headers = { Authorization: `Bearer ${TOKEN}` };
  const crowd = new AbortController();
  const ask = () => fetch(new URL("/api/live/events", url), { headers, signal: crowd.signal });
  let last = await ask();
  while (last.status === 200) last = await ask();
  assert.equal(last.status, 503);
  const page = await open(browser, { viewport: { width: 1440, height: 900 } }, url);
  page.away = true; // a 503 is in the console
  await page.goto(`${url}#token=${encodeURIComponent(TOKEN)}`);
  await page.getByText("Live, every 2 seconds").waitFor(PATIENCE);
  await state(page, "orders")
    .getByText(/ealthy|Degraded/)
    .waitFor(PATIENCE);
  crowd.abort();
  await page.getByText("Live", { exact: true }).waitFor({ timeout: 60_000 });
  assert.deepEqual(page.problems, []);
  await page.context().close();
}

/** The server goes and comes again: the page says so, and goes on. */
async function restart(page, running) {
  page.away = true;
  running.child.kill("SIGKILL");
  await ended(running.child);
  await page.getByText(/does not answer, figures of .*: trying again/).waitFor(PATIENCE);
  await looksRight(page, "away");
  await page.screenshot({ path: join(folder, "away.png") });
  const again = await start(new URL(running.url).port);
  await page.getByText("Live", { exact: true }).waitFor(PATIENCE);
  // Told to end, it does, whoever looks.
  const gone = ended(again.child);
  again.child.kill("SIGINT");
  assert.equal(await gone, 0);
  await page.getByText(/does not answer/).waitFor(PATIENCE);
  const last = await start(new URL(running.url).port);
  await page.getByText("Live", { exact: true }).waitFor(PATIENCE);
  page.away = false;
  assert.deepEqual(page.problems, []);
  return last;
}

(async () => {
  mkdirSync(folder, { recursive: true });
  const profile = mkdtempSync(join(tmpdir(), "page-"));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
    env: { ...process.env, HOME: profile },
  });
  let running = await start(0);
  try {
    const { url } = running;
    await everyState(browser, url);
    console.log("states: ok");
    const page = await token(browser, url);
    console.log("token: ok");
    await keys(page);
    console.log("keys: ok");
    await changes(page, url);
    console.log("changes: ok");
    await full(browser, url);
    console.log("full: ok");
    running = await restart(page, running);
    console.log("restart: ok");
  } finally {
    running.child.kill();
    await browser.close();
    rmSync(profile, { recursive: true, force: true });
  }
})().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
