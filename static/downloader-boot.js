// Starts the downloader inside its worker: the only thread that talks to other hosts, those that the reader named. It gets
// addresses and files of models, never a picture or a label, and it can send nothing but the addresses that it asks for.

const crashed = (error) => postMessage([JSON.stringify({ Crashed: String(error?.message ?? error) })]);
addEventListener("unhandledrejection", (event) => crashed(event.reason));

// Under the page's policy, the one script that this worker may load.
if (self.trustedTypes) {
  const engine = new URL("worker.js", location).href;
  trustedTypes.createPolicy("default", {
    createScriptURL: (url) => (new URL(url, location).href === engine ? url : null),
  });
}

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

try {
  importScripts("worker.js");
  wasm_bindgen({ module_or_path: "worker_bg.wasm" }).catch(crashed);
} catch (error) {
  crashed(error);
}
