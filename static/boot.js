// Starts the page. Its own file because the security policy allows no script in the page.
//
// One guarded reload: after an update a cache may pair new JavaScript with old WebAssembly, which cannot start.

const own = document.querySelector("script[data-wasm]");

// The only script addresses that the page may make: its workers and the offline helper.
if (window.trustedTypes) {
  const allowed = ["worker-boot.js", "downloader-boot.js", "sw.js"].map((name) => new URL(name, document.baseURI).href);
  trustedTypes.createPolicy("default", {
    createScriptURL: (url) => (allowed.includes(new URL(url, document.baseURI).href) ? url : null),
  });
}

/** What `use` gives of the session's storage; undefined where the reader has blocked it. */
function stored(use) {
  try {
    return use(sessionStorage);
  } catch {
    return undefined;
  }
}

// The workers' programs: whole addresses, since a worker resolves names against its own script.
for (const program of ["engineJs", "engineWasm", "downloaderJs", "downloaderWasm"]) {
  own.dataset[program] = new URL(own.dataset[program], document.baseURI).href;
}

/** The engine's WebAssembly, compiled once for every worker that the page starts; a failure is tried again. */
let compiled;
own.engine = () => (compiled ??= compile(own.dataset.engineWasm).catch((error) => {
  compiled = undefined;
  throw error;
}));
own.engine().catch(() => {}); // whoever starts the worker hears of it

async function compile(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: status ${response.status}`);
  // A host that does not know the type of such files keeps the browser from compiling them as they come.
  const isStreamed = response.headers.get("Content-Type")?.startsWith("application/wasm");
  return isStreamed ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}

/** Pictures that the system hands over: by its share sheet, or by opening them with the page that was installed. */
own.handed = async () => {
  if (location.search === "?shared") {
    const shared = location.href.replace(/#.*/, "");
    history.replaceState(null, "", location.pathname + location.hash);
    const store = await caches.open("cliplet-shared");
    const form = await store.match(shared);
    await store.delete(shared);
    return form ? (await form.formData()).getAll("pictures") : [];
  }
  const opened = await new Promise((open) => window.launchQueue?.setConsumer(({ files }) => open(files)));
  return Promise.all(opened.map((file) => file.getFile()));
};

try {
  await wasm_bindgen({ module_or_path: new URL(own.dataset.wasm, document.baseURI).href });
  stored((session) => session.removeItem("cliplet.reloaded"));
} catch (error) {
  console.error(error);
  // Without storage nothing would tell the second try from the first.
  if (stored((session) => session.getItem("cliplet.reloaded")) !== null) {
    const note = document.getElementById("boot");
    note.textContent = `The page could not start (${error.message}). Reload it, or try a current browser.`;
    note.setAttribute("role", "alert");
    note.hidden = false;
  } else {
    stored((session) => session.setItem("cliplet.reloaded", "1"));
    location.reload();
  }
}

// For visits without a network: once everything is here, the offline helper keeps the page's own files.
if ("serviceWorker" in navigator) {
  const { js, wasm, engineJs, engineWasm, downloaderJs, downloaderWasm } = own.dataset;
  const started = [js, wasm, own.src, engineJs, engineWasm, downloaderJs, downloaderWasm];
  const linked = [...document.querySelectorAll("link[rel=stylesheet], link[rel=icon]")].map((link) => link.href);
  const workers = ["worker-boot.js", "downloader-boot.js"];
  const later = ["./", "icons.svg", ...workers, "models/manifest.json", "models/catalogue.json"];
  const samples = ["cat.jpg", "coffee.jpg", "rocket.jpg", "astronaut.jpg", "flower.jpg", "guitar.png"];
  const files = [...started, ...linked, ...later, ...samples.map((name) => `samples/${name}`)];
  navigator.serviceWorker
    .register("sw.js")
    .then(() => navigator.serviceWorker.ready)
    .then(({ active }) => {
      // English is part of the program.
      const { locale = "en" } = document.documentElement.dataset;
      const spoken = locale === "en" ? [] : [`locales/${locale}.json`];
      active.postMessage([...files, ...spoken].map((file) => new URL(file, document.baseURI).href));
    })
    .catch(() => {}); // Private mode: the page works without.
}
