// The engine in a frame of another origin, for pages whose policy allows no worker of ours: the same as a thread to
// client.js, spoken to by the protocol of embed.js.

import { ClipletError, Crash } from "./client.js";

/** A frame that has not answered within this time does not come. */
const PATIENCE_MILLIS = 20_000;

export class Frame {
  #frame;
  #origin;
  #waiting = null;
  isOver = false;
  onmoved = () => {};
  onnotice = () => {};

  /** The frame, once it listens. */
  static open({ iframe: address, model }) {
    const url = new URL(address);
    url.searchParams.set("headless", "");
    url.searchParams.set("origin", location.origin);
    if (model.name) url.searchParams.set("model", model.name);
    return new Promise((resolve, reject) => {
      const element = document.createElement("iframe");
      const frame = new Frame(element, url.origin);
      const end = (settle, value) => {
        clearTimeout(timer);
        document.removeEventListener("securitypolicyviolation", violated);
        settle(value);
      };
      const refused = (code, message, lines) => {
        frame.close();
        end(reject, new ClipletError(code, message, lines));
      };
      const violated = ({ effectiveDirective }) => {
        if (effectiveDirective !== "frame-src") return;
        refused("policy-blocked", `${url.origin} may not be framed`, [`frame-src ${url.origin}`]);
      };
      const timer = setTimeout(() => refused("worker-missing", `${address} does not answer`), PATIENCE_MILLIS);
      document.addEventListener("securitypolicyviolation", violated);
      frame.onready = () => end(resolve, frame);
      element.hidden = true;
      element.title = "Cliplet";
      element.src = url.href;
      document.body.append(element);
    });
  }

  constructor(frame, origin) {
    [this.#frame, this.#origin] = [frame, origin];
    addEventListener("message", this.#hear);
  }

  close() {
    removeEventListener("message", this.#hear);
    this.#frame.remove();
    this.isOver = true;
    this.#settle("reject", new Crash("the frame was closed"));
  }

  load(id, onprogress) {
    return this.#ask(id, "load", {}, onprogress);
  }

  async run({ id, kind, picture, labels, templates, mode, none }, onprogress) {
    const shown = picture && { picture: picture.source, key: picture.id };
    if (kind === "rank") {
      const params = { ...shown, labels, template: templates, mode, none };
      const { labels: lines, notes, background, ...ranked } = await this.#ask(id, "rank", params, onprogress);
      return { ranked: { ...ranked, labels: lines }, notes, background };
    }
    if (picture) return { values: await this.#ask(id, "encodeImage", shown, onprogress) };
    const vectors = await this.#ask(id, "encodeTexts", { texts: labels }, onprogress);
    const values = Float32Array.from(vectors.flatMap((vector) => [...(vector ?? [])]));
    return { values, notes: { unreadable: labels.filter((_, idx) => !vectors[idx]) } };
  }

  cancel(id) {
    this.#send({ id, method: "cancel", params: {} });
  }

  #send(message) {
    this.#frame.contentWindow?.postMessage({ cliplet: 1, ...message }, this.#origin);
  }

  #ask(id, method, params, onprogress) {
    return new Promise((resolve, reject) => {
      this.#waiting = { id, resolve, reject, onprogress };
      try {
        this.#send({ id, method, params });
      } catch (error) {
        this.#settle("reject", new ClipletError("picture-unreachable", String(error)));
      }
    });
  }

  #settle(how, value) {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.[how](value);
  }

  #hear = ({ source, origin, data }) => {
    if (source !== this.#frame.contentWindow || origin !== this.#origin || data?.cliplet !== 1) return;
    if (data.event === "ready") this.onready();
    else if (data.event === "progress") this.#waiting?.onprogress?.(data.detail);
    else if (data.event === "notice") this.onnotice(data.detail);
    else if (data.id === this.#waiting?.id) {
      const { error, result } = data;
      if (!error) this.#settle("resolve", result);
      else if (error.code === "aborted") this.#settle("reject", new DOMException(error.message, "AbortError"));
      else this.#settle("reject", new ClipletError(error.code, error.message, error.lines));
    }
  };
}
