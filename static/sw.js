// Keeps the page itself for visits without a network. The model is kept by the engine, under its checksum.
//
// The network comes first, so that an update is never held back by what is stored.

const STORE = "cliplet-shell";

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

// The page names its files once it runs: they came before this helper did.
addEventListener("message", (event) => event.waitUntil(keepOnly(event.data)));

addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const isShell = url.origin === location.origin && !url.pathname.endsWith(".gguf");
  if (event.request.method === "GET" && isShell) event.respondWith(networkFirst(event.request));
});

async function networkFirst(request) {
  try {
    // Asked anew, for files without a hash in their name; a visit to a page can't be told how to fetch.
    return await (request.mode === "navigate" ? fetch(request) : fetch(request, { cache: "no-cache" }));
  } catch (error) {
    const isPage = request.mode === "navigate";
    const stored = await caches.match(isPage ? "./" : request, { ignoreSearch: isPage }).catch(() => undefined);
    if (stored) return stored;
    throw error;
  }
}

// All of one version, or what was kept before.
async function keepOnly(addresses) {
  const page = await (await fetch("./", { cache: "no-cache" })).text();
  if (!page.includes(new URL(addresses[0]).pathname)) return; // an update came since: the next visit keeps that
  const store = await caches.open(STORE);
  await store.addAll(addresses);
  const wanted = new Set(addresses.map((address) => new URL(address, location).href));
  const kept = await store.keys();
  await Promise.all(kept.filter((request) => !wanted.has(request.url)).map((request) => store.delete(request)));
}
