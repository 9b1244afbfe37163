/**
 * Node's modules that native code takes. Imported when asked for and handed on, so that a page, into
 * which a bundler may put this folder too, never asks for them.
 */
export async function importNode() {
  const [fs, module, os, path, threads] = await Promise.all([
    import('node:fs'),
    import('node:module'),
    import('node:os'),
    import('node:path'),
    import('node:worker_threads'),
  ]);
  return { fs, module, os, path, threads };
}

export type NodeModules = Awaited<ReturnType<typeof importNode>>;
