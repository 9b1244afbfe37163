/** From a bundle's folder or URL to a model that runs, here or in a worker. */
import { DeviceError } from './errors.ts';
import type { LoadedModel } from './model.ts';
import { type LoadOptions, checkLoadOptions } from './options.ts';
import type { Link } from './remote/link.ts';

export type { LoadOptions } from './options.ts';

/**
 * Loads the bundle in a folder (path or file URL) or at a URL; in a page into a worker, unless told
 * otherwise. Throws BundleError for anything wrong with it, InputError for options out of range,
 * DeviceError where this machine cannot run it.
 */
export async function load(place: string | URL, options: LoadOptions = {}): Promise<LoadedModel> {
  checkLoadOptions(options);
  options.signal?.throwIfAborted();
  const inPage = typeof document !== 'undefined' && typeof Worker !== 'undefined';
  if (options.worker ?? inPage) {
    const model = await loadInWorker(place, options, inPage);
    if (model) return model;
  }
  const { openHere } = await import('./open.ts');
  return openHere(place, options);
}

/** Nothing where a worker that nobody asked for does not start. */
async function loadInWorker(
  place: string | URL,
  options: LoadOptions,
  inPage: boolean,
): Promise<LoadedModel | undefined> {
  if (!inPage) {
    throw new DeviceError(
      'device/worker',
      'only pages have workers that models run in: leave out `worker`',
    );
  }
  const { connect, loadRemote } = await import('./remote/client.ts');
  // Bundlers look for exactly this expression, and put the worker's script where it points.
  const worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  let link: Link;
  try {
    link = await connect(worker, options.signal);
  } catch (e) {
    const wanted = options.worker === true || !(e instanceof DeviceError);
    if (wanted) throw e;
    const message = `${e.message}; the model runs in the page`;
    options.onNotice?.({ code: 'worker/start', message });
    return undefined;
  }
  return loadRemote(link, place, options);
}
