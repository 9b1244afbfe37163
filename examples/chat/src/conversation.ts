/**
 * A conversation over one sequence of the model. What an earlier reply has computed is kept as far as the
 * tokens are the same: an edited message costs what follows it, a new one only itself.
 */
import type { LoadedModel, Message, Part, SampleOptions } from 'cograph/runtime';
import { CographError } from 'cograph/runtime';

export interface ReplyOptions extends SampleOptions {
  readonly maxTokens: number;
  readonly signal: AbortSignal;
}

/** How much of the prompt was computed before. */
export interface PromptSizes {
  readonly promptTokens: number;
  readonly keptTokens: number;
}

export interface Conversation {
  /** Streams what follows the messages. */
  reply(
    messages: readonly Message[],
    options: ReplyOptions,
    onPrompt: (sizes: PromptSizes) => void,
  ): AsyncGenerator<Part, void, undefined>;
  /** Tokens that are held. */
  readonly length: number;
  end(): void;
}

/** A beginning of the conversation as text, and its tokens as they were computed. */
interface Mark {
  readonly text: string;
  readonly ids: readonly number[];
}

export function makeConversation(model: LoadedModel): Conversation {
  const { tokenizer } = model;
  if (!tokenizer) throw new Error('the bundle has no tokenizer: it cannot be talked to');
  const sequence = model.sequence();
  let marks: readonly Mark[] = [{ text: '', ids: [] }];
  return {
    get length() {
      return sequence.length;
    },
    end: () => sequence.end(),
    async *reply(messages, options, onPrompt) {
      const { text, special } = await transcriptOf(tokenizer, messages);
      marks = marks.filter((m) => text.startsWith(m.text));
      const known = marks.reduce((a, b) => (b.text.length > a.text.length ? b : a));
      const rest = text.slice(known.text.length);
      const more = tokenizer.encode(rest, { special: special && known.text === '' });
      const ids = rest === '' ? [...known.ids] : [...known.ids, ...more];
      // The last token is computed again where all of them are held: its logits are wanted.
      const kept = Math.min(commonLength(sequence.ids, ids), ids.length - 1);
      sequence.rollback(Math.max(kept, 0));
      marks = [...marks, { text, ids }];
      onPrompt({ promptTokens: ids.length, keptTokens: kept });
      let said = '';
      const saidIds: number[] = [];
      let whole = true;
      try {
        for await (const part of sequence.generate(ids.slice(kept), options)) {
          said += part.text;
          saidIds.push(...part.ids);
          whole = part.finish !== 'stop'; // a text that ended it is not part of what was said
          yield part;
        }
      } finally {
        if (whole) marks = [...marks, { text: text + said, ids: [...ids, ...saidIds] }];
      }
    },
  };
}

/** The messages as the model's template writes them; without one, what was said, one after another. */
export async function transcriptOf(
  tokenizer: NonNullable<LoadedModel['tokenizer']>,
  messages: readonly Message[],
): Promise<{ readonly text: string; readonly special: boolean }> {
  try {
    return { text: await tokenizer.chat(messages), special: false };
  } catch (e) {
    if (!(e instanceof CographError) || e.code !== 'input/chat') throw e;
  }
  let text = '';
  for (const { role, content } of messages) {
    if (role === 'user' && text !== '') text += text.endsWith('\n') ? '\n' : '\n\n';
    text += content;
  }
  return { text, special: true };
}

function commonLength(a: readonly number[], b: readonly number[]): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}
