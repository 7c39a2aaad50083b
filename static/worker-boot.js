// Starts the engine inside its worker, and tells the page when it breaks down: after a trap, WebAssembly can't.

const crashed = (error) => postMessage([JSON.stringify({ Crashed: String(error?.message ?? error) })]);
addEventListener("unhandledrejection", (event) => crashed(event.reason));

// Hosts send every file with a policy that lets the downloader talk to other hosts; what could is taken away here.
const names = ["XMLHttpRequest", "WebSocket", "WebSocketStream", "EventSource", "WebTransport", "RTCPeerConnection"];
for (const name of [...names, "Worker", "SharedWorker"]) delete self[name];
for (const name of ["add", "addAll"]) delete self.Cache?.prototype[name];
const anywhere = self.fetch;
delete WorkerGlobalScope.prototype.fetch;
self.fetch = (input, init) => {
  const isOurs = new URL(input.url ?? input, location).origin === location.origin;
  return isOurs ? anywhere.call(self, input, init) : Promise.reject(new TypeError("only this origin is talked to"));
};

// The page says first what runs here: the address of its JavaScript, and its WebAssembly.
addEventListener("message", start, { once: true });
async function start({ data: [js, wasm] }) {
  // A host that sends the page's policy with every file puts the worker under it too: the one script that it may load.
  if (self.trustedTypes) trustedTypes.createPolicy("default", { createScriptURL: (url) => (url === js ? url : null) });
  importScripts(js);
  await wasm_bindgen({ module_or_path: wasm });
}
