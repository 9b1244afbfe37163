/** The example's conversation: what was computed is kept as far as the tokens are the same, and changes nothing. */
import { afterAll, describe, expect, test } from 'vitest';
import bard from '../examples/bard/model.ts';
import { type PromptSizes, makeConversation } from '../examples/chat/src/conversation.ts';
import type { Message } from '../runtime/index.ts';
import { example } from './helpers/golden.ts';
import { bundleOf, loadBundle } from './helpers/models.ts';

const opened = bundleOf(bard, example('bard/weights')).then((b) => loadBundle(b, { context: 512 }));
afterAll(async () => (await opened).close());

type Talk = ReturnType<typeof makeConversation>;

async function say(
  talk: Talk,
  messages: readonly Message[],
  more: { readonly maxTokens?: number; readonly stopAt?: number } = {},
): Promise<PromptSizes & { readonly text: string; readonly finish: string | undefined }> {
  const controller = new AbortController();
  const options = {
    greedy: true,
    maxTokens: more.maxTokens ?? 24,
    signal: controller.signal,
  };
  let sizes: PromptSizes = { promptTokens: 0, keptTokens: 0 };
  let [text, count] = ['', 0];
  let finish: string | undefined;
  for await (const part of talk.reply(messages, options, (found) => (sizes = found))) {
    text += part.text;
    count += part.ids.length;
    finish = part.finish;
    if (count === more.stopAt) controller.abort();
  }
  return { ...sizes, text, finish };
}

const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });

describe('a conversation', () => {
  const one = user('HAMLET:\nTo be, or not to be');
  const two = user('ROMEO:\nBut soft, what light');

  test('computes only what is new', async () => {
    const talk = makeConversation(await opened);
    const first = await say(talk, [one]);
    expect(first.keptTokens).toBe(0);
    const second = await say(talk, [one, assistant(first.text), two]);
    // All of the first turn but its last token, which nothing has followed yet.
    expect(second.keptTokens).toBe(first.promptTokens + 24 - 1);
    talk.end();
  });

  test('goes on as a model that computes all of it anew', async () => {
    const model = await opened;
    const talk = makeConversation(model);
    const first = await say(talk, [one]);
    const kept = await say(talk, [one, assistant(first.text), two]);
    talk.end();
    const encode = model.tokenizer?.encode ?? (() => []);
    const ids = [...encode(one.content)];
    const options = { greedy: true, maxTokens: 24 };
    for await (const part of model.generate([...ids], options)) ids.push(...part.ids);
    ids.push(...encode(`\n\n${two.content}`, { special: false }));
    let anew = '';
    for await (const part of model.generate(ids, options)) anew += part.text;
    expect(kept.promptTokens).toBe(ids.length);
    expect(kept.text).toBe(anew);
  });

  test('regenerates from the prompt, of which one token is computed again', async () => {
    const talk = makeConversation(await opened);
    const first = await say(talk, [one]);
    const again = await say(talk, [one]);
    expect(again.keptTokens).toBe(first.promptTokens - 1);
    expect(again.text).toBe(first.text);
    talk.end();
  });

  test('keeps what lies before an edited message', async () => {
    const model = await opened;
    const talk = makeConversation(model);
    const first = await say(talk, [one]);
    await say(talk, [one, assistant(first.text), two]);
    const edited = await say(talk, [one, assistant(first.text), user('JULIET:\nO Romeo')]);
    expect(edited.keptTokens).toBeGreaterThanOrEqual(first.promptTokens + 24 - 1);
    expect(edited.keptTokens).toBeLessThan(edited.promptTokens);
    const held = talk.length;
    expect(held).toBe(edited.promptTokens + 24 - 1);
    talk.end();
  });

  test('that was stopped goes on from what was said', async () => {
    const talk = makeConversation(await opened);
    const stopped = await say(talk, [one], { stopAt: 5 });
    expect(stopped.finish).toBe('abort');
    const next = await say(talk, [one, assistant(stopped.text), two]);
    expect(next.keptTokens).toBeGreaterThanOrEqual(stopped.promptTokens);
    expect(next.text).not.toBe('');
    talk.end();
  });

  test('too long for the context is refused, and a shorter one goes on', async () => {
    const talk = makeConversation(await opened);
    const long = user('Now is the winter of our discontent. '.repeat(120));
    await expect(say(talk, [long])).rejects.toMatchObject({ code: 'input/context' });
    expect((await say(talk, [one])).text).not.toBe('');
    talk.end();
  });
});
