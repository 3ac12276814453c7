// Elements, and text in them. What comes from the server is text to show, never markup: all of it
// goes through textContent.
export const $ = (id) => document.getElementById(id);

/** An element with attributes and children; text becomes text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Changes what has changed only, so that a selection and a screen reader's place stay. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function put(node, name, value) {
  if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

const SHAPES = {
  healthy:
    "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm3.9 4.9-4.6 5.3a.8.8 0 0 1-1.2 0L4 8.9l1.2-1.2 1.5 1.6 4-4.600Z",
  degraded: "M8 1 .5 14.5h15ZM7.2 6h1.600l-.2 4.5H7.4Zm.8 5.4a1 1 0 1 1 0 2 1 1 0 0 1 0-2Z",
  unhealthy:
    "M5 1h6l4 4v6l-4 4H5l-4-4V5Zm.2 3L4 5.2 6.8 8 4 10.8 5.2 12 8 9.2l2.8 2.8 1.2-1.2L9.2 8 12 5.2 10.8 4 8 6.8Z",
  none: "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1Zm0 2a5 5 0 1 1 0 10A5 5 0 0 1 8 3Z",
};

/** A mark whose shape says what its colour says. */
export function mark() {
  const path = svg("path", { "fill-rule": "evenodd" });
  const node = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, path);
  node.show = (tone) => {
    put(node, "class", `mark ${tone}`);
    put(path, "d", SHAPES[tone]);
  };
  return node;
}

export function badge(node = el("p")) {
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

/** A table that keeps its rows; `columns`: [heading, how to get the text, is it a number, is it bad]. */
export function table(caption, columns, nothing, style = "") {
  const note = el("small");
  const body = el("tbody");
  const head = el(
    "tr",
    {},
    ...columns.map(([name, , right]) => el("th", { scope: "col", class: right ? "n" : "" }, name)),
  );
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
    const scrolls =
      scroll.scrollHeight > scroll.clientHeight + 1 || scroll.scrollWidth > scroll.clientWidth + 1;
    if (scrolls === scroll.hasAttribute("tabindex")) return;
    const group = { tabindex: "0", role: "group", "aria-label": caption };
    for (const [name, value] of Object.entries(group))
      scrolls ? scroll.setAttribute(name, value) : scroll.removeAttribute(name);
  });
  sized.observe(scroll);
  sized.observe(inner);
  return box;
}
