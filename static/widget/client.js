// The way to the engine: one worker a model, for all elements of a page.
//
// Whoever asks has a session; sessions of the same files share an engine, which takes one request of each in turn. Once the
// last session has ended, so does the worker.

/** What models/manifest.json says of the starter, written here by `cargo xtask widget`. */
const STARTER = null;
/** An element that is moved comes back within this time. */
const GRACE_MILLIS = 1000;
/** Models that nobody uses at the moment give way to others beyond this many bytes of weights in all. */
const BUDGET_BYTES = 1e9;

/** What a policy stopped is told by an event of its own, which comes a little later than the failure. */
const REPORT_MILLIS = 100;

/** A failure, by the stable code that its event carries; `lines` are those that a page's policy lacks. */
export class ClipletError extends Error {
  name = "ClipletError";
  constructor(code, message, lines = []) {
    super(message);
    this.code = code;
    this.lines = lines;
  }
}

const ofProblem = ({ code, detail }) => new ClipletError(code, detail);
const aborted = (signal) => signal?.reason ?? new DOMException("The request was stopped.", "AbortError");

// ---- where the files are ----

/** The addresses of an engine's files. What is given wins; the others are beside this module, wherever a bundler puts them. */
function placesOf({ workerUrl, wasmUrl, modelUrl, model, iframeUrl } = {}) {
  // Whole addresses: some bundlers give a path.
  const whole = (address) => new URL(address, document.baseURI).href;
  const worker = whole(workerUrl || new URL("engine.js", import.meta.url).href);
  const wasm = whole(wasmUrl || new URL("engine_bg.wasm", import.meta.url).href);
  const starter = whole(new URL("models/starter.gguf", import.meta.url).href);
  let weights = { manifest: STARTER, weights: starter };
  if (modelUrl) weights = { folder: whole(modelUrl.endsWith("/") ? modelUrl : `${modelUrl}/`) };
  else if (model && model !== "starter") weights = { folder: new URL(`./models/${encodeURIComponent(model)}/`, wasm).href, name: model };
  return { worker, wasm, model: weights, iframe: iframeUrl ? whole(iframeUrl) : null };
}

// ---- how the thread is started ----

/** The one Trusted Types policy, of the first of several copies of this module. */
const POLICY = Symbol.for("cliplet-rank.policy");
function trusted(address) {
  if (!window.trustedTypes) return address;
  try {
    window[POLICY] ??= trustedTypes.createPolicy("cliplet-rank", { createScriptURL: (url) => url });
    return window[POLICY].createScriptURL(address);
  } catch {
    return address; // Not allowed, and perhaps not needed.
  }
}

const direct = ({ worker }) => new Worker(trusted(worker), { name: "cliplet" });

/** A worker of this page's that loads the script of another origin. */
function indirect({ worker }) {
  const script = `addEventListener("securitypolicyviolation", (event) => postMessage([JSON.stringify({ Blocked: event.effectiveDirective })]));
    const address = ${JSON.stringify(worker)};
    let trusted = address;
    try {
      trusted = trustedTypes.createPolicy("cliplet-rank", { createScriptURL: (url) => url }).createScriptURL(address);
    } catch {}
    try {
      importScripts(trusted);
    } catch (error) {
      setTimeout(() => postMessage([JSON.stringify({ Crashed: String(error) })]));
    }`;
  const blob = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  try {
    return new Worker(trusted(blob), { name: "cliplet" });
  } finally {
    // Chromium and Firefox have taken it by then; WebKit reads it a little later.
    setTimeout(() => URL.revokeObjectURL(blob), 10_000);
  }
}

/** A worker that runs and listens, or why not: `blocked` is the policy's directive where it was one. */
function started(make, places) {
  return new Promise((resolve, reject) => {
    const refused = (message, blocked) => {
      worker?.terminate();
      document.removeEventListener("securitypolicyviolation", violated);
      reject(Object.assign(new Error(message), { blocked }));
    };
    // Of what a page's policy stops, only what this asks for.
    const violated = (event) => {
      const isOurs = ["", "blob", worker && places.worker].some((address) => event.blockedURI === address);
      if (isOurs || /^(worker|script|child)-src/.test(event.effectiveDirective)) blocked = event.effectiveDirective;
    };
    let blocked;
    let worker;
    document.addEventListener("securitypolicyviolation", violated);
    try {
      worker = make(places);
    } catch (error) {
      // A text where a policy wants a trusted address. Of others the event that says by which directive comes later.
      const types = error instanceof TypeError ? "trusted-types" : null;
      return void setTimeout(() => refused(String(error), types ?? blocked ?? "worker-src"), REPORT_MILLIS);
    }
    worker.onerror = (event) => {
      event.preventDefault();
      setTimeout(() => refused(event.message ?? "the script did not load", blocked), REPORT_MILLIS);
    };
    worker.onmessage = ({ data: [text] }) => {
      const event = JSON.parse(text);
      if (event.Blocked && blocked !== "wasm") blocked = event.Blocked; // The first says more.
      if (event === "Hello") {
        document.removeEventListener("securitypolicyviolation", violated);
        resolve(new Thread(worker));
      } else if (event.Blocked === "wasm" || event.Crashed) {
        setTimeout(() => refused(event.Crashed ?? "WebAssembly is blocked", blocked), REPORT_MILLIS);
      }
    };
    worker.postMessage([null, places.wasm, places.model]);
  });
}

/** The engine's thread by the first way that works. */
async function open(places) {
  const isOwn = new URL(places.worker).origin === location.origin;
  const failures = [];
  for (const make of isOwn ? [direct, indirect] : [indirect]) {
    try {
      return await started(make, places);
    } catch (error) {
      failures.push(error);
    }
  }
  if (places.iframe) {
    const { Frame } = await import("./frame.js");
    return Frame.open(places);
  }
  // The first way is the one that is to work.
  const [first] = failures;
  if (first.blocked) throw new ClipletError("policy-blocked", first.message, linesFor(places, isOwn, first.blocked));
  throw new ClipletError("worker-missing", `${places.worker}: ${first.message}`);
}

/** What a site's policy must allow, as lines to add. */
function linesFor({ worker, wasm, model }, isOwn, blocked) {
  const origins = (...addresses) => [...new Set(addresses.map((address) => new URL(address).origin))].join(" ");
  if (isOwn && blocked === "wasm") {
    return [`with ${new URL(worker).pathname}: Content-Security-Policy: script-src 'self' 'wasm-unsafe-eval'`];
  }
  const lines = isOwn
    ? ["script-src 'self'", "worker-src 'self'"]
    : [
        `script-src ${origins(worker)} 'wasm-unsafe-eval'`,
        "worker-src blob:",
        `connect-src ${origins(wasm, model.folder ?? model.weights)}`,
      ];
  return blocked === "trusted-types" ? [...lines, "trusted-types cliplet-rank"] : lines;
}

/** Thrown to requests when the thread broke down. */
export class Crash extends ClipletError {
  constructor(message) {
    super("worker-crashed", message);
  }
}

/** The engine's worker, as its protocol has it: one request at a time. */
class Thread {
  #worker;
  #waiting = null; // { id, resolve, reject, onprogress }
  #isBlocked = false;
  /** Bitmaps that have crossed, by the picture's id: one can be read once, and what was made of it is kept. */
  #known = new Set();
  /** It broke down or was closed, and answers nothing any more. */
  isOver = false;
  onmoved = () => {};
  onnotice = () => {};

  constructor(worker) {
    this.#worker = worker;
    worker.onmessage = ({ data }) => this.#hear(JSON.parse(data[0]), data[1]);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#crashed(event.message ?? "");
    };
  }

  close() {
    this.#worker.terminate();
    this.#crashed("the engine was closed");
  }

  load(id, onprogress) {
    return this.#ask(id, { Load: { id, model: "Starter", backend: "auto" } }, [], onprogress);
  }

  /** Runs a request: labels for a picture, or embeddings of either. */
  async run({ id, kind, picture, labels = [], templates = [], mode, none }, onprogress) {
    const pictures = picture ? [picture.id] : [];
    const what = { id, pictures, labels, templates };
    const request = kind === "rank" ? { Rank: { ...what, mode, has_none: none } } : { Encode: what };
    const beside = [];
    const isBitmap = picture?.source instanceof ImageBitmap;
    if (picture && !(isBitmap && this.#known.has(picture.id))) {
      beside.push([picture.id, isBitmap && !picture.isOnce ? await createImageBitmap(picture.source) : picture.source]);
    }
    const answer = await this.#ask(id, request, beside, onprogress, isBitmap ? beside.map(([, bitmap]) => bitmap) : []);
    if (isBitmap) this.#known.add(picture.id);
    return answer;
  }

  cancel(id) {
    this.#worker.postMessage([JSON.stringify({ Cancel: { id } })]);
  }

  #ask(id, request, beside, onprogress, transfer = []) {
    return new Promise((resolve, reject) => {
      if (this.isOver) return void reject(new Crash("the engine is gone"));
      this.#waiting = { id, resolve, reject, onprogress };
      try {
        this.#worker.postMessage([JSON.stringify(request), beside], transfer);
      } catch (error) {
        // A bitmap of a picture that this page may not read cannot cross.
        this.#settle("reject", new ClipletError("picture-unreachable", String(error)));
      }
    });
  }

  #settle(how, value) {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.[how](value);
  }

  #crashed(message) {
    this.isOver = true;
    this.#settle("reject", new Crash(message));
  }

  #hear(event, payload) {
    const isMine = (id) => this.#waiting?.id === id;
    if (event.Progress && isMine(event.Progress[0])) {
      this.#waiting.onprogress?.(event.Progress[1]);
    } else if (event.Ready && isMine(event.Ready[0])) {
      this.#settle("resolve", event.Ready[1]);
    } else if (event.LoadFailed && isMine(event.LoadFailed[0])) {
      const { code, detail } = event.LoadFailed[1];
      const lines = this.#isBlocked ? ["connect-src (the origin of the widget's files)"] : [];
      this.#settle("reject", new ClipletError(lines.length ? "policy-blocked" : code, detail, lines));
    } else if (event.LabelProgress && isMine(event.LabelProgress.id)) {
      const { done, total } = event.LabelProgress;
      this.#waiting.onprogress?.({ stage: "Labels", done, total });
    } else if (event.Answered && isMine(event.Answered.id)) {
      this.#settle("resolve", event.Answered);
    } else if (event.Encoded && isMine(event.Encoded.id)) {
      this.#settle("resolve", { values: payload, notes: event.Encoded.what.Labels });
    } else if (event.PictureFailed && isMine(event.PictureFailed.id)) {
      this.#settle("reject", ofProblem(event.PictureFailed.problem));
    } else if (event.Rejected && isMine(event.Rejected.id)) {
      this.#settle("reject", ofProblem(event.Rejected.problem));
    } else if (event.Cancelled && isMine(event.Cancelled.id)) {
      this.#settle("reject", aborted());
    } else if (event.Moved) {
      this.onmoved(event.Moved);
    } else if (event.Notice) {
      this.onnotice(event.Notice);
    } else if (event.Blocked) {
      this.#isBlocked = true;
    } else if (event.Crashed) {
      this.#worker.terminate();
      this.#crashed(event.Crashed);
    }
  }
}

// ---- one engine for many ----

/** Engines by the addresses of their files. */
const engines = new Map();
/** Ids of everything that is asked on this page. */
let lastId = 0;

class Engine {
  #places;
  #thread = null;
  #loading = null;
  /** Sessions, each with what it waits for; those that were served last stand last. */
  #sessions = new Map();
  #running = null;
  #grace = null;
  card = null;
  usedAt = 0;

  constructor(places) {
    this.#places = places;
  }

  static of(places) {
    const key = JSON.stringify(places);
    if (!engines.has(key)) engines.set(key, new Engine(places));
    return engines.get(key);
  }

  join(session) {
    clearTimeout(this.#grace);
    this.#sessions.set(session, []);
  }

  leave(session) {
    for (const job of this.#sessions.get(session) ?? []) job.end("reject", aborted());
    if (this.#running?.session === session) this.#stop(this.#running, aborted());
    this.#sessions.delete(session);
    if (this.#sessions.size === 0) this.#grace = setTimeout(() => this.#close(), GRACE_MILLIS);
  }

  get isIdle() {
    return !this.#running && [...this.#sessions.values()].every((jobs) => jobs.length === 0);
  }

  #close() {
    this.#thread?.close();
    this.#thread = this.#loading = this.card = null;
  }

  /** The loaded model's card; whoever asks hears where the load stands. */
  load(session, onprogress) {
    if (!this.#sessions.has(session)) this.join(session);
    if (onprogress) session.listeners.add(onprogress);
    return this.#ready().finally(() => session.listeners.delete(onprogress));
  }

  #ready() {
    this.usedAt = performance.now();
    if (this.#thread?.isOver) this.#thread = this.#loading = null;
    this.#loading ??= this.#begin().catch((error) => {
      this.#loading = null;
      throw error;
    });
    return this.#loading;
  }

  async #begin() {
    const tell = (progress) => {
      for (const session of this.#sessions.keys()) for (const listener of session.listeners) listener(progress);
    };
    tell({ stage: "Start", done: 0, total: 0 });
    const thread = this.#thread ?? (await open(this.#places));
    if (this.#sessions.size === 0) {
      // All have gone meanwhile.
      thread.close();
      throw aborted();
    }
    this.#thread = thread;
    thread.onmoved = (card) => (this.card = card);
    thread.onnotice = (notice) => {
      for (const session of this.#sessions.keys()) session.onnotice?.(notice);
    };
    try {
      this.card = await thread.load((lastId += 1), tell);
    } catch (error) {
      if (error instanceof Crash) this.#thread = null;
      throw error;
    }
    makeRoom(this);
    return this.card;
  }

  ask(session, job, { signal, onprogress } = {}) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return void reject(aborted(signal));
      const end = (how, value) => {
        signal?.removeEventListener("abort", stop);
        session.listeners.delete(onprogress);
        (how === "resolve" ? resolve : reject)(value);
      };
      // A frame of a camera crosses once, and cannot be asked about again.
      const tries = job.picture?.isOnce ? 1 : 0;
      const waiting = { ...job, id: (lastId += 1), session, end, onprogress, isOver: false, tries };
      const stop = () => this.#stop(waiting, aborted(signal));
      signal?.addEventListener("abort", stop, { once: true });
      if (!this.#sessions.has(session)) this.join(session);
      if (onprogress) session.listeners.add(onprogress);
      this.#sessions.get(session).push(waiting);
      this.#pump();
    });
  }

  #stop(job, reason) {
    const jobs = this.#sessions.get(job.session);
    const place = jobs?.indexOf(job) ?? -1;
    if (place >= 0) jobs.splice(place, 1);
    else if (this.#running === job && !job.isOver) this.#thread?.cancel(job.id);
    job.isOver = true;
    job.end("reject", reason);
  }

  #next() {
    for (const [session, jobs] of this.#sessions) {
      const job = jobs.shift();
      if (!job) continue;
      this.#sessions.delete(session);
      this.#sessions.set(session, jobs);
      return job;
    }
    return null;
  }

  async #pump() {
    if (this.#running) return;
    const job = this.#next();
    if (!job) return;
    this.#running = job;
    try {
      await this.#ready();
      if (!job.isOver) job.end("resolve", await this.#thread.run(job, job.onprogress));
    } catch (error) {
      const isBroken = error instanceof Crash;
      if (isBroken) this.#thread = this.#loading = null;
      // A picture that breaks the engine twice would do so again.
      if (isBroken && !job.isOver && (job.tries += 1) < 2) this.#sessions.get(job.session)?.unshift(job);
      else job.end("reject", error);
    }
    this.#running = null;
    this.#pump();
  }

  /** Ends the thread of an engine that has nothing to do; its model is read again when it is asked for. */
  rest() {
    if (this.isIdle) this.#close();
  }
}

/** Keeps the models of a page within one budget: those that were used longest ago go first. */
function makeRoom(newest) {
  const bytes = ({ card }) => card?.info.file_bytes ?? 0;
  const others = [...engines.values()].filter((engine) => engine !== newest && engine.card);
  let total = bytes(newest) + others.reduce((sum, engine) => sum + bytes(engine), 0);
  for (const engine of others.sort((a, b) => a.usedAt - b.usedAt)) {
    if (total <= BUDGET_BYTES || !engine.isIdle) continue;
    total -= bytes(engine);
    engine.rest();
  }
}

// ---- what pages see ----

/** A picture as the engine takes it: a file, or a bitmap. */
export async function pictureOf(input, signal) {
  lastId += 1;
  if (input?.id && input.source) return input;
  if (typeof input === "string" || input instanceof URL) return { id: lastId, source: await fetched(input, signal) };
  if (input instanceof Blob) return { id: lastId, source: input };
  try {
    return { id: lastId, source: await createImageBitmap(input) };
  } catch (error) {
    throw new ClipletError("picture-unreadable", String(error));
  }
}

async function fetched(address, signal) {
  const url = new URL(address, document.baseURI);
  const because = url.origin === location.origin ? "" : `; a picture of another origin needs Access-Control-Allow-Origin there`;
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (signal?.aborted) throw aborted(signal);
    throw new ClipletError("picture-unreachable", `${url}: ${error}${because}, and connect-src must allow it`);
  }
  if (!response.ok) throw new ClipletError("picture-unreachable", `${url}: status ${response.status}`);
  return response.blob();
}

/** What was answered, in the words of this package. */
function resultOf({ ranked, notes, background }, threshold = 0) {
  const labels = ranked.labels.map(({ label, probability, similarity }) => ({ label, probability, similarity }));
  const [first] = labels;
  const winner = first && first.label !== null && first.probability >= threshold ? first.label : null;
  return { winner, labels, mode: ranked.mode, confidence: ranked.confidence, notes, background: background ?? null };
}

/** One user of an engine. */
class Session {
  #engine;
  listeners = new Set();
  onnotice = null;

  constructor(options) {
    this.#engine = Engine.of(placesOf(options));
    this.#engine.join(this);
  }

  /** The card of the model, once it is loaded. */
  get info() {
    return this.#engine.card;
  }

  async load({ signal, onprogress } = {}) {
    const loaded = this.#engine.load(this, onprogress);
    if (!signal) return loaded;
    return Promise.race([
      loaded,
      new Promise((_, reject) => {
        if (signal.aborted) reject(aborted(signal));
        signal.addEventListener("abort", () => reject(aborted(signal)), { once: true });
      }),
    ]);
  }

  async rank(picture, labels, { template = [], mode = "softmax", none = false, threshold = 0, ...options } = {}) {
    const given = [...labels].map(String);
    if (given.length === 0) throw new ClipletError("labels-refused", "there are no labels");
    const templates = typeof template === "string" ? [template] : [...template];
    const wrong = templates.find((text) => text.split("{label}").length !== 2);
    if (wrong !== undefined) throw new ClipletError("labels-refused", `a template holds {label} once: ${wrong}`);
    const job = { kind: "rank", picture: await pictureOf(picture, options.signal), labels: given, templates, none };
    job.mode = mode === "independent" ? mode : "softmax";
    return resultOf(await this.#engine.ask(this, job, options), threshold);
  }

  async encodeImage(picture, options) {
    const job = { kind: "encode", picture: await pictureOf(picture, options?.signal) };
    return (await this.#engine.ask(this, job, options)).values;
  }

  async encodeTexts(texts, options) {
    const labels = [...texts].map(String);
    if (labels.length === 0) return [];
    const job = { kind: "encode", labels, templates: ["{label}"] };
    const { values, notes } = await this.#engine.ask(this, job, options);
    const unreadable = new Set(notes.unreadable);
    const width = values.length / Math.max(1, labels.filter((label) => !unreadable.has(label)).length);
    let place = 0;
    return labels.map((label) => (unreadable.has(label) ? null : values.slice(place, (place += width))));
  }

  destroy() {
    this.#engine.leave(this);
  }
}

export function createEngine(options) {
  return new Session(options);
}
