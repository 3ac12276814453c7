// The way to the server: follows the stream of documents, and goes on by itself.
import { clock } from "./words.js";
import { $, say, put } from "./build.js";
import { live, take, show } from "./page.js";

const SILENCE = 10_000; // then it is taken for gone: there should be something each second
const HIDDEN = 60_000; // a page that nobody sees gives its place back
const POLLS = 15; // asks for the document so often before it tries for a stream again
const LONGEST = 15_000;

let wake = () => {};
let aborter = null;

const pause = (millis) =>
  new Promise((done) => {
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
export const kept = (store, name, value) => {
  try {
    if (value !== undefined) store().setItem(name, value);
    return store().getItem(name);
  } catch {
    return null;
  }
};
const session = () => sessionStorage;
export const local = () => localStorage;

/** A token in the address is taken from there at once, so that it is in no bookmark and no picture. */
export function tokenFromAddress() {
  if (!location.hash.startsWith("#token=")) return false;
  let given = location.hash.slice("#token=".length);
  try {
    given = decodeURIComponent(given);
  } catch {
    /* it is what it is */
  }
  token = given;
  kept(session, "pool-token", token);
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

/** What can be no header is no token: it is asked for anew. */
const isOdd = () => !/^[\x20-\x7e]*$/.test(token ?? kept(session, "pool-token") ?? "");

const get = (path) => {
  const given = token ?? kept(session, "pool-token");
  const headers = given ? { Authorization: `Bearer ${given}` } : {};
  return fetch(path, { headers, cache: "no-store", signal: aborter.signal });
};

/** Follows the stream until it ends; how it went: `denied`, `full`, `ended` or `lost`. */
async function follow(onLife) {
  if (isOdd()) return "denied";
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
  const field = (name) =>
    block
      .split("\n")
      .find((line) => line.startsWith(`${name}: `))
      ?.slice(name.length + 2);
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
    wake = () => {
      if ((token ?? kept(session, "pool-token")) !== had) given(); // one came with the address
    };
  });
}

export async function run() {
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
      await Promise.race([
        pause(1_000),
        new Promise((done) => {
          const before = wake;
          wake = () => {
            woken = true;
            before();
            done();
          };
        }),
      ]);
    }
    linkSays(`The server does not answer${since}: trying again`, true);
  }
}

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
