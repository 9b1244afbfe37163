/** The tokenizer in a GGUF file's metadata, as the files that Hugging Face folders have. */
import { byteLevel } from './byte-level.ts';
import { type Kind, type Metadata, type Pieces, beside, piecesOf, tokenKinds } from './pieces.ts';
import { sentencePiece } from './sentence-piece.ts';

/** By `tokenizer.ggml.model`. */
const kinds: Readonly<Record<string, (pieces: Pieces) => Kind>> = {
  gpt2: byteLevel,
  llama: sentencePiece,
};

/**
 * Texts by the name of the file; empty where the metadata holds no tokenizer. Throws CheckpointError
 * where it is damaged or of a kind that is not read.
 */
export function ggufTokenizer(file: string, metadata: Metadata): ReadonlyMap<string, string> {
  const name = metadata.get('tokenizer.ggml.model');
  if (name === undefined) return new Map();
  const pieces = piecesOf(file, metadata);
  const read = typeof name === 'string' && Object.hasOwn(kinds, name) ? kinds[name] : undefined;
  if (!read) {
    return pieces.fail(`a tokenizer of the kind ${String(name)}; ${Object.keys(kinds).join(' and ')} are read: ${beside}`); // prettier-ignore
  }
  const { model, normalizer, pre_tokenizer, decoder, bos, eos, begins } = read(pieces);
  const { tokens, get, kindOf } = pieces;
  const vocab = new Map(tokens.map((t, id) => [t, id]));
  const first = (get('add_bos_token') ?? begins) === true ? bos : undefined;
  const last = get('add_eos_token') === true ? eos : undefined;
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: tokens.flatMap((content, id) => {
      const kind = kindOf(id);
      if (kind !== tokenKinds.control && kind !== tokenKinds.userDefined) return [];
      const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
      return [{ id, content, ...plain, special: kind === tokenKinds.control }];
    }),
    normalizer,
    pre_tokenizer,
    post_processor: template(vocab, first, last),
    decoder,
    model: {
      type: 'BPE',
      dropout: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      ...model,
      vocab: Object.fromEntries(vocab),
    },
  };
  const config = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: bos,
    eos_token: eos,
    add_bos_token: first !== undefined,
  };
  const chat = metadata.get('tokenizer.chat_template');
  return new Map([
    ['tokenizer.json', JSON.stringify(json)],
    ['tokenizer_config.json', JSON.stringify(config)],
    ...(typeof chat === 'string' ? [['chat_template.jinja', chat] as const] : []),
  ]);
}

/** What is put around a text. */
function template(
  vocab: ReadonlyMap<string, number>,
  begins: string | undefined,
  ends: string | undefined,
) {
  if (begins === undefined && ends === undefined) return null;
  const token = (id: string | undefined, type_id: number) =>
    id === undefined ? [] : [{ SpecialToken: { id, type_id } }];
  const text = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
  const own = [...new Set([begins, ends])].filter((t) => t !== undefined);
  return {
    type: 'TemplateProcessing',
    single: [...token(begins, 0), text('A', 0), ...token(ends, 0)],
    pair: [
      ...token(begins, 0), text('A', 0), ...token(ends, 0),
      ...token(begins, 1), text('B', 1), ...token(ends, 1),
    ], // prettier-ignore
    special_tokens: Object.fromEntries(
      own.map((id) => [id, { id, ids: [vocab.get(id)], tokens: [id] }]),
    ),
  };
}
