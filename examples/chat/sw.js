/** See src/offline.ts. The list and its version are put in when the page is built. */
const files = __FILES__;
const cacheName = 'cograph-chat-__VERSION__';

self.addEventListener('install', (e) => {
  self.skipWaiting();
  e.waitUntil(caches.open(cacheName).then((c) => c.addAll(files)));
});

self.addEventListener('activate', (e) => {
  const old = (name) => name.startsWith('cograph-chat-') && name !== cacheName;
  const clean = caches
    .keys()
    .then((names) => Promise.all(names.filter(old).map((n) => caches.delete(n))));
  e.waitUntil(clean.then(() => self.clients.claim()));
});

/** With what makes the page isolated, whatever its server sends. */
function isolated(response) {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  headers.set('Cross-Origin-Resource-Policy', 'same-origin');
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

async function answer(request, name) {
  const cache = await caches.open(cacheName);
  const kept = () => cache.match(new URL(name, registration.scope), { ignoreSearch: true });
  // Names under assets/ hold a hash of the content; the rest may have changed.
  if (name.startsWith('assets/')) return isolated((await kept()) ?? (await fetch(request)));
  try {
    return isolated(await fetch(request));
  } catch (e) {
    const found = await kept();
    if (found) return isolated(found);
    throw e;
  }
}

self.addEventListener('fetch', (e) => {
  const { request } = e;
  if (request.method !== 'GET' || !request.url.startsWith(registration.scope)) return;
  const path = request.url.slice(registration.scope.length).split(/[?#]/)[0];
  const name = path === '' ? 'index.html' : path;
  // Bundles are kept by the runtime, file by file.
  if (files.includes(name)) e.respondWith(answer(request, name));
});
