/**
 * The service worker of a built page: it keeps the page's own files for visits without the network, and
 * adds the headers that shared memory needs, which not every web server can be told to send.
 */

/** Replaced when the page is built. */
declare const __BUILT__: boolean;

const triedKey = 'cograph.chat.isolated';

/** Resolves when the page may go on: at once, unless it is about to be loaded again as an isolated one. */
export async function goOffline(): Promise<void> {
  if (!__BUILT__ || !('serviceWorker' in navigator) || !isSecureContext) return;
  try {
    await navigator.serviceWorker.register(new URL('sw.js', document.baseURI));
    await navigator.serviceWorker.ready;
  } catch {
    return; // the page works without: with one thread, and with the network
  }
  if (crossOriginIsolated || sessionStorage.getItem(triedKey) !== null) return;
  sessionStorage.setItem(triedKey, '1');
  location.reload();
  await new Promise(() => undefined);
}
