/** Byte-level BPE: texts are cut by patterns, then bytes of a piece are merged. */
import { cuttings } from './cuttings.ts';
import { type Kind, type Pieces, beside, textsOf } from './pieces.ts';

export function byteLevel({ get, special, fail }: Pieces): Kind {
  const pre = get('pre');
  const cutting = cuttings.find((c) => c.names.some((n) => n === pre));
  if (!cutting) {
    const known = cuttings.flatMap((c) => c.names).join(', ');
    return fail(`tokenizer.ggml.pre is ${String(pre)}, none of ${known}: ${beside}`);
  }
  const merges = textsOf(get('merges')) ?? fail('tokenizer.ggml.merges is no list of texts');
  return {
    bos: special('bos'),
    eos: special('eos'),
    begins: cutting.bos ?? false,
    normalizer: cutting.normalizer === undefined ? null : { type: cutting.normalizer },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...cutting.patterns.map((pattern) => ({
          type: 'Split',
          pattern: { Regex: pattern },
          behavior: 'Isolated',
          invert: false,
        })),
        bytes,
      ],
    },
    decoder: bytes,
    model: {
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: cutting.ignoreMerges ?? false,
      merges: merges.map((m) => {
        const at = m.indexOf(' ', 1);
        return at < 1 || at === m.length - 1
          ? fail(`the merge ${JSON.stringify(m.slice(0, 60))} is no pair`)
          : [m.slice(0, at), m.slice(at + 1)];
      }),
    },
  };
}

const bytes = {
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: false,
};
