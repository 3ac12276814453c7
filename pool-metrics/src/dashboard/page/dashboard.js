// The live page: follows the stream of documents, goes on by itself, and draws what they say.
// What comes from the server is text to show, never markup: all of it goes through textContent.
"use strict";

// ---- words and numbers ----

const NONE = "–";
const STATUS = { healthy: 0, degraded: 1, unhealthy: 2 };
const CONDITIONS = {
  closed: "closed", down: "database down", suspended: "suspended", exhausted: "exhausted",
  failing_connects: "connects fail", waiting: "waiting", watch: "look at it", unused: "no data yet",
  idle: "idle", working: "working",
};

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const BAD = ["connect_failed", "acquire_failed", "reset_failed", "leaked", "stalled"]; // of events
const number = (n) => (n == null ? NONE : (Math.abs(n) < 10 ? fine : plain).format(n));
const percent = (share) => (share == null ? NONE : `${Math.round(share * 100)} %`);
const words = (name) => name.replaceAll("_", " ");
const clock = (millis) => new Date(millis).toLocaleTimeString("en-GB");

/** Seconds as people read them: 850 µs, 1.2 ms, 3.4 s. */
function duration(s) {
  if (s == null) return NONE;
  if (s <= 0) return "0 s";
  const units = [[1e-6, 1e-9, "ns"], [1e-3, 1e-6, "µs"], [1, 1e-3, "ms"], [120, 1, "s"], [7200, 60, "min"]];
  const [, size, unit] = units.find(([below]) => s < below * 0.9995) ?? [0, 3600, "h"];
  const n = s / size;
  return `${n < 9.95 && unit !== "ns" ? Number(n.toFixed(1)) : Math.round(n)} ${unit}`;
}

const ago = (s) => (s < 1 ? "just now" : `${duration(Math.floor(s))} ago`);

// ---- building ----

const $ = (id) => document.getElementById(id);

/** An element with attributes and children; text becomes text. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Changes what has changed only, so that a selection and a screen reader's place stay. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function put(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

const SHAPES = {
  healthy: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm3.9 4.9-4.6 5.3a.8.8 0 0 1-1.2 0L4 8.9l1.2-1.2 1.5 1.6 4-4.600Z",
  degraded: "M8 1 .5 14.5h15ZM7.2 6h1.600l-.2 4.5H7.4Zm.8 5.4a1 1 0 1 1 0 2 1 1 0 0 1 0-2Z",
  unhealthy: "M5 1h6l4 4v6l-4 4H5l-4-4V5Zm.2 3L4 5.2 6.8 8 4 10.8 5.2 12 8 9.2l2.8 2.8 1.2-1.2L9.2 8 12 5.2 10.8 4 8 6.8Z",
  none: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 2a5 5 0 1 1 0 10A5 5 0 0 1 8 3Z",
};

/** A mark whose shape says what its colour says. */
function mark() {
  const path = svg("path", { "fill-rule": "evenodd" });
  const node = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, path);
  node.show = (tone) => {
    put(node, "class", `mark ${tone}`);
    put(path, "d", SHAPES[tone]);
  };
  return node;
}

function badge(node = el("p")) {
  const shape = mark();
  const text = el("span");
  node.replaceChildren(shape, text);
  node.show = (tone, words) => {
    node.hidden = false;
    put(node, "class", `badge ${tone}`);
    shape.show(tone);
    say(text, words);
  };
  return node;
}

function toneOf(database) {
  const { status, condition } = database;
  if (condition === "unused" && status === "healthy") return "none";
  const pressed = ["suspended", "exhausted", "waiting", "watch"].includes(condition);
  return pressed && status === "healthy" ? "degraded" : status;
}

function wordsOf(database) {
  const tone = toneOf(database);
  if (tone === "none") return "No data yet";
  const first = tone[0].toUpperCase() + tone.slice(1);
  return ["working", "watch"].includes(database.condition) ? first : `${first}: ${CONDITIONS[database.condition] ?? database.condition}`;
}

/** A table that keeps its rows; `columns`: [heading, how to get the text, is it a number, is it bad]. */
function table(caption, columns, nothing, style = "") {
  const note = el("small");
  const body = el("tbody");
  const head = el("tr", {}, ...columns.map(([name, , right]) => el("th", { scope: "col", class: right ? "n" : "" }, name)));
  const inner = el("table", {}, el("caption", {}, caption, " ", note), el("thead", {}, head), body);
  const scroll = el("div", { class: "scroll" }, inner);
  const title = el("h3", {}, caption);
  const empty = el("p", { class: "nothing" }, nothing);
  const box = el("div", { class: `box ${style}` }, scroll, title, empty);
  const cell = (_, i) => (i === 0 ? el("th", { scope: "row" }) : el("td"));
  box.update = (rows, more = "") => {
    scroll.hidden = !rows.length;
    title.hidden = empty.hidden = !scroll.hidden;
    say(note, more);
    while (body.rows.length > rows.length) body.lastChild.remove();
    while (body.rows.length < rows.length) body.append(el("tr", {}, ...columns.map(cell)));
    rows.forEach((row, i) => {
      columns.forEach(([, get, right, bad], j) => {
        const cell = body.rows[i].cells[j];
        say(cell, get(row));
        put(cell, "class", [right && "n", bad?.(row) && "bad"].filter(Boolean).join(" "));
      });
    });
  };
  // What scrolls has to be reached with the keyboard.
  const sized = new ResizeObserver(() => {
    const scrolls = scroll.scrollHeight > scroll.clientHeight + 1 || scroll.scrollWidth > scroll.clientWidth + 1;
    if (scrolls === scroll.hasAttribute("tabindex")) return;
    const group = { tabindex: "0", role: "group", "aria-label": caption };
    for (const [name, value] of Object.entries(group)) scrolls ? scroll.setAttribute(name, value) : scroll.removeAttribute(name);
  });
  sized.observe(scroll);
  sized.observe(inner);
  return box;
}

// ---- charts ----

const SPAN = 300_000;
const GAP = 5_000;
const MARGIN = { left: 44, right: 8, top: 8, bottom: 18 };

/** The next number that reads well on an axis, for whole things at least 1. */
function ceiling(n) {
  const size = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
  return [1, 2, 4, 5, 10].map((step) => step * size).find((step) => step >= n) ?? 1;
}

function linear(top, format) {
  const high = ceiling(top);
  return { at: (v) => v / high, ticks: [0, high / 2, high].map((v) => [v, format(v)]) };
}

/** Decades, and zero on the ground. */
function decades(values) {
  const some = values.filter((v) => v > 0);
  const log = Math.log10;
  const high = some.length ? Math.ceil(log(Math.max(...some)) - 1e-9) : -2;
  const low = Math.min(some.length ? Math.floor(log(Math.min(...some)) + 1e-9) - 1 : -5, high - 3);
  const step = Math.ceil((high - low) / 4);
  const ticks = [[0, "0"]];
  for (let d = high; d > low; d -= step) ticks.push([10 ** d, duration(10 ** d)]);
  return { at: (v) => (v > 0 ? Math.max(0, (log(v) - low) / (high - low)) : 0), ticks };
}

/** `lines`: {key, label, style, area}; drawn over five minutes, read with pointer or arrow keys. */
function chart(title, lines, format, logarithmic) {
  const values = lines.map(() => el("b"));
  const key = (line, i) => {
    const sample = svg("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, svg("path", { class: `l ${line.style}`, d: "M0 4H22" }));
    return el("span", {}, sample, `${line.label} `, values[i]);
  };
  const at = el("span", { class: "at" });
  const picture = svg("svg", { "aria-hidden": "true" });
  const plot = el("div", {
    class: "plot", tabindex: "0", role: "slider", "aria-label": `${title}, moment to read`,
    "aria-valuemin": "-300", "aria-valuemax": "0",
  }, picture);
  const extent = el("p", { class: "hidden" });
  const figure = el("figure", {}, el("figcaption", {}, el("h3", {}, title), at),
    el("div", { class: "keys" }, ...lines.map(key)), plot, extent);
  const ground = svg("g");
  const areas = lines.map((line) => line.area && svg("path", { class: `area ${line.style}` }));
  const paths = lines.map((line) => svg("path", { class: `l ${line.style}` }));
  const cursor = svg("path", { class: "cursor" });
  picture.append(ground, ...areas.filter(Boolean), ...paths, cursor);

  let points = [];
  let now = 0;
  let width = 0;
  let height = 0;
  let chosen = null; // how long before now, in milliseconds

  const nearest = (time) => points.reduce((best, p) => (best && Math.abs(best.t - time) <= Math.abs(p.t - time) ? best : p), null);

  function read() {
    const point = chosen == null ? points.at(-1) : nearest(now - chosen);
    lines.forEach((line, i) => say(values[i], point ? format(point[line.key]) : NONE));
    const before = point && chosen != null ? Math.max(0, Math.round((now - point.t) / 1000)) : 0;
    say(at, !point ? "no samples yet: monitor.run() takes them" : chosen == null ? "now" : `${clock(point.t)}, ${before} s ago`);
    put(plot, "aria-valuenow", -before);
    put(plot, "aria-valuetext", `${at.textContent}: ${lines.map((line, i) => `${line.label} ${values[i].textContent}`).join(", ")}`);
    return point;
  }

  function draw() {
    const point = read();
    if (!width) return;
    const all = points.flatMap((p) => lines.map((line) => p[line.key]));
    const scale = logarithmic ? decades(all) : linear(Math.max(0, ...all), number);
    const x = (t) => MARGIN.left + (1 - (now - t) / SPAN) * (width - MARGIN.left - MARGIN.right);
    const floor = height - MARGIN.bottom;
    const y = (v) => floor - scale.at(v) * (floor - MARGIN.top);
    const marks = scale.ticks.flatMap(([v, text]) => [
      svg("path", { class: "grid", d: `M${MARGIN.left} ${y(v).toFixed(1)}H${width - MARGIN.right}` }),
      svg("text", { x: MARGIN.left - 6, y: y(v) + 4, "text-anchor": "end" }, text),
    ]);
    const ends = [["start", now - SPAN, "5 min ago"], ["middle", now - SPAN / 2, "2.5 min"], ["end", now, "now"]];
    ground.replaceChildren(...marks, ...ends.map(([anchor, t, text]) =>
      svg("text", { x: x(t), y: height - 3, "text-anchor": anchor }, text)));
    lines.forEach((line, i) => {
      let path = "";
      let area = "";
      let last = null;
      for (const p of points) {
        if (p[line.key] == null) continue;
        const place = `${x(p.t).toFixed(1)} ${y(p[line.key]).toFixed(1)}`;
        const begins = last == null || p.t - last > GAP;
        if (begins && last != null) area += `V${floor}Z`;
        path += begins ? `M${place}h2.5` : `L${place}`; // one alone is a dot
        area += begins ? `M${x(p.t).toFixed(1)} ${floor}L${place}` : `L${place}`;
        last = p.t;
      }
      if (last != null) area += `V${floor}Z`;
      put(paths[i], "d", path);
      if (areas[i]) put(areas[i], "d", area);
    });
    put(cursor, "d", chosen != null && point ? `M${x(point.t).toFixed(1)} ${MARGIN.top}V${floor}` : "");
  }

  const choose = (before) => {
    chosen = before == null ? null : Math.min(Math.max(before, 0), points.length ? now - points[0].t : 0);
    draw();
  };
  const pointed = (event) => {
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
    choose((1 - Math.min(Math.max(share, 0), 1)) * SPAN);
  };
  plot.addEventListener("pointermove", pointed);
  plot.addEventListener("pointerdown", pointed);
  plot.addEventListener("pointerleave", () => choose(null));
  plot.addEventListener("blur", () => choose(null));
  plot.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: 1e3, ArrowDown: 1e3, PageDown: 3e4, ArrowRight: -1e3, ArrowUp: -1e3, PageUp: -3e4 };
    if (event.key in steps) choose((chosen ?? 0) + steps[event.key]);
    else if (event.key === "Home") choose(SPAN);
    else if (event.key === "End") choose(0);
    else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
  });
  new ResizeObserver(([{ contentRect }]) => {
    ({ width, height } = contentRect);
    draw();
  }).observe(plot);

  figure.update = (given, time) => {
    points = given;
    now = time;
    const most = (line) => `${line.label} at most ${format(Math.max(...points.map((p) => p[line.key])))}`;
    say(extent, points.length ? `In the last five minutes: ${lines.map(most).join(", ")}.` : "");
    draw();
  };
  return figure;
}

// ---- a database ----

const STATES = [
  ["in_use", "in use", "s-use"], ["idle", "idle", "s-idle"], ["connecting", "connecting", "s-open"],
  ["validating", "validating", "s-check"], ["resetting", "resetting", "s-clean"], ["closing", "closing", "s-shut"],
];

function stateBar() {
  const parts = [...STATES, ["free", "not open", "s-free"]];
  const bars = parts.map(([, , style]) => el("span", { class: style }));
  const counts = parts.map(() => el("b"));
  const legend = parts.map(([, name, style], i) => el("li", {}, el("i", { class: style }), counts[i], ` ${name}`));
  const box = el("div", {}, el("h3", { class: "hidden" }, "Connections by state"),
    el("div", { class: "bar", "aria-hidden": "true" }, ...bars), el("ul", { class: "legend" }, ...legend));
  box.update = (side) => {
    const open = STATES.reduce((sum, [state]) => sum + side[state], 0);
    const numbers = { ...side, free: Math.max(0, side.max_size - open) };
    parts.forEach(([state], i) => {
      bars[i].style.flexGrow = numbers[state];
      say(counts[i], number(numbers[state]));
    });
  };
  return box;
}

function figures() {
  const list = el("dl", { class: "figures" });
  const shown = new Map();
  list.update = (rows) => rows.forEach(([name, value, tone = "", rest = ""]) => {
    if (!shown.has(name)) {
      const parts = { box: el("div"), value: el("span"), rest: el("small") };
      parts.box.append(el("dt", {}, name), el("dd", {}, parts.value, parts.rest));
      list.append(parts.box);
      shown.set(name, parts);
    }
    const parts = shown.get(name);
    put(parts.box, "class", tone);
    say(parts.value, value);
    say(parts.rest, rest);
  });
  return list;
}

const unnamed = (row) => row.operation ?? "(no name)";
const time = (name, of = (row) => row) => [name, (row) => (of(row).count ? duration(of(row)[name]) : NONE), true];

let cards = 0;

function card(name) {
  const id = `db-${cards++}`;
  const state = badge();
  const advice = el("p", { class: "advice" });
  const reasons = el("ul", { class: "reasons", "aria-label": `Why, ${name}` });
  const error = el("p", { class: "trouble" });
  const probe = el("p", { class: "dim" });
  const big = figures();
  const bar = stateBar();
  const charts = [
    chart("Connections", [
      { key: "in_use", label: "in use", style: "use", area: true },
      { key: "waiting", label: "waiting", style: "wait" },
      { key: "max_size", label: "max", style: "max" },
    ], number),
    chart("Acquires per second", [
      { key: "acquired_per_second", label: "served", style: "rate", area: true },
      { key: "failed_per_second", label: "failed", style: "fail" },
    ], number),
    chart("Wait and use p99", [
      { key: "use_p99_seconds", label: "use p99", style: "use" },
      { key: "wait_p99_seconds", label: "wait p99", style: "wait" },
    ], duration, true),
  ];
  const windowTable = table("Times", [
    ["of", (row) => row.name], ["count", (row) => number(row.count), true], time("mean"), time("p50"), time("p90"), time("p99"), time("max"),
  ], "");
  const holders = table("Who holds connections", [
    ["Call site", (row) => row.site], ["operation", unnamed], ["held", (row) => number(row.count), true],
    ["longest", (row) => duration(row.longest_seconds), true], ["unused", (row) => percent(row.idle_share), true],
  ], "Nobody holds a connection now.", "sites");
  const operations = table("Operations", [
    ["Operation", unnamed], ["served", (row) => number(row.wait.count), true], ["failed", (row) => number(row.failed), true, (row) => row.failed > 0],
    ...["mean", "p99", "max"].map((name) => { const [, get] = time(name, (row) => row.wait); return [`wait ${name}`, get, true]; }),
  ], "Nobody has acquired a connection yet.");
  const closes = table("Closed connections", [
    ["Reason", (row) => words(row.reason)], ["in the window", (row) => number(row.in_window), true], ["in all", (row) => number(row.count), true],
  ], "No connection has ended yet.");
  const sides = table("Pools and limits", [
    ["Pool", (row) => row.name], ...STATES.map(([key, label]) => [label, (row) => number(row[key]), true]),
    ["waiting", (row) => number(row.waiting), true], ["max", (row) => number(row.max_size), true], ["min", (row) => number(row.min_size), true],
    ["min idle", (row) => number(row.min_idle), true], ["max idle", (row) => number(row.max_idle), true],
    ["max waiting", (row) => (row.max_waiting == null ? "no limit" : number(row.max_waiting)), true],
  ], "");
  sides.classList.add("wide");
  const pictures = el("div", { class: "charts" }, ...charts);
  const details = [holders, operations, windowTable, closes];
  const node = el("section", { class: "card", id, "aria-labelledby": `${id}-h`, tabindex: "-1" },
    el("div", { class: "head" }, el("h2", { id: `${id}-h` }, name), state), advice, reasons, error, big, bar,
    pictures, el("div", { class: "cards" }, ...details, sides), probe);

  const jumpMark = mark();
  const jumpWords = el("span", { class: "say" });
  const jumpUse = el("span");
  const jump = el("li", {}, el("a", { href: `#${id}` }, jumpMark, el("b", {}, name), jumpUse, jumpWords));

  function update(database, points, now) {
    const { total, window: seen } = database;
    const tone = toneOf(database);
    state.show(tone, wordsOf(database));
    say(advice, database.advice[0].toUpperCase() + database.advice.slice(1) + ".");
    jumpMark.show(tone);
    say(jumpUse, `${number(total.in_use)} / ${number(total.max_size)}`);
    say(jumpWords, wordsOf(database) + (total.waiting ? `, ${number(total.waiting)} waiting` : ""));

    while (reasons.children.length > database.reasons.length) reasons.lastChild.remove();
    while (reasons.children.length < database.reasons.length) reasons.append(el("li", {}, el("b"), el("span")));
    database.reasons.forEach((reason, i) => {
      put(reasons.children[i], "class", reason.status);
      say(reasons.children[i].firstChild, words(reason.indicator));
      say(reasons.children[i].lastChild, `: ${reason.text}`);
    });
    reasons.hidden = !database.reasons.length;

    const failure = database.last_connect_error;
    say(error, failure ? `Last connect error, ${ago(failure.ago_seconds)}: ${failure.text}` : "");
    put(error, "class", failure && failure.ago_seconds < seen.seconds + 1 ? "trouble" : "trouble past");
    const asked = database.last_probe;
    const answer = asked && (asked.error ? `failed: ${asked.error}` : `answered in ${duration(asked.latency_seconds)}`);
    say(probe, asked ? `Last health check ${ago(asked.ago_seconds)}: ${answer}.` : "");

    const minute = `of the last ${Math.round(seen.seconds)} s`;
    const full = total.in_use >= total.max_size;
    const hit = seen.hit_rate;
    big.update([
      ["in use of max", number(total.in_use), full ? (total.waiting ? "hot" : "warm") : "", ` / ${number(total.max_size)}`],
      ["waiting", number(total.waiting), total.waiting ? "hot" : ""],
      ["oldest waiter", duration(total.oldest_waiter_seconds), total.oldest_waiter_seconds > 0.1 ? "warm" : ""],
      ["wait p99", seen.wait.count ? duration(seen.wait.p99) : NONE, seen.wait.p99 > 0.1 ? "warm" : ""],
      ["use p99", seen.usage.count ? duration(seen.usage.p99) : NONE],
      ["hit rate", percent(hit), hit != null && hit < 0.8 && seen.acquired >= 10 ? "warm" : ""],
      ["acquires / s", number(seen.acquired_per_second)],
      ["went without", number(seen.failed), seen.failed ? "warm" : ""],
      ["utilisation", percent(database.utilization), database.utilization > 0.8 ? "warm" : ""],
      ["pressure", percent(database.pressure), database.pressure > 0.5 ? "warm" : ""],
    ]);
    bar.update(total);
    // Of what nobody has used there is nothing to draw.
    for (const one of [pictures, ...details]) one.hidden = database.condition === "unused";
    charts.forEach((one) => one.update(points, now));
    const kinds = [["timed out", seen.timed_out], ["cancelled", seen.cancelled], ["turned away", seen.shed]].filter(([, n]) => n);
    const failed = kinds.map(([kind, n]) => `${number(n)} ${kind}`).join(", ");
    const connects = seen.connects_failed ? `${number(seen.connects_failed)} connects failed` : "";
    windowTable.update([
      { name: "wait", ...seen.wait }, { name: "use", ...seen.usage }, { name: "connect", ...seen.connect },
    ], [minute, failed, connects].filter(Boolean).join("; "));
    holders.update(database.holders);
    operations.update(database.operations, "most time waited first");
    closes.update(database.closes, `window ${minute}`);
    sides.update(database.sides);
  }
  return { node, jump, update };
}

// ---- all of it ----

const shown = new Map(); // name -> card
const series = new Map(); // name -> points
let live = null;
let told = new Map(); // name -> status, as last announced

const overall = badge($("overall"));
const rest = (() => {
  const statements = table("Statements", [
    ["Operation", unnamed], ["database", (row) => row.backend], ["count", (row) => number(row.took.count), true],
    ["errors", (row) => number(row.errors), true, (row) => row.errors > 0],
    ...["mean", "p99", "max"].map((name) => time(name, (row) => row.took)),
  ], "No statement was told of. The observer of a backend's builder takes monitor.statements_observer().", "titled");
  const slowest = table("Slowest statements", [
    ["Operation", unnamed], ["database", (row) => row.backend], ["took", (row) => duration(row.seconds), true], ["error", (row) => row.error ?? NONE, false, (row) => row.error != null],
  ], "No statement was told of.", "titled");
  const events = table("Events, newest first", [
    ["Time", (row) => clock(row.unix_millis)], ["database", (row) => row.database], ["what", (row) => words(row.kind), false, (row) => BAD.includes(row.kind)], ["more", (row) => row.text],
  ], "Nothing has happened that is worth a line.", "titled long");
  const filter = el("select", { id: "filter" }, el("option", { value: "" }, "all databases"));
  filter.addEventListener("change", () => draw());
  $("rest").append(
    el("section", { class: "card", "aria-labelledby": "statements-h" }, el("h2", { id: "statements-h" }, "Statements"), statements),
    el("section", { class: "card", "aria-labelledby": "slowest-h" }, el("h2", { id: "slowest-h" }, "Slowest"), slowest),
    el("section", { class: "card wide", "aria-labelledby": "events-h" },
      el("div", { class: "filter" }, el("h2", { id: "events-h" }, "Events"), el("label", { for: "filter" }, el("span", { class: "hidden" }, "Events "), "of"), filter), events));
  return (document_) => {
    statements.update(document_.statements, "most time first");
    slowest.update(document_.slowest);
    const names = [...new Set([...document_.databases.map((one) => one.name), ...document_.events.map((one) => one.database)])];
    while (filter.options.length > names.length + 1) filter.lastChild.remove();
    names.forEach((name, i) => {
      if (!filter.options[i + 1]) filter.append(el("option"));
      filter.options[i + 1].value = name;
      say(filter.options[i + 1], name);
    });
    const wanted = document_.events.filter((event) => !filter.value || event.database === filter.value);
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
function take(columns, anew) {
  const covered = anew ? columns.unix_millis[0] ?? Infinity : Infinity;
  const points = (series.get(columns.name) ?? []).filter((point) => point.t < covered);
  const last = points.at(-1)?.t ?? 0;
  columns.unix_millis.forEach((t, i) => {
    if (t <= last) return;
    const point = { t };
    for (const [key, values] of Object.entries(columns)) if (Array.isArray(values) && key !== "unix_millis") point[key] = values[i];
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
  say($("empty"), "No database is under watch: give the monitor one with monitor.watch(name, [pool.view()]).");
  rest(live);
  say($("foot"), `pool-metrics ${live.version}; figures of ${clock(live.unix_millis)}.`);
  announce();
}

/** What changed in health goes to the title and to screen readers; nothing else is read out. */
function announce() {
  const tones = new Map(live.databases.map((one) => [one.name, toneOf(one)]));
  const worst = [...tones.values()].reduce((a, b) => ((STATUS[b] ?? -1) > (STATUS[a] ?? -1) ? b : a), "none");
  const bad = [...tones.values()].filter((tone) => tone === "unhealthy").length;
  const degraded = [...tones.values()].filter((tone) => tone === "degraded").length;
  const counts = [bad && `${bad} unhealthy`, degraded && `${degraded} degraded`].filter(Boolean).join(", ");
  overall.show(worst, counts || (worst === "none" ? "No data yet" : "All healthy"));
  const title = counts ? `${counts} - Connection pools` : "Connection pools";
  if (document.title !== title) document.title = title;
  const news = live.databases.filter((one) => told.has(one.name) && told.get(one.name) !== tones.get(one.name));
  if (!told.size && tones.size) say($("health-news"), `Databases: ${counts || "all healthy"}`);
  else if (news.length) say($("health-news"), news.map((one) => `${one.name} is now ${wordsOf(one)}`).join(". "));
  told = tones;
}

let drawing = false;

/** Draws when there is time for it: of documents that come in a bunch only the last. */
function show(document_) {
  live = document_;
  live.databases.forEach((database) => take(database.recent));
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

// ---- the way to the server ----

const SILENCE = 10_000; // then it is taken for gone: there should be something each second
const HIDDEN = 60_000; // a page that nobody sees gives its place back
const POLLS = 15; // asks for the document so often before it tries for a stream again
const LONGEST = 15_000;

let wake = () => {};
let aborter = null;

const pause = (millis) => new Promise((done) => {
  const timer = setTimeout(done, millis);
  wake = () => {
    clearTimeout(timer);
    done();
  };
});

function linkSays(text, off) {
  put($("link"), "class", off ? "link off" : "link");
  say($("link"), text);
}

let token = null; // where there is no session storage, it is here only
const kept = (store, name, value) => {
  try {
    if (value !== undefined) store().setItem(name, value);
    return store().getItem(name);
  } catch {
    return null;
  }
};
const session = () => sessionStorage;
const local = () => localStorage;

/** A token in the address is taken from there at once, so that it is in no bookmark and no picture. */
function tokenFromAddress() {
  if (!location.hash.startsWith("#token=")) return false;
  let given = location.hash.slice("#token=".length);
  try {
    given = decodeURIComponent(given);
  } catch { /* it is what it is */ }
  token = given;
  kept(session, "pool-token", token);
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

const get = (path) => {
  const given = token ?? kept(session, "pool-token");
  const headers = given ? { Authorization: `Bearer ${given}` } : {};
  return fetch(path, { headers, cache: "no-store", signal: aborter.signal });
};

/** Follows the stream until it ends; how it went: `denied`, `full`, `ended` or `lost`. */
async function follow(onLife) {
  aborter = new AbortController();
  let timer = setTimeout(() => aborter.abort(), SILENCE);
  try {
    const response = await get("api/live/events");
    if (response.status === 401) return "denied";
    if (response.status === 503) return "full";
    if (!response.ok) return "lost";
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "ended";
      clearTimeout(timer);
      timer = setTimeout(() => aborter.abort(), SILENCE);
      text += decoder.decode(value, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop();
      for (const block of blocks) hear(block);
      onLife();
    }
  } catch {
    return "lost";
  } finally {
    clearTimeout(timer);
    aborter.abort();
  }
}

function hear(block) {
  const field = (name) => block.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
  const data = field("data");
  if (field("event") === "history") JSON.parse(data).forEach((columns) => take(columns, true));
  else if (field("event") === "live") show(JSON.parse(data));
}

/** Where there is no place for another stream. */
async function poll(onLife) {
  for (let i = 0; i < POLLS; i++) {
    aborter = new AbortController();
    const timer = setTimeout(() => aborter.abort(), SILENCE);
    try {
      const response = await get("api/live");
      if (response.status === 401) return "denied";
      if (!response.ok) return "lost";
      show(await response.json());
    } catch {
      return "lost";
    } finally {
      clearTimeout(timer);
    }
    onLife();
    linkSays("Live, every 2 seconds: many look at this already", false);
    await pause(2_000);
  }
  return "again";
}

/** Asks for a token until one is sent. */
function ask() {
  const form = $("token-form");
  const had = token ?? kept(session, "pool-token");
  form.hidden = false;
  say($("token-wrong"), had ? "This token is not the right one." : "");
  linkSays("Waiting for a token", true);
  $("databases").hidden = $("rest").hidden = $("strip").hidden = true;
  $("token").value = "";
  $("token").focus();
  return new Promise((done) => {
    const given = () => {
      form.onsubmit = null;
      form.hidden = true;
      $("databases").hidden = false;
      done();
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      token = $("token").value;
      kept(session, "pool-token", token);
      $("token").value = "";
      given();
    };
    wake = given; // a token came with the address
  });
}

async function run() {
  let failures = 0;
  const alive = () => {
    failures = 0;
    linkSays("Live", false);
  };
  linkSays("Connecting", false);
  for (;;) {
    while (document.hidden && live) await pause(HIDDEN);
    let outcome = await follow(alive);
    if (outcome === "full") outcome = await poll(alive);
    if (outcome === "denied") await ask();
    if (outcome === "denied" || outcome === "again" || document.hidden) continue;
    // Not all at once, when all have lost the server at once.
    const wait = Math.min(1_000 * 2 ** failures++, LONGEST) * (0.75 + Math.random() / 2);
    const since = live ? `, figures of ${clock(live.unix_millis)}` : "";
    let woken = false;
    for (let left = Math.ceil(wait / 1000); left > 0 && !woken; left--) {
      linkSays(`The server does not answer${since}: trying again in ${left} s`, true);
      await Promise.race([pause(1_000), new Promise((done) => {
        const before = wake;
        wake = () => {
          woken = true;
          before();
          done();
        };
      })]);
    }
    linkSays(`The server does not answer${since}: trying again`, true);
  }
}

// ---- at the start ----

let hiding = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(() => aborter?.abort(), HIDDEN);
  else wake();
});
addEventListener("online", () => wake());
addEventListener("hashchange", () => {
  if (!tokenFromAddress()) return;
  aborter?.abort();
  wake();
});

const dark = matchMedia("(prefers-color-scheme: dark)");
let theme = kept(local, "pool-theme");

function paint() {
  if (theme) document.documentElement.dataset.theme = theme;
  const isDark = theme ? theme === "dark" : dark.matches;
  say($("theme"), isDark ? "Light theme" : "Dark theme");
}

dark.addEventListener("change", paint);
$("theme").addEventListener("click", () => {
  const isDark = theme ? theme === "dark" : dark.matches;
  theme = isDark ? "light" : "dark";
  kept(local, "pool-theme", theme);
  paint();
});

tokenFromAddress();
paint();
run();
