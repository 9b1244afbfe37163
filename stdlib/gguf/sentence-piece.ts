/** SentencePiece BPE: merges follow from the tokens' scores, characters without a token are bytes. */
import { type Kind, type Pieces, numbersOf, tokenKinds } from './pieces.ts';

/** What stands for a space. */
const space = '▁';

/** Characters of a token: beyond them a file is damaged or hostile. */
const longest = 512;

/**
 * The pairs are ranked as Hugging Face's conversion ranks them: by the score of what they make, then
 * the longer left part first. SentencePiece itself takes the leftmost of equal scores, which differs
 * only where one token is made of two pairs that overlap, such as a + aa and aa + a.
 */
export function sentencePiece({ tokens, kindOf, get, special, fail }: Pieces): Kind {
  const scores = numbersOf(get('scores'));
  if (scores?.length !== tokens.length) {
    return fail('tokenizer.ggml.scores is no list with a number for each token');
  }
  const long = tokens.find((t) => t.length > longest);
  if (long !== undefined) fail(`a token of ${long.length} characters; at most ${longest}`);
  const prefix = get('add_space_prefix') !== false;
  const unknown = special('unknown', 0);
  return {
    bos: special('bos', 1),
    eos: special('eos', 2),
    begins: true,
    normalizer: {
      type: 'Sequence',
      normalizers: [
        ...(prefix ? [{ type: 'Prepend', prepend: space }] : []),
        { type: 'Replace', pattern: { String: ' ' }, content: space },
      ],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: space }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      unk_token: unknown,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      merges: mergesOf(tokens, scores, (id) => kindOf(id) === tokenKinds.normal),
    },
  };
}

/** All ways to make a token of two, the best scores first. */
function mergesOf(
  tokens: readonly string[],
  scores: readonly number[],
  merges: (id: number) => boolean,
): readonly (readonly [string, string])[] {
  const parts = new Set(tokens.filter((_, id) => merges(id)));
  const found: { left: string; right: string; score: number }[] = [];
  for (const [id, token] of tokens.entries()) {
    if (!merges(id)) continue;
    for (let at = 1; at < token.length; at++) {
      const [left, right] = [token.slice(0, at), token.slice(at)];
      if (parts.has(left) && parts.has(right)) found.push({ left, right, score: scores[id] ?? 0 });
    }
  }
  found.sort((a, b) => b.score - a.score || b.left.length - a.left.length);
  return found.map(({ left, right }) => [left, right] as const);
}
