// What is behind the button of <cliplet-rank>: picture, camera, labels and their ranking, as plain DOM.
//
// No markup is parsed and no style stands in an attribute, so that pages with strict policies need no line for it. Pictures
// are drawn on a canvas, which no img-src stops.

import { ClipletError, createEngine, pictureOf } from "./client.js";
import { strings } from "./strings.js";

/** Longest side of the picture that is shown, in pixels. */
const MAX_SHOWN = 1280;
/** Lines that are shown; the event carries all. */
const MAX_LINES = 20;

const LOOK = `
  *, *::before, *::after { box-sizing: border-box; }
  p, ol, fieldset { margin: 0; padding: 0; border: 0; min-width: 0; list-style: none; }
  [hidden] { display: none !important; }
  .panel { display: grid; gap: .75rem; padding: 1rem; border: 1px solid var(--line); border-radius: var(--round); background: var(--surface); }
  .frame { position: relative; display: grid; place-items: center; min-height: 10rem; overflow: hidden; border: 2px dashed var(--line); border-radius: var(--round-small); background: var(--sunken); text-align: center; }
  .frame.full { border-style: solid; border-color: transparent; }
  .frame.over { border-color: var(--accent); background: var(--accent-soft); }
  canvas, video { display: block; max-width: 100%; max-height: var(--cliplet-picture-height, 20rem); }
  .empty { padding: 1rem; color: var(--soft); }
  .controls { display: flex; flex-wrap: wrap; gap: .5rem; }
  button { min-height: 2.75rem; padding: 0 1rem; border: 1px solid var(--line); border-radius: 999px; background: var(--surface); color: var(--ink); font: inherit; font-weight: 550; cursor: pointer; }
  button:hover { border-color: var(--edge); background: var(--sunken); }
  button.choose { border-color: var(--accent); background: var(--accent); color: var(--accent-ink); }
  button:disabled { opacity: .6; cursor: default; }
  .waiting { display: grid; gap: .25rem; color: var(--soft); font-size: .875rem; }
  progress { width: 100%; height: .5rem; accent-color: var(--accent); }
  .wrong { padding: .5rem .75rem; border-radius: var(--round-small); background: var(--danger-soft); color: var(--danger); overflow-wrap: anywhere; }
  .wrong pre { margin: .25rem 0 0; white-space: pre-wrap; font-size: .8125rem; }
  .lines { display: grid; gap: .25rem; }
  .line { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 .75rem; padding: .125rem 0; }
  .line .name { overflow-wrap: anywhere; }
  .line .percent { font-variant-numeric: tabular-nums; }
  .line .bar { grid-column: 1 / -1; height: .3125rem; border-radius: .25rem; background: var(--sunken); overflow: hidden; }
  .line .fill { height: 100%; background: var(--fill); transition: inline-size .15s ease-out; }
  .line.first { font-weight: 650; }
  .line.first .fill { background: var(--fill-first); }
  .line.none .name { font-style: italic; }
  .sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  @media (prefers-reduced-motion: reduce) { * { transition: none !important; } }`;
const sheet = new CSSStyleSheet();
sheet.replaceSync(LOOK);

/** An element with these properties and children; `part` is how a page's style sheet names it. */
function made(tag, { part, ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  if (part) element.setAttribute("part", part);
  for (const name of Object.keys(properties)) element[name] = properties[name];
  element.append(...children);
  return element;
}

const slot = (name, ...children) => made("slot", { name }, ...children);

export class Panel {
  engine;
  value = "";
  result = null;
  #host;
  #root;
  #languageOf;
  #valued;
  #text;
  #parts;
  #picture = null;
  #running = null; // the AbortController of what is asked
  #stream = null;
  #isDue = false;
  #isDisabled = false;
  #isOver = false;
  #hasBegun = false;
  #announced = null; // the engine whose model was told of

  constructor(host, root, { languageOf, valued }) {
    [this.#host, this.#root, this.#languageOf, this.#valued] = [host, root, languageOf, valued];
    root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
    this.#build();
    this.#connect();
  }

  get hasPicture() {
    return this.#picture !== null;
  }

  // ---- what the element asks ----

  /** A visitor has opened it. */
  begin() {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    const { src } = this.#host;
    this.#quietly(src && this.#host.labels.length > 0 ? this.rank(src) : this.#loaded());
  }

  focus() {
    this.#parts.choose.focus();
  }

  async rank(input, { signal } = {}) {
    const given = input ?? (this.#picture ? undefined : this.#host.src || undefined);
    if (given !== undefined) this.#closeCamera();
    return this.#rank(given, signal);
  }

  async #rank(input, signal) {
    this.#running?.abort(new DOMException("A newer request took its place.", "AbortError"));
    const running = (this.#running = new AbortController());
    this.#isDue = false; // This asks about all that has changed.
    const signals = signal ? AbortSignal.any([signal, running.signal]) : running.signal;
    try {
      this.#wrong(null);
      await this.#loaded(signals);
      if (input !== undefined) await this.#show(await pictureOf(input, signals), signals);
      signals.throwIfAborted();
      if (!this.#picture) throw new ClipletError("picture-not-a-file", "there is no picture yet");
      const { labels, template, mode, none, threshold } = this.#host;
      this.#wait(this.#stream ? null : this.#text.ranking);
      const onprogress = (progress) => this.#progress(progress);
      const options = { template, mode, none, threshold, signal: signals, onprogress };
      const result = await this.engine.rank(this.#picture, labels, options);
      signals.throwIfAborted();
      this.#answer(result);
      return result;
    } catch (error) {
      if (this.#running === running) this.#fail(error);
      throw error;
    } finally {
      if (this.#running === running) {
        this.#running = null;
        this.#wait(null);
      }
    }
  }

  stop() {
    this.#closeCamera();
    this.#running?.abort(new DOMException("It was stopped.", "AbortError"));
  }

  /** No picture, no answer. */
  clear() {
    this.stop();
    this.#picture = null;
    this.result = null;
    this.#draw(null);
    this.#lines([]);
    this.#wrong(null);
    this.#value("");
  }

  disable(isDisabled) {
    this.#isDisabled = isDisabled;
    this.#parts.controls.disabled = isDisabled;
    if (isDisabled) this.stop();
  }

  end() {
    this.#isOver = true;
    this.stop();
    this.engine.destroy();
    this.#picture = null;
  }

  /** An attribute changed, or the element is in the page again. */
  attributes(name) {
    if (["model", "model-url", "wasm-url", "worker-url", "iframe-url"].includes(name)) {
      this.engine.destroy();
      this.#connect();
    }
    if (name === "lang") this.#build();
    if (name === "camera") this.#parts.camera.hidden = !this.#host.camera;
    if (name === "src") return void (this.#hasBegun && this.#host.src && this.#quietly(this.rank(this.#host.src)));
    if (["theme", "loading", "name", "required", "disabled", "camera"].includes(name)) return;
    // However many change at once, and while one is answered: one question.
    if (this.#isDue || !this.#picture || this.#stream || this.#host.labels.length === 0) return;
    this.#isDue = true;
    queueMicrotask(() => {
      const isDue = this.#isDue && !this.#isOver && this.#picture;
      this.#isDue = false;
      if (isDue) this.#quietly(this.#rank(undefined));
    });
  }

  // ---- the engine ----

  #connect() {
    const { model, modelUrl, wasmUrl, workerUrl, iframeUrl } = this.#host;
    this.engine = createEngine({ model, modelUrl, wasmUrl, workerUrl, iframeUrl });
    this.engine.onnotice = ({ code, detail }) => this.#tell("error", { code, message: detail, lines: [] });
  }

  async #loaded(signal) {
    const engine = this.engine;
    if (!engine.info) {
      this.#wait(this.#text.starting);
      try {
        await engine.load({ signal, onprogress: (progress) => this.#progress(progress) });
      } catch (error) {
        // A question that waits for the same says it.
        if (!signal && !this.#running) this.#fail(error);
        throw error;
      } finally {
        if (!this.#running) this.#wait(null);
      }
    }
    if (engine !== this.engine || this.#announced === engine) return;
    this.#announced = engine;
    this.#tell("load", engine.info);
  }

  #progress({ stage, done, total }) {
    if (this.#isOver) return;
    const isMoving = total > 0;
    const what = { Download: this.#text.downloading, Labels: this.#text.ranking }[stage] ?? this.#text.starting;
    this.#wait(what, isMoving ? done / total : null);
    this.#tell("progress", { stage: stage.toLowerCase(), done, total });
  }

  /** For what nobody waits for: it was shown and told already. */
  #quietly(promise) {
    promise.catch(() => {});
  }

  #tell(name, detail) {
    if (!this.#isOver) this.#host.dispatchEvent(new CustomEvent(name, { detail }));
  }

  // ---- the camera ----

  async #openCamera() {
    this.#wrong(null);
    try {
      if (!navigator.mediaDevices) throw new ClipletError("camera-unsupported", "this page may not use cameras: it needs HTTPS");
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (this.#isOver || this.#isDisabled) return void stream.getTracks().forEach((track) => track.stop());
      this.#stream = stream;
      const { video, camera } = this.#parts;
      stream.getVideoTracks()[0].addEventListener("ended", () => this.#fail(new ClipletError("camera-unreadable", "the camera is gone")));
      video.srcObject = stream;
      await video.play();
      camera.textContent = this.#text.closeCamera;
      this.#draw(null);
      video.hidden = false;
      await this.#watch(stream, video);
    } catch (error) {
      const codes = { NotAllowedError: "camera-refused", NotFoundError: "camera-missing", NotReadableError: "camera-busy" };
      const code = codes[error?.name];
      this.#closeCamera();
      if (error?.name !== "AbortError") this.#fail(code ? new ClipletError(code, String(error)) : error);
    }
  }

  /** Frame after frame, as fast as they are answered; none while nobody looks. */
  async #watch(stream, video) {
    while (this.#stream === stream) {
      if (document.hidden) {
        await new Promise((shown) => document.addEventListener("visibilitychange", shown, { once: true }));
        continue;
      }
      const frame = await pictureOf(video);
      this.#picture = { ...frame, isOnce: true };
      await this.#rank(undefined);
    }
  }

  #closeCamera() {
    if (!this.#stream) return;
    for (const track of this.#stream.getTracks()) track.stop();
    this.#stream = null;
    this.#picture = null;
    const { video, camera } = this.#parts;
    video.srcObject = null;
    video.hidden = true;
    camera.textContent = this.#text.openCamera;
    this.#draw(null);
    this.#running?.abort(new DOMException("The camera was closed.", "AbortError"));
  }

  // ---- what is seen ----

  #build() {
    const text = (this.#text = strings(this.#languageOf(this.#host)));
    const file = made("input", { type: "file", accept: "image/*", hidden: true, onchange: () => this.#chosen() });
    const choose = made("button", { type: "button", className: "choose", part: "button choose", textContent: text.choose });
    const camera = made("button", { type: "button", part: "button camera", hidden: !this.#host.camera });
    camera.textContent = this.#stream ? text.closeCamera : text.openCamera;
    choose.onclick = () => file.click();
    camera.onclick = () => (this.#stream ? this.#closeCamera() : void this.#openCamera());
    const canvas = this.#parts?.canvas ?? made("canvas", { part: "picture", hidden: true });
    const video = this.#parts?.video ?? made("video", { part: "camera", hidden: true, muted: true, playsInline: true });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", text.picture);
    video.setAttribute("aria-label", text.openCamera);
    const empty = made("div", { className: "empty", hidden: !canvas.hidden || !video.hidden }, slot("empty", text.drop));
    const frame = made("div", { className: "frame", part: "frame" }, canvas, video, empty);
    const controls = made("fieldset", { className: "controls", part: "controls", disabled: this.#isDisabled }, choose, camera, file);
    const [stage, bar] = [made("span"), made("progress", { part: "progress" })];
    const waiting = made("div", { className: "waiting", hidden: true }, slot("progress", stage, bar));
    const message = made("span");
    const lacking = made("pre", { hidden: true });
    const wrong = made("div", { className: "wrong", part: "error", hidden: true }, slot("error", message), lacking);
    wrong.setAttribute("role", "alert");
    const lines = made("ol", { className: "lines", part: "results" });
    lines.setAttribute("aria-label", text.results);
    const spoken = made("p", { className: "sr" });
    spoken.setAttribute("role", "status");
    const panel = made("div", { className: "panel", part: "panel", dir: text.dir }, frame, controls, waiting, wrong, lines, spoken);
    panel.ondragover = (event) => {
      event.preventDefault();
      frame.classList.add("over");
    };
    panel.ondragleave = () => frame.classList.remove("over");
    panel.ondrop = (event) => {
      event.preventDefault();
      frame.classList.remove("over");
      this.#take(event.dataTransfer?.files[0]);
    };
    panel.onpaste = (event) => this.#take(event.clipboardData?.files[0]);
    this.#parts = { file, choose, camera, canvas, video, empty, frame, controls, waiting, stage, bar, wrong, message, lacking, lines, spoken };
    const hadFocus = this.#root.activeElement;
    this.#root.replaceChildren(panel);
    if (hadFocus) choose.focus();
    if (this.result) this.#answerShown(this.result);
  }

  /** The same file can be chosen again. */
  #chosen() {
    const { file } = this.#parts;
    const [chosen] = file.files;
    file.value = "";
    if (chosen) this.#take(chosen);
  }

  /** What a visitor gives. */
  #take(file) {
    if (this.#isDisabled) return;
    if (file) return void this.#quietly(this.rank(file));
    this.#fail(new ClipletError("picture-not-a-file", "what was given holds no file"));
  }

  async #show(picture, signal) {
    this.#picture = picture;
    this.result = null;
    this.#value("");
    this.#lines([]);
    try {
      const whole = await createImageBitmap(picture.source);
      // Made smaller on another thread: drawing a large one would keep the page waiting.
      const scale = Math.min(1, MAX_SHOWN / Math.max(whole.width, whole.height));
      const [resizeWidth, resizeHeight] = [whole.width, whole.height].map((side) => Math.max(1, Math.round(side * scale)));
      const bitmap = scale < 1 ? await createImageBitmap(whole, { resizeWidth, resizeHeight, resizeQuality: "medium" }) : whole;
      if (!signal.aborted) this.#draw(bitmap);
      whole.close();
      bitmap.close();
    } catch {
      this.#draw(null); // The engine says what is wrong with it.
    }
  }

  #draw(bitmap) {
    const { canvas, video, empty, frame } = this.#parts;
    canvas.hidden = !bitmap;
    empty.hidden = !!bitmap || !!this.#stream;
    frame.classList.toggle("full", !!bitmap || !!this.#stream);
    if (!bitmap) return void (canvas.width = canvas.height = 0);
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    video.hidden = true;
  }

  #wait(what, share = null) {
    const { waiting, stage, bar } = this.#parts;
    waiting.hidden = what === null;
    stage.textContent = what ?? "";
    if (share === null) bar.removeAttribute("value");
    else bar.value = share;
  }

  #answer(result) {
    this.result = result;
    this.#value(result.winner ?? "");
    this.#answerShown(result);
    this.#tell("result", result);
  }

  #answerShown({ labels, winner }) {
    this.#lines(labels);
    const { spoken } = this.#parts;
    const [first] = labels;
    if (this.#stream) return; // Many a second: who listens would hear nothing else.
    spoken.textContent = winner === null || !first ? this.#text.nothing : `${winner}, ${this.#percent(first.probability)}`;
  }

  #percent(share) {
    return new Intl.NumberFormat(this.#languageOf(this.#host), { style: "percent", maximumFractionDigits: 1 }).format(share);
  }

  #lines(labels) {
    const line = ({ label, probability }, idx) => {
      const fill = made("div", { className: "fill" });
      fill.style.inlineSize = `${(probability * 100).toFixed(2)}%`;
      const name = made("span", { className: "name", part: "label", textContent: label ?? this.#text.none });
      const percent = made("span", { className: "percent", part: "percent", textContent: this.#percent(probability) });
      const bar = made("div", { className: "bar", part: "bar" }, fill);
      const first = idx === 0 ? " first" : "";
      return made("li", { className: `line${first}${label === null ? " none" : ""}`, part: `result${first}` }, name, percent, bar);
    };
    this.#parts.lines.replaceChildren(...labels.slice(0, MAX_LINES).map(line));
  }

  #value(value) {
    this.value = value;
    this.#valued(value);
  }

  #fail(error) {
    if (this.#isOver || error?.name === "AbortError") return;
    const code = error instanceof ClipletError ? error.code : "engine-failed";
    const lines = error.lines ?? [];
    this.#closeCamera();
    this.#wrong(code, lines);
    this.#tell("error", { code, message: error.message ?? String(error), lines });
  }

  #wrong(code, lines = []) {
    const { wrong, message, lacking } = this.#parts;
    wrong.hidden = code === null;
    wrong.dataset.code = code ?? "";
    message.textContent = code === null ? "" : (this.#text.problems[code] ?? this.#text.problem);
    lacking.hidden = lines.length === 0;
    lacking.textContent = lines.join("\n");
  }
}
