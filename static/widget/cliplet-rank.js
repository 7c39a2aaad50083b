// <cliplet-rank>: which label fits the picture? The element as a page loads it: a button, and nothing more is fetched before
// somebody wants it. What is behind the button is in look.js, the way to the engine in client.js.

export const version = "0.0.0";

/** The colours of the page, from its style sheet by `cargo xtask widget`, each a custom property of the page's around it. */
const COLOURS = "";
const LOOK = `
  :host { display: block; color-scheme: light dark; color: var(--ink); font: 1rem/1.5 var(--cliplet-font, system-ui, sans-serif); }
  :host([hidden]) { display: none; }
  :host([theme="light"]) { color-scheme: light; }
  :host([theme="dark"]) { color-scheme: dark; }
  .start { min-height: 2.75rem; padding: 0 1.25rem; border: 0; border-radius: 999px; background: var(--accent); color: var(--accent-ink); font: inherit; font-weight: 550; cursor: pointer; }
  .start:disabled { opacity: .6; cursor: default; }
  .failure { margin: .5rem 0 0; color: var(--danger); }
  .failure:empty { display: none; }
  :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }`;
/** Servers that render pages import this as well, and have no elements. */
const Base = globalThis.HTMLElement ?? class {};
const sheet = globalThis.CSSStyleSheet && new CSSStyleSheet();
sheet?.replaceSync(COLOURS + LOOK);

/** Attributes and their properties: [attribute, property, kind]. */
const ATTRIBUTES = [
  ["labels", "labels", "list"],
  ["template", "template", "list"],
  ["model", "model", "text"],
  ["src", "src", "text"],
  ["camera", "camera", "flag"],
  ["mode", "mode", "text"],
  ["threshold", "threshold", "number"],
  ["none", "none", "flag"],
  ["lang", "lang", "text"],
  ["theme", "theme", "text"],
  ["loading", "loading", "text"],
  ["wasm-url", "wasmUrl", "text"],
  ["worker-url", "workerUrl", "text"],
  ["model-url", "modelUrl", "text"],
  ["iframe-url", "iframeUrl", "text"],
  ["name", "name", "text"],
  ["required", "required", "flag"],
  ["disabled", "disabled", "flag"],
];

/** What the button says, before any other text is here. */
const START = {
  ar: "جرّبها بصورة",
  de: "Mit einem Bild ausprobieren",
  en: "Try it with a picture",
  es: "Probar con una imagen",
  fr: "Essayer avec une image",
  zh: "用一张图片试试",
};

/** What stands under it where the rest did not come. */
const FAILED = {
  ar: "تعذّر التحميل. حاول مرة أخرى.",
  de: "Es ließ sich nicht laden. Versuchen Sie es noch einmal.",
  en: "It could not be loaded. Try again.",
  es: "No se pudo cargar. Inténtalo de nuevo.",
  fr: "Le chargement a échoué. Réessayez.",
  zh: "无法加载。请重试。",
};

/** A list as an attribute has it: parts between commas or on lines of their own, or JSON. */
function listed(text) {
  if (text?.trim().startsWith("[")) {
    try {
      return JSON.parse(text).map(String);
    } catch {
      // Then it is a text like any other.
    }
  }
  return (text ?? "").split(/[,\n]/).map((part) => part.trim()).filter(Boolean);
}

const read = {
  text: (text) => text ?? "",
  flag: (text) => text !== null,
  number: (text) => Number(text ?? 0) || 0,
  list: listed,
};

const written = {
  text: (value) => (value === null || value === undefined || value === "" ? null : String(value)),
  flag: (value) => (value ? "" : null),
  number: (value) => String(value),
  list: (value) => (typeof value === "string" ? value : JSON.stringify([...(value ?? [])].map(String))),
};

export class ClipletRank extends Base {
  static formAssociated = true;
  static version = version;
  static observedAttributes = ATTRIBUTES.map(([attribute]) => attribute);

  #internals = this.attachInternals();
  #root = this.attachShadow({ mode: "open", delegatesFocus: true });
  #panel = null; // what is behind the button, or the promise of it
  #opened = null;
  #observer = null;
  #isOver = false;

  constructor() {
    super();
    this.#close();
  }

  get form() {
    return this.#internals.form;
  }
  get type() {
    return "cliplet-rank";
  }
  get value() {
    return this.#panel?.value ?? "";
  }
  /** The last result, or null. */
  get result() {
    return this.#panel?.result ?? null;
  }
  get validity() {
    return this.#internals.validity;
  }
  get validationMessage() {
    return this.#internals.validationMessage;
  }
  get willValidate() {
    return this.#internals.willValidate;
  }
  checkValidity() {
    return this.#internals.checkValidity();
  }
  reportValidity() {
    return this.#internals.reportValidity();
  }

  /** Ranks the labels for a picture, or for the one that is there; a newer call takes the place of one that runs. */
  async rank(picture, options) {
    return (await this.#open()).rank(picture, options);
  }
  /** Sets the labels; ranks them for the picture that is there, if one is. */
  async setLabels(labels, options) {
    this.labels = labels;
    return this.#panel?.hasPicture ? this.#panel.rank(undefined, options) : null;
  }
  /** A picture's unit vector. */
  async encodeImage(picture, options) {
    return (await this.#open()).engine.encodeImage(picture, options);
  }
  /** A unit vector for each text; null for one that the model cannot read. */
  async encodeTexts(texts, options) {
    return (await this.#open()).engine.encodeTexts(texts, options);
  }
  /** Stops what runs, the camera included; picture and answer stay. */
  stop() {
    this.#panel?.stop();
  }
  /** Gives everything back and shows the button again. A later call starts anew. */
  destroy() {
    this.#observer?.disconnect();
    this.#opened = null;
    this.#panel?.end();
    this.#panel = null;
    this.#close();
    this.#valued("");
  }

  connectedCallback() {
    // What a page has set before this code was here.
    for (const [, property] of ATTRIBUTES) {
      if (Object.hasOwn(this, property)) {
        const value = this[property];
        delete this[property];
        this[property] = value;
      }
    }
    this.#validate();
    if (this.#isOver) {
      this.#isOver = false;
      return void this.#start();
    }
    this.#panel?.attributes();
    this.#watch();
  }

  disconnectedCallback() {
    this.#observer?.disconnect();
    // One that is moved comes back at once.
    queueMicrotask(() => {
      if (this.isConnected || !this.#opened) return;
      this.destroy();
      this.#isOver = true;
    });
  }

  attributeChangedCallback(attribute) {
    this.#panel?.attributes(attribute);
    if (attribute === "required") this.#validate();
    if (attribute === "loading" && this.isConnected) this.#watch();
    if (attribute === "lang") this.#say();
  }

  formResetCallback() {
    this.#panel?.clear();
  }
  formDisabledCallback(isDisabled) {
    const button = this.#root.querySelector(".start");
    if (button) button.disabled = isDisabled;
    this.#panel?.disable(isDisabled);
  }

  #watch() {
    this.#observer?.disconnect();
    if (this.#opened || this.loading === "click" || !this.loading) return;
    if (this.loading === "eager") return void this.#start();
    this.#observer = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.#start();
    });
    this.#observer.observe(this);
  }

  /** The button. */
  #close() {
    const [slot, button] = [document.createElement("slot"), document.createElement("button")];
    this.#root.adoptedStyleSheets = [sheet];
    slot.name = "poster";
    button.className = "start";
    button.type = "button";
    button.setAttribute("part", "button start");
    button.addEventListener("click", () => this.#start(true));
    const failure = document.createElement("p");
    failure.className = "failure";
    failure.setAttribute("role", "alert");
    this.#root.replaceChildren(slot, button, failure);
    this.#say();
  }
  #say() {
    const button = this.#root.querySelector(".start");
    if (button) button.textContent = START[languageOf(this)];
  }

  /** Opens for a visitor: what fails is shown and told, and rejects nothing. */
  async #start(isPressed = false) {
    this.#root.querySelector(".failure")?.replaceChildren();
    try {
      const panel = await this.#open();
      if (isPressed) panel.focus();
      panel.begin();
    } catch (error) {
      // Unless it was removed meanwhile.
      if (error.name !== "AbortError") this.#root.querySelector(".failure")?.append(FAILED[languageOf(this)]);
      this.dispatchEvent(new CustomEvent("error", { detail: { code: "widget-missing", message: String(error) } }));
    }
  }
  #open() {
    this.#observer?.disconnect();
    const opening = (this.#opened ??= import("./look.js").then(({ Panel }) => {
      // Given back meanwhile.
      if (this.#opened !== opening) throw new DOMException("The element was removed or destroyed.", "AbortError");
      this.#panel = new Panel(this, this.#root, { languageOf, valued: (value) => this.#valued(value) });
      this.#panel.disable(this.matches(":disabled"));
      return this.#panel;
    }));
    opening.catch(() => this.#opened === opening && (this.#opened = null));
    return opening;
  }

  #valued(value) {
    this.#internals.setFormValue(value);
    this.#validate();
  }
  #validate() {
    const isMissing = this.required && !this.value;
    const anchor = this.#root.querySelector("button");
    this.#internals.setValidity({ valueMissing: isMissing }, isMissing ? START[languageOf(this)] : "", anchor);
  }
}

/** The language that is spoken: the element's, the page's, or the browser's, where it is one of ours. */
function languageOf(element) {
  const wanted = [element.closest("[lang]")?.lang, ...navigator.languages];
  return wanted.map((tag) => tag?.slice(0, 2).toLowerCase()).find((tag) => Object.hasOwn(START, tag)) ?? "en";
}

for (const [attribute, property, kind] of ATTRIBUTES) {
  Object.defineProperty(ClipletRank.prototype, property, {
    configurable: true,
    enumerable: true,
    get() {
      return read[kind](this.getAttribute(attribute));
    },
    set(value) {
      const text = written[kind](value);
      text === null ? this.removeAttribute(attribute) : this.setAttribute(attribute, text);
    },
  });
}

/** The engine without the element: the same worker and weights that the page's elements use. */
export async function createEngine(options) {
  return (await import("./client.js")).createEngine(options);
}

const there = globalThis.customElements?.get("cliplet-rank");
if (!there) globalThis.customElements?.define("cliplet-rank", ClipletRank);
else console.warn(`<cliplet-rank> ${there.version ?? ""} is defined already and stays; ${version} is not used.`);
