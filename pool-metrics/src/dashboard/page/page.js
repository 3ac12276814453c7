// What is known, and all of it on the page.
import { NONE, STATUS, BAD, number, words, clock, duration, toneOf, wordsOf } from "./words.js";
import { $, el, say, badge, table } from "./build.js";
import { SPAN } from "./chart.js";
import { unnamed, time, card } from "./card.js";

const shown = new Map(); // name -> card
const series = new Map(); // name -> points
export let live = null;
let told = new Map(); // name -> status, as last announced

const overall = badge($("overall"));
const rest = (() => {
  const statements = table(
    "Statements",
    [
      ["Operation", unnamed],
      ["database", (row) => row.backend],
      ["count", (row) => number(row.took.count), true],
      ["errors", (row) => number(row.errors), true, (row) => row.errors > 0],
      ...["mean", "p99", "max"].map((name) => time(name, (row) => row.took)),
    ],
    "No statement was told of. The observer of a backend's builder takes monitor.statements_observer().",
    "titled",
  );
  const slowest = table(
    "Slowest statements",
    [
      ["Operation", unnamed],
      ["database", (row) => row.backend],
      ["took", (row) => duration(row.seconds), true],
      ["error", (row) => row.error ?? NONE, false, (row) => row.error != null],
    ],
    "No statement was told of.",
    "titled",
  );
  const events = table(
    "Events, newest first",
    [
      ["Time", (row) => clock(row.unix_millis)],
      ["database", (row) => row.database],
      ["what", (row) => words(row.kind), false, (row) => BAD.includes(row.kind)],
      ["more", (row) => row.text],
    ],
    "Nothing has happened that is worth a line.",
    "titled long",
  );
  const filter = el("select", { id: "filter" }, el("option", { value: "" }, "all databases"));
  filter.addEventListener("change", () => draw());
  $("rest").append(
    el(
      "section",
      { class: "card", "aria-labelledby": "statements-h" },
      el("h2", { id: "statements-h" }, "Statements"),
      statements,
    ),
    el(
      "section",
      { class: "card", "aria-labelledby": "slowest-h" },
      el("h2", { id: "slowest-h" }, "Slowest"),
      slowest,
    ),
    el(
      "section",
      { class: "card wide", "aria-labelledby": "events-h" },
      el(
        "div",
        { class: "filter" },
        el("h2", { id: "events-h" }, "Events"),
        el("label", { for: "filter" }, el("span", { class: "hidden" }, "Events "), "of"),
        filter,
      ),
      events,
    ),
  );
  return (document_) => {
    statements.update(document_.statements, "most time first");
    slowest.update(document_.slowest);
    const names = [
      ...new Set([
        ...document_.databases.map((one) => one.name),
        ...document_.events.map((one) => one.database),
      ]),
    ];
    while (filter.options.length > names.length + 1) filter.lastChild.remove();
    names.forEach((name, i) => {
      if (!filter.options[i + 1]) filter.append(el("option"));
      filter.options[i + 1].value = name;
      say(filter.options[i + 1], name);
    });
    const wanted = document_.events.filter(
      (event) => !filter.value || event.database === filter.value,
    );
    events.update(wanted.reverse());
  };
})();

/** In a second in which nothing was served, nothing took 0 s: there is no figure. */
function known(point) {
  if (!point.use_p99_seconds) point.use_p99_seconds = null;
  if (!point.acquired_per_second && !point.wait_p99_seconds) point.wait_p99_seconds = null;
  return point;
}

/** Adds points that are new. A history takes the place of what it covers: a server that began anew
    knows nothing of the time before. */
export function take(columns, anew) {
  const covered = anew ? (columns.unix_millis[0] ?? Infinity) : Infinity;
  let points = (series.get(columns.name) ?? []).filter((point) => point.t < covered);
  // A clock that was set back: what is drawn is of a time to come.
  if (points.at(-1)?.t > (columns.unix_millis.at(-1) ?? Infinity) + 10_000) points = [];
  const last = points.at(-1)?.t ?? 0;
  columns.unix_millis.forEach((t, i) => {
    if (t <= last) return;
    const point = { t };
    for (const [key, values] of Object.entries(columns))
      if (Array.isArray(values) && key !== "unix_millis") point[key] = values[i];
    points.push(known(point));
  });
  while (points.length && points[0].t < points.at(-1).t - SPAN) points.shift();
  series.set(columns.name, points);
}

function draw() {
  if (!live) return;
  const names = live.databases.map((one) => one.name);
  for (const [name, { node, jump }] of shown) {
    if (names.includes(name)) continue;
    node.remove();
    jump.remove();
    shown.delete(name);
    series.delete(name);
  }
  const list = $("strip").firstChild;
  live.databases.forEach((database, i) => {
    if (!shown.has(database.name)) shown.set(database.name, card(database.name));
    const { node, jump, update } = shown.get(database.name);
    if ($("databases").children[i] !== node) {
      $("databases").insertBefore(node, $("databases").children[i] ?? null);
      list.insertBefore(jump, list.children[i] ?? null);
    }
    update(database, series.get(database.name) ?? [], live.unix_millis);
  });
  $("strip").hidden = names.length < 2;
  $("rest").hidden = false;
  $("empty").hidden = names.length > 0;
  say(
    $("empty"),
    "No database is under watch: give the monitor one with monitor.watch(name, [pool.view()]).",
  );
  rest(live);
  say($("foot"), `pool-metrics ${live.version}; figures of ${clock(live.unix_millis)}.`);
  announce();
}

/** What changed in health goes to the title and to screen readers; nothing else is read out. */
function announce() {
  const tones = new Map(live.databases.map((one) => [one.name, toneOf(one)]));
  const worst = [...tones.values()].reduce(
    (a, b) => ((STATUS[b] ?? -1) > (STATUS[a] ?? -1) ? b : a),
    "none",
  );
  const bad = [...tones.values()].filter((tone) => tone === "unhealthy").length;
  const degraded = [...tones.values()].filter((tone) => tone === "degraded").length;
  const counts = [bad && `${bad} unhealthy`, degraded && `${degraded} degraded`]
    .filter(Boolean)
    .join(", ");
  overall.show(worst, counts || (worst === "none" ? "No data yet" : "All healthy"));
  const title = counts ? `${counts} - Connection pools` : "Connection pools";
  if (document.title !== title) document.title = title;
  const news = live.databases.filter(
    (one) => told.has(one.name) && told.get(one.name) !== tones.get(one.name),
  );
  if (!told.size && tones.size) say($("health-news"), `Databases: ${counts || "all healthy"}`);
  else if (news.length)
    say($("health-news"), news.map((one) => `${one.name} is now ${wordsOf(one)}`).join(". "));
  told = tones;
}

let drawing = false;

/** Draws when there is time for it: of documents that come in a bunch only the last. */
export function show(document_) {
  live = document_;
  live.databases.forEach((database) => take(database.recent));
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}
