// The builder of <cliplet-rank>: a form, the element as it will be, and the lines that put it on a site.
//
// The element here is the one that sites get, file for file; only its engine and model are this page's own. What was chosen
// stands in the address, so that it can be kept, shared and gone back to.

const own = document.querySelector("script[data-wasm]");
const whole = (address) => new URL(address, document.baseURI).href;

// The one script address that this page may make: the element's worker.
if (window.trustedTypes) {
  const worker = whole("engine.js");
  const policy = trustedTypes.createPolicy("default", { createScriptURL: (url) => (whole(url) === worker ? url : null) });
  // The element makes none of its own where there is one.
  window[Symbol.for("cliplet-rank.policy")] = policy;
}

await import("./cliplet-rank.js");

const $ = (id) => document.getElementById(id);
const form = $("choices");
const FIRST_LABELS = "cat, dog, rocket";
/** Attributes that a field of the same name sets, in the order in which they are written. */
const TEXTS = ["labels", "template", "mode", "threshold", "src", "model", "loading", "lang", "theme", "name"];
const FLAGS = ["none", "camera", "required"];
const defaults = new Map([...new FormData(form)].filter(([name]) => name !== "labels"));
/** What is of the accent's colour: buttons, what is written on them, bars. */
const COLOURS = ["--cliplet-accent", "--cliplet-accent-ink", "--cliplet-fill", "--cliplet-fill-first"];
/** A frame's address sets no form's name. */
const NOT_IN_FRAME = ["name", "required"];

let way = "script";
let integrity = "";

const value = (name) => form.elements[name].value.trim();
const isOn = (name) => form.elements[name].checked;

/** The attributes that differ from what they are anyway, as pairs of name and value; a flag's value is null. */
function attributes() {
  const texts = TEXTS.map((name) => [name, value(name)]);
  const set = texts.filter(([name, text]) => text && !(name === "threshold" && Number(text) === 0));
  return [...set, ...FLAGS.filter(isOn).map((name) => [name, null])];
}

/** The custom properties that differ from their defaults. */
function properties() {
  const set = [];
  const accent = value("accent");
  if (isOn("own-accent")) set.push(...COLOURS.map((name) => [name, name.endsWith("ink") ? inkOn(accent) : accent]));
  if (value("height") !== defaults.get("height")) set.push(["--cliplet-picture-height", `${value("height")}rem`]);
  return set;
}

/** Black or white, whichever stands out more on a colour (WCAG's relative luminance). */
function inkOn(colour) {
  const parts = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16) / 255);
  const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000000" : "#ffffff";
}

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;").replaceAll(/\s*\n\s*/g, ", ");

function tag(all) {
  const written = all.map(([name, text]) => (text === null ? ` ${name}` : ` ${name}="${escaped(text)}"`));
  return `<cliplet-rank${written.join("")}></cliplet-rank>`;
}

/** The folder's address with its slash, and its origin where it is another's. */
function base() {
  const text = value("base") || "/cliplet/";
  const folder = text.endsWith("/") ? text : `${text}/`;
  const isElsewhere = /^(https?:)?\/\//i.test(folder);
  try {
    return { folder, origin: isElsewhere ? new URL(folder, "https://site.example").origin : null };
  } catch {
    return { folder, origin: null, isBad: true };
  }
}

function style() {
  const set = properties().map(([name, text]) => `  ${name}: ${text};`);
  return set.length > 0 ? `\n\n/* in your style sheet */\ncliplet-rank {\n${set.join("\n")}\n}` : "";
}

/** For each way: the lines, what they need, and what a policy must allow. */
const WAYS = {
  script() {
    const { folder, origin } = base();
    const guard = origin ? ` crossorigin${integrity && ` integrity="${integrity}"`}` : "";
    return {
      note: origin
        ? "The host must send Access-Control-Allow-Origin with every file. The hash is this version's: change it with the files."
        : "Copy the folder that `cargo xtask widget DIR` writes to your site; nothing else is needed.",
      lines: `<script type="module" src="${escaped(folder)}cliplet-rank.js"${guard}></script>\n${tag(attributes())}${style()}`,
      policy: origin
        ? [`script-src ${origin} 'wasm-unsafe-eval'`, "worker-src blob:", `connect-src ${origin}`]
        : ["script-src 'self'"],
      policyNote: origin
        ? ""
        : "Where your host sends one policy with every file, engine.js needs script-src 'self' 'wasm-unsafe-eval' in the one that comes with it.",
    };
  },
  npm() {
    return {
      note: "Install the folder that `cargo xtask widget DIR` writes, or its tarball (`npm pack`): npm install ./DIR",
      lines: `import "cliplet-rank";\n\n${tag(attributes())}${style()}`,
      policy: ["script-src 'self'"],
      policyNote: "Your bundler copies engine and model to where it puts assets; served from elsewhere, that host needs the lines of the script's way.",
    };
  },
  frame() {
    const { folder, origin } = base();
    const query = new URLSearchParams();
    for (const [name, text] of attributes()) if (!NOT_IN_FRAME.includes(name)) query.set(name, text ?? "");
    const allow = isOn("camera") ? ' allow="camera"' : "";
    const left = [isOn("required") || value("name") ? "a form's name" : "", style() ? "colours and height" : ""].filter(Boolean);
    return {
      note: `For sites that take frames alone.${left.length > 0 ? ` A frame cannot have ${left.join(" or ")}.` : ""}`,
      lines: `<iframe src="${escaped(`${folder}embed.html?${query}`)}"${allow} title="Which label fits?"\n  width="480" height="560"></iframe>`,
      policy: [`frame-src ${origin ?? "'self'"}`],
      policyNote: isOn("camera") ? `A Permissions-Policy must leave the camera to the frame: camera=(self${origin ? ` "${origin}"` : ""}).` : "",
    };
  },
};

let element;

/** The element of the preview: attributes change in it as the form does. */
function preview() {
  if (!element) {
    element = document.createElement("cliplet-rank");
    element.setAttribute("worker-url", "engine.js");
    element.setAttribute("wasm-url", own.dataset.wasm);
    element.setAttribute("model-url", "../models/");
    for (const name of ["load", "result", "error"]) element.addEventListener(name, ({ detail }) => tell(name, detail));
    $("preview").append(element);
  }
  const all = new Map(attributes());
  for (const name of [...TEXTS, ...FLAGS]) {
    if (name === "model" || !all.has(name)) element.removeAttribute(name);
    else if (element.getAttribute(name) !== (all.get(name) ?? "")) element.setAttribute(name, all.get(name) ?? "");
  }
  for (const name of [...COLOURS, "--cliplet-picture-height"]) element.style.removeProperty(name);
  for (const [name, text] of properties()) element.style.setProperty(name, text);
  const isOther = value("model") !== "" && value("model") !== "starter";
  $("preview-note").hidden = !isOther;
}

function tell(name, detail) {
  const what = {
    load: () => `Event “load”: ${detail.info.about.name}.`,
    result: () => `Event “result”: ${detail.winner ? `“${detail.winner}” wins` : "no winner"}.`,
    error: () => `Event “error”: ${detail.code}.`,
  };
  $("event").textContent = what[name]();
}

function complain(id, text, field) {
  $(id).textContent = text;
  $(id).dataset.bad = String(text !== "");
  form.elements[field].setAttribute("aria-invalid", String(text !== ""));
}

function update() {
  $("least").textContent = `${Math.round(Number(value("threshold")) * 100)} %`;
  $("high").textContent = value("height");
  form.elements.accent.disabled = !isOn("own-accent");
  preview();
  complain("labels-note", element.labels.length === 0 ? "Without labels there is nothing to rank." : "", "labels");
  const n_places = value("template").split("{label}").length - 1;
  complain("template-note", value("template") && n_places !== 1 ? `The sentence names {label} once; this one does ${n_places} times.` : "", "template");
  complain("base-note", base().isBad ? "This is no address." : "", "base");
  const { note, lines, policy, policyNote } = WAYS[way]();
  $("way").textContent = note;
  $("snippet").textContent = lines;
  $("policy").textContent = policy.join(";\n");
  $("policy-note").textContent = policyNote;
  for (const button of document.querySelectorAll("[data-way]")) button.ariaPressed = String(button.dataset.way === way);
  $("copied").textContent = "";
  keep();
}

/** What differs from the beginning, in the address. */
function keep() {
  const kept = new URLSearchParams();
  for (const { name, type, value, checked, defaultValue, defaultChecked } of form.elements) {
    if (!name) continue;
    if (type === "checkbox" ? checked !== defaultChecked : value !== (name === "labels" ? FIRST_LABELS : (defaults.get(name) ?? defaultValue ?? ""))) {
      kept.set(name, type === "checkbox" ? String(Number(checked)) : value);
    }
  }
  if (way !== "script") kept.set("way", way);
  history.replaceState(null, "", kept.size > 0 ? `#${kept}` : location.pathname + location.search);
}

function restore() {
  form.reset();
  form.elements.labels.value = FIRST_LABELS;
  const kept = new URLSearchParams(location.hash.slice(1));
  way = Object.hasOwn(WAYS, kept.get("way") ?? "") ? kept.get("way") : "script";
  for (const field of form.elements) {
    if (!field.name || !kept.has(field.name)) continue;
    const before = field.value;
    if (field.type === "checkbox") field.checked = kept.get(field.name) === "1";
    else field.value = kept.get(field.name);
    // A choice that there is not.
    if (field.tagName === "SELECT" && field.selectedIndex < 0) field.value = before;
  }
  update();
}

form.addEventListener("input", update);
form.addEventListener("submit", (event) => event.preventDefault());
for (const button of document.querySelectorAll("[data-way]")) {
  button.addEventListener("click", () => {
    way = button.dataset.way;
    update();
  });
}
$("anew").addEventListener("click", () => {
  history.pushState(null, "", location.pathname + location.search);
  restore();
});
window.addEventListener("popstate", restore);
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("snippet").textContent);
    $("copied").textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren($("snippet"));
    $("copied").textContent = "The browser does not let this page copy: the lines are selected, press Ctrl+C.";
  }
});

restore();

// The hash of the module as it is served here, which is the one that sites get. Pages that are not secure compute none.
if (window.crypto?.subtle) {
  const module = await (await fetch("cliplet-rank.js")).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-384", module));
  integrity = `sha384-${btoa(String.fromCharCode(...digest))}`;
  update();
}
