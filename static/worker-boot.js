// Starts the engine inside its worker, and tells the page when it breaks down: after a trap, WebAssembly can't.

const crashed = (error) => postMessage([JSON.stringify({ Crashed: String(error?.message ?? error) })]);
addEventListener("unhandledrejection", (event) => crashed(event.reason));

// A host that sends the page's policy with every file puts the worker under it too: the one script that it may load.
if (self.trustedTypes) {
  const engine = new URL("worker.js", location).href;
  trustedTypes.createPolicy("default", {
    createScriptURL: (url) => (new URL(url, location).href === engine ? url : null),
  });
}

try {
  importScripts("worker.js");
  wasm_bindgen({ module_or_path: "worker_bg.wasm" }).catch(crashed);
} catch (error) {
  crashed(error);
}
