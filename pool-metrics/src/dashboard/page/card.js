// A database: its card, and the jump to it.
import { NONE, number, percent, words, duration, ago, toneOf, wordsOf } from "./words.js";
import { el, say, put, mark, badge, table } from "./build.js";
import { chart } from "./chart.js";

const STATES = [
  ["in_use", "in use", "s-use"],
  ["idle", "idle", "s-idle"],
  ["connecting", "connecting", "s-open"],
  ["validating", "validating", "s-check"],
  ["resetting", "resetting", "s-clean"],
  ["closing", "closing", "s-shut"],
];

function stateBar() {
  const parts = [...STATES, ["free", "not open", "s-free"]];
  const bars = parts.map(([, , style]) => el("span", { class: style }));
  const counts = parts.map(() => el("b"));
  const legend = parts.map(([, name, style], i) =>
    el("li", {}, el("i", { class: style }), counts[i], ` ${name}`),
  );
  const box = el(
    "div",
    {},
    el("h3", { class: "hidden" }, "Connections by state"),
    el("div", { class: "bar", "aria-hidden": "true" }, ...bars),
    el("ul", { class: "legend" }, ...legend),
  );
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
  list.update = (rows) =>
    rows.forEach(([name, value, tone = "", rest = ""]) => {
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

export const unnamed = (row) => row.operation ?? "(no name)";
export const time = (name, of = (row) => row) => [
  name,
  (row) => (of(row).count ? duration(of(row)[name]) : NONE),
  true,
];

let cards = 0;

export function card(name) {
  const id = `db-${cards++}`;
  const state = badge();
  const advice = el("p", { class: "advice" });
  const reasons = el("ul", { class: "reasons", "aria-label": `Why, ${name}` });
  const error = el("p", { class: "trouble" });
  const probe = el("p", { class: "dim" });
  const big = figures();
  const bar = stateBar();
  const charts = [
    chart(
      "Connections",
      [
        { key: "in_use", label: "in use", style: "use", area: true },
        { key: "waiting", label: "waiting", style: "wait" },
        { key: "max_size", label: "max", style: "max" },
      ],
      number,
    ),
    chart(
      "Acquires per second",
      [
        { key: "acquired_per_second", label: "served", style: "rate", area: true },
        { key: "failed_per_second", label: "failed", style: "fail" },
      ],
      number,
    ),
    chart(
      "Wait and use p99",
      [
        { key: "use_p99_seconds", label: "use p99", style: "use" },
        { key: "wait_p99_seconds", label: "wait p99", style: "wait" },
      ],
      duration,
      true,
    ),
  ];
  const windowTable = table(
    "Times",
    [
      ["of", (row) => row.name],
      ["count", (row) => number(row.count), true],
      time("mean"),
      time("p50"),
      time("p90"),
      time("p99"),
      time("max"),
    ],
    "",
  );
  const holders = table(
    "Who holds connections",
    [
      ["Call site", (row) => row.site],
      ["operation", unnamed],
      ["held", (row) => number(row.count), true],
      ["longest", (row) => duration(row.longest_seconds), true],
      ["unused", (row) => percent(row.idle_share), true],
    ],
    "Nobody holds a connection now.",
    "sites",
  );
  const operations = table(
    "Operations",
    [
      ["Operation", unnamed],
      ["served", (row) => number(row.wait.count), true],
      ["failed", (row) => number(row.failed), true, (row) => row.failed > 0],
      ...["mean", "p99", "max"].map((name) => {
        const [, get] = time(name, (row) => row.wait);
        return [`wait ${name}`, get, true];
      }),
    ],
    "Nobody has acquired a connection yet.",
  );
  const closes = table(
    "Closed connections",
    [
      ["Reason", (row) => words(row.reason)],
      ["in the window", (row) => number(row.in_window), true],
      ["in all", (row) => number(row.count), true],
    ],
    "No connection has ended yet.",
  );
  const sides = table(
    "Pools and limits",
    [
      ["Pool", (row) => row.name],
      ...STATES.map(([key, label]) => [label, (row) => number(row[key]), true]),
      ["waiting", (row) => number(row.waiting), true],
      ["max", (row) => number(row.max_size), true],
      ["min", (row) => number(row.min_size), true],
      ["min idle", (row) => number(row.min_idle), true],
      ["max idle", (row) => number(row.max_idle), true],
      [
        "max waiting",
        (row) => (row.max_waiting == null ? "no limit" : number(row.max_waiting)),
        true,
      ],
    ],
    "",
  );
  sides.classList.add("wide");
  const pictures = el("div", { class: "charts" }, ...charts);
  const details = [holders, operations, windowTable, closes];
  const node = el(
    "section",
    { class: "card", id, "aria-labelledby": `${id}-h`, tabindex: "-1" },
    el("div", { class: "head" }, el("h2", { id: `${id}-h` }, name), state),
    advice,
    reasons,
    error,
    big,
    bar,
    pictures,
    el("div", { class: "cards" }, ...details, sides),
    probe,
  );

  const jumpMark = mark();
  const jumpWords = el("span", { class: "say" });
  const jumpUse = el("span");
  const jump = el(
    "li",
    {},
    el("a", { href: `#${id}` }, jumpMark, el("b", {}, name), jumpUse, jumpWords),
  );

  function update(database, points, now) {
    const { total, window: seen } = database;
    const tone = toneOf(database);
    state.show(tone, wordsOf(database));
    say(advice, database.advice[0].toUpperCase() + database.advice.slice(1) + ".");
    jumpMark.show(tone);
    say(jumpUse, `${number(total.in_use)} / ${number(total.max_size)}`);
    say(jumpWords, wordsOf(database) + (total.waiting ? `, ${number(total.waiting)} waiting` : ""));

    while (reasons.children.length > database.reasons.length) reasons.lastChild.remove();
    while (reasons.children.length < database.reasons.length)
      reasons.append(el("li", {}, el("b"), el("span")));
    database.reasons.forEach((reason, i) => {
      put(reasons.children[i], "class", reason.status);
      say(reasons.children[i].firstChild, words(reason.indicator));
      say(reasons.children[i].lastChild, `: ${reason.text}`);
    });
    reasons.hidden = !database.reasons.length;

    const failure = database.last_connect_error;
    say(error, failure ? `Last connect error, ${ago(failure.ago_seconds)}: ${failure.text}` : "");
    put(
      error,
      "class",
      failure && failure.ago_seconds < seen.seconds + 1 ? "trouble" : "trouble past",
    );
    const asked = database.last_probe;
    const answer =
      asked &&
      (asked.error ? `failed: ${asked.error}` : `answered in ${duration(asked.latency_seconds)}`);
    say(probe, asked ? `Last health check ${ago(asked.ago_seconds)}: ${answer}.` : "");

    const minute = `of the last ${Math.round(seen.seconds)} s`;
    const full = total.in_use >= total.max_size;
    const hit = seen.hit_rate;
    big.update([
      [
        "in use of max",
        number(total.in_use),
        full ? (total.waiting ? "hot" : "warm") : "",
        ` / ${number(total.max_size)}`,
      ],
      ["waiting", number(total.waiting), total.waiting ? "hot" : ""],
      [
        "oldest waiter",
        duration(total.oldest_waiter_seconds),
        total.oldest_waiter_seconds > 0.1 ? "warm" : "",
      ],
      [
        "wait p99",
        seen.wait.count ? duration(seen.wait.p99) : NONE,
        seen.wait.p99 > 0.1 ? "warm" : "",
      ],
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
    const kinds = [
      ["timed out", seen.timed_out],
      ["cancelled", seen.cancelled],
      ["turned away", seen.shed],
    ].filter(([, n]) => n);
    const failed = kinds.map(([kind, n]) => `${number(n)} ${kind}`).join(", ");
    const connects = seen.connects_failed ? `${number(seen.connects_failed)} connects failed` : "";
    windowTable.update(
      [
        { name: "wait", ...seen.wait },
        { name: "use", ...seen.usage },
        { name: "connect", ...seen.connect },
      ],
      [minute, failed, connects].filter(Boolean).join("; "),
    );
    holders.update(database.holders);
    operations.update(database.operations, "most time waited first");
    closes.update(database.closes, `window ${minute}`);
    sides.update(database.sides);
  }
  return { node, jump, update };
}
