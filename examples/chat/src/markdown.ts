/** Text of a model as Markdown: cleaned of what could act, drawn again only where it has changed. */
import DOMPurify from 'dompurify';
import { Marked } from 'marked';

const marked = new Marked({ gfm: true, breaks: true });

/** Nothing a model says may load something, take input or change how the page looks. */
const cleaning = {
  FORBID_TAGS: ['style', 'form', 'input', 'button', 'textarea', 'select', 'img', 'video', 'audio'],
  FORBID_ATTR: ['style', 'id', 'class', 'name'],
};

export interface MarkdownView {
  show(text: string): void;
}

/** Draws into an element block by block; blocks that are as they were stay. */
export function markdownView(element: HTMLElement): MarkdownView {
  let shown: readonly string[] = [];
  return {
    show(text) {
      const blocks = marked.lexer(text).filter((b) => b.type !== 'space');
      const raws = blocks.map((b) => b.raw);
      let same = 0;
      while (same < raws.length && raws[same] === shown[same]) same++;
      while (element.children.length > same) element.lastElementChild?.remove();
      for (const block of blocks.slice(same)) {
        const holder = document.createElement('div');
        holder.innerHTML = DOMPurify.sanitize(marked.parser([block]), cleaning);
        for (const link of holder.querySelectorAll('a')) {
          link.target = '_blank';
          link.rel = 'noopener noreferrer';
        }
        element.append(holder);
      }
      shown = raws;
    },
  };
}
