/** Text files that are whole or as they were. */
import { realpath, rename, rm, stat, writeFile } from 'node:fs/promises';

/** Puts `text` in the place of a file, or makes it; links stay links, and the mode stays. */
export async function writeText(path: string, text: string): Promise<void> {
  const file = await realpath(path).catch(() => path);
  const had = await stat(file).catch(() => undefined);
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    await writeFile(temporary, text, had ? { mode: had.mode } : {});
    await rename(temporary, file);
  } finally {
    await rm(temporary, { force: true });
  }
}
