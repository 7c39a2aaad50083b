// The element in a frame, or with `?headless` the engine alone, and the messages by which the page around it speaks to
// either. The protocol is version 1: static/docs/embed.md has it.
//
// Only origins that the frame's address names by `origin=` are heard and told anything; a message that is not as it should
// be is refused and does nothing.

import { createEngine } from "./cliplet-rank.js";

const MAX_BYTES = 100 * 1024 * 1024;
const MAX_TEXTS = 10_000;
const MAX_CHARACTERS = 1000;
const MAX_WAITING = 64;
/** The element's attributes that the frame's address may set. */
const ATTRIBUTES = ["labels", "template", "model", "src", "camera", "mode", "threshold", "none", "lang", "theme", "loading"];

const wanted = new URLSearchParams(location.search);
const origins = wanted.getAll("origin");
const isHeadless = wanted.has("headless");

const tell = (message) => {
  // Of these only the one that is there gets it.
  for (const origin of origins) parent.postMessage({ cliplet: 1, ...message }, origin);
};

const isText = (value) => typeof value === "string" && value.length <= MAX_CHARACTERS;
const isTexts = (value) => Array.isArray(value) && value.length <= MAX_TEXTS && value.every(isText);
const isPicture = (value) =>
  (value instanceof Blob && value.size <= MAX_BYTES) ||
  (value instanceof ArrayBuffer && value.byteLength <= MAX_BYTES) ||
  value instanceof ImageBitmap;
const optional = (check) => (value) => value === undefined || check(value);
const isKey = Number.isSafeInteger;
const isFlag = (value) => typeof value === "boolean";
const isShare = (value) => typeof value === "number" && value >= 0 && value <= 1;
const isMode = (value) => ["softmax", "independent"].includes(value);
const isTemplate = (value) => isText(value) || isTexts(value);

/** What each method takes: all of it checked, and nothing else. */
const METHODS = {
  load: {},
  rank: {
    picture: isHeadless ? isPicture : optional(isPicture),
    key: optional(isKey),
    labels: isHeadless ? isTexts : optional(isTexts),
    template: optional(isTemplate),
    mode: optional(isMode),
    none: optional(isFlag),
    threshold: optional(isShare),
  },
  encodeImage: { picture: isPicture, key: optional(isKey) },
  encodeTexts: { texts: isTexts },
  setLabels: { labels: isTexts },
  cancel: {},
  stop: {},
};

/** Why a message is none of these; null: it is one. */
function complaint({ id, method, params }) {
  if (!Number.isSafeInteger(id)) return "id is a whole number";
  if (!Object.hasOwn(METHODS, method)) return `there is no method ${String(method).slice(0, 40)}`;
  if (typeof params !== "object" || params === null) return "params is an object";
  const checks = METHODS[method];
  const stranger = Object.keys(params).find((name) => !Object.hasOwn(checks, name));
  if (stranger !== undefined) return `${method} takes no ${stranger.slice(0, 40)}`;
  const wrong = Object.keys(checks).find((name) => !checks[name](params[name]));
  return wrong === undefined ? null : `${method}: ${wrong} is missing, of another kind, or too large`;
}

let element = null;
let engine = null;
if (isHeadless) {
  engine = await createEngine({ model: wanted.get("model") ?? undefined });
  engine.onnotice = (detail) => tell({ event: "notice", detail });
} else {
  const bare = new CSSStyleSheet();
  bare.replaceSync("body { margin: 0; } cliplet-rank { min-height: 100%; }");
  document.adoptedStyleSheets = [bare];
  element = document.createElement("cliplet-rank");
  for (const name of ATTRIBUTES) if (wanted.has(name)) element.setAttribute(name, wanted.get(name));
  for (const event of ["load", "progress", "result", "error"]) {
    element.addEventListener(event, ({ detail }) => tell({ event, detail }));
  }
  document.body.append(element);
  new ResizeObserver(() => tell({ event: "size", detail: { height: document.documentElement.scrollHeight } })).observe(element);
}

/** What runs, by the id of its message. */
const running = new Map();
/** The picture that came last under a key: labels that change need not send it again. */
let last = { key: undefined, picture: null };

function pictureOf({ picture, key }) {
  const given = picture instanceof ArrayBuffer ? new Blob([picture]) : picture;
  if (key === undefined || given === undefined) return given;
  // Ids of the page around it begin where no id of this page comes.
  if (last.key !== key) last = { key, picture: { id: 2 ** 40 + key, source: given } };
  return last.picture;
}

async function answer(id, method, params, signal) {
  const onprogress = (detail) => tell({ event: "progress", id, detail });
  const options = { signal, onprogress };
  const { labels, template, mode, none, threshold } = params;
  if (isHeadless) {
    if (method === "load") return engine.load(options);
    if (method === "rank") return engine.rank(pictureOf(params), labels, { template, mode, none, threshold, ...options });
    if (method === "encodeImage") return engine.encodeImage(pictureOf(params), options);
    if (method === "encodeTexts") return engine.encodeTexts(params.texts, options);
    return null;
  }
  for (const [name, value] of Object.entries({ labels, template, mode, none, threshold })) {
    if (value !== undefined) element[name] = value;
  }
  if (method === "rank") return element.rank(pictureOf(params), { signal });
  if (method === "setLabels") return element.setLabels(labels, { signal });
  if (method === "encodeImage") return element.encodeImage(pictureOf(params), options);
  if (method === "encodeTexts") return element.encodeTexts(params.texts, options);
  return null;
}

addEventListener("message", async ({ source, origin, data }) => {
  if (source !== parent || !origins.includes(origin) || data?.cliplet !== 1) return;
  const { id, method, params } = data;
  const refuse = (message) => tell({ id, error: { code: "request-refused", message, lines: [] } });
  const wrong = complaint(data);
  if (wrong !== null) return void refuse(wrong);
  if (method === "cancel") return void running.get(id)?.abort(new DOMException("It was cancelled.", "AbortError"));
  if (method === "stop") {
    for (const controller of running.values()) controller.abort(new DOMException("It was stopped.", "AbortError"));
    element?.stop();
    return void tell({ id, result: null });
  }
  if (running.size >= MAX_WAITING) return void refuse(`${MAX_WAITING} requests are waiting already`);
  const controller = new AbortController();
  running.set(id, controller);
  try {
    tell({ id, result: await answer(id, method, params, controller.signal) });
  } catch (error) {
    // A DOMException's code is a number.
    const code = typeof error.code === "string" ? error.code : "engine-failed";
    const { message = String(error), lines = [] } = error;
    tell({ id, error: { code: error.name === "AbortError" ? "aborted" : code, message, lines } });
  } finally {
    running.delete(id);
  }
});

tell({ event: "ready" });
