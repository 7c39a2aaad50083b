// Keeps the page itself for visits without a network. The model is kept by the engine, under its checksum.
//
// The network comes first, so that an update is never held back by what is stored; but files that are named by their content
// never change, and are taken from the store.

// One store a folder: another Cliplet of the same host keeps its own.
const STORE = `cliplet-shell ${registration.scope}`;
// Where the page looks for what was shared with it; "boot.js" names the same.
const SHARED = new URL("./?shared", registration.scope);
const BUILDER = new URL("embed/", registration.scope);
/** A language's sentences: fetched when it is spoken, which may be long after the rest was kept. */
const SENTENCES = /\/locales\/[a-z]+\.json$/;
const NAMED_BY_CONTENT = /-[0-9a-f]{12,}(_bg)?\.[a-z]+$/;

addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));

// The page names its files once it runs: they came before this helper did.
addEventListener("message", (event) => event.waitUntil(keepOnly(event.data)));

addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const isShare = url.href === new URL("share", registration.scope).href;
  if (event.request.method === "POST" && isShare) return event.respondWith(takeShared(event.request));
  const isShell = url.origin === location.origin && !url.pathname.endsWith(".gguf");
  if (event.request.method === "GET" && isShell) event.respondWith(answer(event.request, url));
});

async function answer(request, url) {
  // Any address of a page is the page's, but for that of the widget's builder.
  const isPage = request.mode === "navigate" && url.pathname !== BUILDER.pathname;
  const stored = () => fromStore(isPage ? "./" : request, { ignoreSearch: isPage });
  if (NAMED_BY_CONTENT.test(url.pathname)) {
    const kept = await stored();
    if (kept) return kept;
  }
  try {
    // Asked anew, for files without a hash in their name; a visit to a page can't be told how to fetch.
    const response = await (isPage ? fetch(request) : fetch(request, { cache: "no-cache" }));
    if (response.ok && SENTENCES.test(url.pathname)) await keep(request, response.clone());
    // A file of this version may be gone from the host, which has the next.
    return response.ok ? response : ((await stored()) ?? response);
  } catch (error) {
    const kept = await stored();
    if (kept) return kept;
    throw error;
  }
}

// The form of the system's share sheet goes no further than here: the page, which opens next, finds it in this store.
async function takeShared(request) {
  try {
    const headers = { "Content-Type": request.headers.get("Content-Type") };
    await (await caches.open("cliplet-shared")).put(SHARED, new Response(await request.blob(), { headers }));
  } catch {} // The browser refuses storage: the page opens without.
  return Response.redirect(SHARED, 303);
}

async function fromStore(request, options) {
  try {
    return await (await caches.open(STORE)).match(request, options);
  } catch {
    return undefined; // The browser refuses storage.
  }
}

async function keep(request, response) {
  try {
    await (await caches.open(STORE)).put(request, response);
  } catch {
    // The browser refuses storage.
  }
}

// All of one version, or what was kept before.
async function keepOnly(addresses) {
  const page = await (await fetch("./", { cache: "no-cache" })).text();
  const names = addresses.map((address) => new URL(address).pathname.split("/").pop());
  // An update came since: the next visit keeps that.
  if (names.some((name) => NAMED_BY_CONTENT.test(name) && !page.includes(name))) return;
  const store = await caches.open(STORE);
  const kept = new Set((await store.keys()).map(({ url }) => url));
  const isSentences = (address) => SENTENCES.test(new URL(address).pathname);
  const whole = addresses.filter((address) => !isSentences(address));
  await store.addAll(whole.filter((address) => !(NAMED_BY_CONTENT.test(address) && kept.has(address))));
  // Without its language's file the page speaks English: that is no reason to keep nothing.
  for (const address of addresses.filter(isSentences)) await store.add(address).catch(() => {});
  for (const address of kept) if (!addresses.includes(address)) await store.delete(address);
}
