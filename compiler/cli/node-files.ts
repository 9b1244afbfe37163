/** Files of this machine, for the compiler. */
import { mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CheckpointError } from '../base/failure.ts';
import type { Files } from '../8-bundle/files.ts';

export const nodeFiles: Files = {
  async size(path) {
    try {
      const s = await stat(path);
      return s.isFile() ? s.size : undefined;
    } catch {
      return undefined;
    }
  },
  async read(path, from, length) {
    const file = await open(path, 'r');
    try {
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await file.read(bytes, done, length - done, from + done);
        if (bytesRead === 0) {
          throw new CheckpointError(
            'checkpoint/truncated',
            `${path} ended ${length - done} bytes early`,
          );
        }
        done += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  },
  async write(path, bytes) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  },
  async replace(from, to) {
    const aside = `${to}.replaced-${process.pid}`;
    const had = await stat(to).then(
      () => true,
      () => false,
    );
    if (had) await rename(to, aside);
    try {
      await rename(from, to);
    } catch (e) {
      if (had) await rename(aside, to);
      throw e;
    }
    if (had) await rm(aside, { recursive: true, force: true });
  },
  async remove(path) {
    await rm(path, { recursive: true, force: true });
  },
};
