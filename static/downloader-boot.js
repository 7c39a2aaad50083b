// Starts the downloader inside its worker: the only thread that talks to other hosts, those that the reader named. It gets
// addresses and files of models, never a picture or a label, and it can send nothing but the addresses that it asks for.

const crashed = (error) => postMessage([JSON.stringify({ Crashed: String(error?.message ?? error) })]);
addEventListener("unhandledrejection", (event) => crashed(event.reason));

// What could send something is taken away; fetch is left with reading.
const names = ["XMLHttpRequest", "WebSocket", "WebSocketStream", "EventSource", "WebTransport", "RTCPeerConnection"];
for (const name of [...names, "Worker", "SharedWorker"]) delete self[name];
for (const name of ["add", "addAll"]) delete self.Cache?.prototype[name];
const anything = self.fetch;
delete WorkerGlobalScope.prototype.fetch;
self.fetch = (input, init) => {
  const { method, body } = new Request(input, init);
  return method === "GET" && !body ? anything.call(self, input, init) : Promise.reject(new TypeError("only reading is done"));
};

// The page says first what runs here: the address of its JavaScript, and its WebAssembly.
addEventListener("message", start, { once: true });
async function start({ data: [js, wasm] }) {
  // A host that sends the page's policy with every file puts the worker under it too: the one script that it may load.
  if (self.trustedTypes) trustedTypes.createPolicy("default", { createScriptURL: (url) => (url === js ? url : null) });
  importScripts(js);
  await wasm_bindgen({ module_or_path: wasm });
}
