// Words and numbers as people read them.
export const NONE = "–";
export const STATUS = { healthy: 0, degraded: 1, unhealthy: 2 };
const CONDITIONS = {
  closed: "closed",
  down: "database down",
  suspended: "suspended",
  exhausted: "exhausted",
  failing_connects: "connects fail",
  waiting: "waiting",
  watch: "look at it",
  unused: "no data yet",
  idle: "idle",
  working: "working",
};

const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
export const BAD = ["connect_failed", "acquire_failed", "reset_failed", "leaked", "stalled"]; // of events
export const number = (n) => (n == null ? NONE : (Math.abs(n) < 10 ? fine : plain).format(n));
export const percent = (share) => (share == null ? NONE : `${Math.round(share * 100)} %`);
export const words = (name) => name.replaceAll("_", " ");
export const clock = (millis) => new Date(millis).toLocaleTimeString("en-GB");

/** Seconds as people read them: 850 µs, 1.2 ms, 3.4 s. */
export function duration(s) {
  if (s == null) return NONE;
  if (s <= 0) return "0 s";
  const units = [
    [1e-6, 1e-9, "ns"],
    [1e-3, 1e-6, "µs"],
    [1, 1e-3, "ms"],
    [120, 1, "s"],
    [7200, 60, "min"],
  ];
  const [, size, unit] = units.find(([below]) => s < below * 0.9995) ?? [0, 3600, "h"];
  const n = s / size;
  return `${n < 9.95 && unit !== "ns" ? Number(n.toFixed(1)) : Math.round(n)} ${unit}`;
}

export const ago = (s) => (s < 1 ? "just now" : `${duration(Math.floor(s))} ago`);

export function toneOf(database) {
  const { status, condition } = database;
  if (condition === "unused" && status === "healthy") return "none";
  const pressed = ["suspended", "exhausted", "waiting", "watch"].includes(condition);
  return pressed && status === "healthy" ? "degraded" : status;
}

export function wordsOf(database) {
  const tone = toneOf(database);
  if (tone === "none") return "No data yet";
  const first = tone[0].toUpperCase() + tone.slice(1);
  return ["working", "watch"].includes(database.condition)
    ? first
    : `${first}: ${CONDITIONS[database.condition] ?? database.condition}`;
}
