/**
 * Node's modules that native code takes. Imported when asked for and handed on, so that a page, into
 * which a bundler may put this folder too, never asks for them.
 */
export interface NodeModules {
  readonly fs: typeof import('node:fs');
  readonly module: Pick<typeof import('node:module'), 'createRequire'>;
  readonly os: typeof import('node:os');
  readonly path: typeof import('node:path');
  readonly threads: typeof import('node:worker_threads');
}

export async function importNode(): Promise<NodeModules> {
  const [fs, module, os, path, threads] = await Promise.all([
    import('node:fs'),
    import('node:module'),
    import('node:os'),
    import('node:path'),
    import('node:worker_threads'),
  ]);
  return { fs, module, os, path, threads };
}
