/** The conversation as it is shown: what was said, and what can be done with it. */
import { byId, make } from './dom.ts';
import { type MarkdownView, markdownView } from './markdown.ts';

export interface LogActions {
  edit(index: number, text: string): void;
  regenerate(): void;
}

interface Entry {
  readonly role: 'user' | 'assistant';
  text: string;
  readonly item: HTMLLIElement;
  readonly foot: HTMLElement;
  readonly view: MarkdownView | undefined;
}

export interface Log {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
  addUser(text: string): void;
  /** An empty reply, to which what is written is added. */
  addReply(): { write(text: string): void; end(note: string): void };
  /** Drops all but the first `count` messages. */
  cut(count: number): void;
  /** While a reply comes, nothing can be changed. */
  busy(is: boolean): void;
}

export function makeLog(actions: LogActions): Log {
  const list = byId('log', HTMLOListElement);
  const entries: Entry[] = [];
  let isBusy = false;

  const button = (textContent: string, onclick: () => void): HTMLButtonElement =>
    make('button', { type: 'button', textContent, onclick, disabled: isBusy });

  const add = (role: Entry['role']): Entry => {
    const said = make('div', { className: 'said' });
    const foot = make('div', { className: 'foot' });
    const item = make('li', { className: role }, [
      make('span', { className: 'hidden', textContent: role === 'user' ? 'You:' : 'The model:' }),
      said,
      foot,
    ]);
    const view = role === 'assistant' ? markdownView(said) : undefined;
    const entry: Entry = { role, text: '', item, foot, view };
    entries.push(entry);
    list.append(item);
    return entry;
  };

  /** The page follows what is written unless its reader has scrolled up. */
  const following = (change: () => void): void => {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    change();
    if (atEnd) list.scrollTop = list.scrollHeight;
  };

  const beginEdit = (entry: Entry): void => {
    const said = entry.item.querySelector('.said');
    if (!(said instanceof HTMLElement)) return;
    const area = make('textarea', { value: entry.text, rows: 3 });
    area.setAttribute('aria-label', 'Edit the message');
    const end = (): void => {
      form.remove();
      said.hidden = false;
      entry.foot.hidden = false;
    };
    const form = make('form', { className: 'edit' }, [
      area,
      make('div', { className: 'foot' }, [
        make('button', { type: 'submit', textContent: 'Send instead' }),
        make('button', { type: 'button', textContent: 'Leave as it was', onclick: end }),
      ]),
    ]);
    form.onsubmit = (e) => {
      e.preventDefault();
      const text = area.value;
      end();
      if (text.trim() !== '') actions.edit(entries.indexOf(entry), text);
    };
    form.onkeydown = (e) => {
      if (e.key === 'Escape') end();
      else if (e.key === 'Enter' && !e.shiftKey && !e.isComposing && e.target === area) {
        e.preventDefault();
        form.requestSubmit();
      }
    };
    said.hidden = true;
    entry.foot.hidden = true;
    entry.item.append(form);
    area.focus();
  };

  /** Only the last reply can be said anew. */
  const refreshFeet = (): void => {
    for (const entry of entries) {
      entry.foot.querySelector('.again')?.remove();
      if (entry !== entries.at(-1) || entry.role === 'user') continue;
      const again = button('Regenerate', actions.regenerate);
      again.classList.add('again');
      entry.foot.prepend(again);
    }
    for (const b of list.querySelectorAll('button')) b.disabled = isBusy;
  };

  return {
    get messages() {
      return entries.map(({ role, text }) => ({ role, content: text }));
    },
    addUser(text) {
      const entry = add('user');
      entry.text = text;
      entry.item.querySelector('.said')?.append(text);
      entry.foot.append(button('Edit', () => beginEdit(entry)));
      list.scrollTop = list.scrollHeight;
    },
    addReply() {
      const entry = add('assistant');
      entry.item.classList.add('busy');
      let drawn = 0;
      const draw = (): void => {
        drawn = 0;
        following(() => entry.view?.show(entry.text));
      };
      list.scrollTop = list.scrollHeight;
      return {
        write(text) {
          entry.text += text;
          // However fast tokens come, the page draws once a frame.
          drawn ||= requestAnimationFrame(draw);
        },
        end(note) {
          cancelAnimationFrame(drawn);
          draw();
          entry.item.classList.remove('busy');
          const copy = button('Copy', () => void navigator.clipboard?.writeText(entry.text));
          following(() => {
            entry.foot.replaceChildren(copy, make('span', { textContent: note }));
            refreshFeet();
          });
        },
      };
    },
    cut(count) {
      for (const entry of entries.splice(count)) entry.item.remove();
      refreshFeet();
    },
    busy(is) {
      isBusy = is;
      refreshFeet();
    },
  };
}
