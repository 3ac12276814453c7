// A chart of the last five minutes, to be read with pointer or keys.
import { NONE, number, clock, duration } from "./words.js";
import { el, svg, say, put } from "./build.js";

export const SPAN = 300_000;
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
export function chart(title, lines, format, logarithmic) {
  const values = lines.map(() => el("b"));
  const key = (line, i) => {
    const sample = svg(
      "svg",
      { viewBox: "0 0 22 8", "aria-hidden": "true" },
      svg("path", { class: `l ${line.style}`, d: "M0 4H22" }),
    );
    return el("span", {}, sample, `${line.label} `, values[i]);
  };
  const at = el("span", { class: "at" });
  const picture = svg("svg", { "aria-hidden": "true" });
  const plot = el(
    "div",
    {
      class: "plot",
      tabindex: "0",
      role: "slider",
      "aria-label": `${title}, moment to read`,
      "aria-valuemin": "-300",
      "aria-valuemax": "0",
    },
    picture,
  );
  const extent = el("p", { class: "hidden" });
  const figure = el(
    "figure",
    {},
    el("figcaption", {}, el("h3", {}, title), at),
    el("div", { class: "keys" }, ...lines.map(key)),
    plot,
    extent,
  );
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

  const nearest = (time) =>
    points.reduce(
      (best, p) => (best && Math.abs(best.t - time) <= Math.abs(p.t - time) ? best : p),
      null,
    );

  function read() {
    const point = chosen == null ? points.at(-1) : nearest(now - chosen);
    lines.forEach((line, i) => say(values[i], point ? format(point[line.key]) : NONE));
    const before = point && chosen != null ? Math.max(0, Math.round((now - point.t) / 1000)) : 0;
    say(
      at,
      !point
        ? "no samples yet: monitor.run() takes them"
        : chosen == null
          ? "now"
          : `${clock(point.t)}, ${before} s ago`,
    );
    put(plot, "aria-valuenow", -before);
    put(
      plot,
      "aria-valuetext",
      `${at.textContent}: ${lines.map((line, i) => `${line.label} ${values[i].textContent}`).join(", ")}`,
    );
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
      svg("path", {
        class: "grid",
        d: `M${MARGIN.left} ${y(v).toFixed(1)}H${width - MARGIN.right}`,
      }),
      svg("text", { x: MARGIN.left - 6, y: y(v) + 4, "text-anchor": "end" }, text),
    ]);
    const ends = [
      ["start", now - SPAN, "5 min ago"],
      ["middle", now - SPAN / 2, "2.5 min"],
      ["end", now, "now"],
    ];
    ground.replaceChildren(
      ...marks,
      ...ends.map(([anchor, t, text]) =>
        svg("text", { x: x(t), y: height - 3, "text-anchor": anchor }, text),
      ),
    );
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
    put(
      cursor,
      "d",
      chosen != null && point ? `M${x(point.t).toFixed(1)} ${MARGIN.top}V${floor}` : "",
    );
  }

  const choose = (before) => {
    chosen =
      before == null ? null : Math.min(Math.max(before, 0), points.length ? now - points[0].t : 0);
    draw();
  };
  const pointed = (event) => {
    const box = plot.getBoundingClientRect();
    const share =
      (event.clientX - box.left - MARGIN.left) / (box.width - MARGIN.left - MARGIN.right);
    choose((1 - Math.min(Math.max(share, 0), 1)) * SPAN);
  };
  plot.addEventListener("pointermove", pointed);
  plot.addEventListener("pointerdown", pointed);
  plot.addEventListener("pointerleave", () => choose(null));
  plot.addEventListener("blur", () => choose(null));
  plot.addEventListener("keydown", (event) => {
    const steps = {
      ArrowLeft: 1e3,
      ArrowDown: 1e3,
      PageDown: 3e4,
      ArrowRight: -1e3,
      ArrowUp: -1e3,
      PageUp: -3e4,
    };
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
    const most = (line) =>
      `${line.label} at most ${format(Math.max(...points.map((p) => p[line.key])))}`;
    say(extent, points.length ? `In the last five minutes: ${lines.map(most).join(", ")}.` : "");
    draw();
  };
  return figure;
}
