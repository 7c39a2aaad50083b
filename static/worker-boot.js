// Starts the engine inside its worker, for the page and for the widget, and tells whoever made it when it breaks down: after
// a trap, WebAssembly can't.

const tell = (event) => postMessage([JSON.stringify(event)]);
const crashed = (error) => tell({ Crashed: String(error?.message ?? error) });
addEventListener("unhandledrejection", ({ reason }) => crashed(reason));

// Hosts send every file with a policy that lets the downloader talk to other hosts; what could is taken away here.
const names = ["XMLHttpRequest", "WebSocket", "WebSocketStream", "EventSource", "WebTransport", "RTCPeerConnection"];
for (const name of [...names, "Worker", "SharedWorker"]) delete self[name];
for (const name of ["add", "addAll"]) delete self.Cache?.prototype[name];
const anywhere = self.fetch;
delete WorkerGlobalScope.prototype.fetch;
let origins = [location.origin];
let placeOf = (address) => address;
self.fetch = (input, init) => {
  const place = placeOf(input);
  if (place instanceof Response) return Promise.resolve(place);
  const isOurs = origins.includes(new URL(place.url ?? place, location).origin);
  return isOurs ? anywhere.call(self, place, init) : Promise.reject(new TypeError("only this origin is talked to"));
};

// Said first is what runs here: the address of its JavaScript, and its WebAssembly. A widget, whose file holds the JavaScript
// already, says instead where its model is.
// Of a script of another origin a browser tells no rejection that is not caught.
addEventListener("message", (event) => start(event).catch(crashed), { once: true });
async function start({ data: [js, wasm, model] }) {
  if (model) {
    widget(wasm, model);
  } else {
    // A host that sends the page's policy with every file puts the worker under it too: the one script that it may load.
    if (self.trustedTypes) trustedTypes.createPolicy("default", { createScriptURL: (url) => (url === js ? url : null) });
    importScripts(js);
  }
  await wasm_bindgen({ module_or_path: wasm });
}

/** Files are where the widget says, whatever origin this has, and no other origin is talked to; what a policy stops is told. */
function widget(wasm, { folder, manifest, weights }) {
  origins = [wasm, folder ?? weights].map((address) => new URL(address).origin);
  placeOf = (address) => {
    if (!String(address).startsWith("models/")) return address;
    if (folder) return folder + address.slice("models/".length);
    return address === "models/manifest.json" ? new Response(JSON.stringify(manifest)) : weights;
  };
  addEventListener("securitypolicyviolation", (event) => tell({ Blocked: event.effectiveDirective }));
  try {
    new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)); // the smallest there is
  } catch {
    tell({ Blocked: "wasm" });
  }
}
