/** What the page remembers of its reader's choices; it forgets where it may not. */
const prefix = 'cograph.chat.';

export function read(name: string): string | undefined {
  try {
    return localStorage.getItem(prefix + name) ?? undefined;
  } catch {
    return undefined;
  }
}

export function write(name: string, value: string): void {
  try {
    localStorage.setItem(prefix + name, value);
  } catch {
    // a private window
  }
}
