/** How texts are cut before the bytes of a piece are merged, by `tokenizer.ggml.pre`. */
interface Cutting {
  readonly names: readonly string[];
  /** Each cuts the pieces that those before it left; what matches is a piece, and what is between. */
  readonly patterns: readonly string[];
  readonly normalizer?: string;
  /** A piece that is a token stays whole. */
  readonly ignoreMerges?: boolean;
  /** Whether texts begin with the token `bos` where the file does not say. */
  readonly bos?: boolean;
}

const shortened = `(?i:'s|'t|'re|'ve|'m|'ll|'d)`;
const gpt2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;
const spaces = String.raw`\s*[\r\n]+|\s+(?!\S)|\s+`;

/** GPT-4's: a word with what is before it, digits, signs. */
const words = (digits: string): string =>
  String.raw`${shortened}|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|${spaces}`;

/** GPT-4o's: words are cut where small letters turn to capitals. */
function cases(digits: string, end: string): string {
  const small = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`;
  const large = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`;
  const before = String.raw`[^\r\n\p{L}\p{N}]?`;
  return (
    `${before}${large}*${small}+${end}|${before}${large}+${small}*${end}|${digits}|` +
    String.raw` ?[^\s\p{L}\p{N}]+[\r\n/]*|${spaces}`
  );
}

const threeDigits = String.raw`\p{N}{1,3}`;
const digit = String.raw`\p{N}`;

/** The letters that DeepSeek's first tokenizer takes for such: those that have case, by ranges of its own. */
const deepseekLetters =
  'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃';
const deepseekHan = '[一-龥ࠀ-一가-퟿]+';

export const cuttings: readonly Cutting[] = [
  { names: ['gpt-2', 'phi-2', 'mpt', 'olmo'], patterns: [gpt2] },
  {
    names: ['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'pixtral', 'lfm2'],
    patterns: [words(threeDigits)],
    ignoreMerges: true,
    bos: true,
  },
  { names: ['dbrx', 'smaug-bpe', 'glm4', 'chatglm-bpe'], patterns: [words(threeDigits)] },
  { names: ['qwen2', 'deepseek-r1-qwen'], patterns: [words(digit)], normalizer: 'NFC' },
  { names: ['stablelm2', 'hunyuan', 'megrez'], patterns: [words(digit)] },
  {
    names: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b'],
    patterns: [digit, gpt2],
  },
  {
    names: ['deepseek-llm'],
    patterns: [
      String.raw`[\r\n]`,
      String.raw`\s?[${deepseekLetters}]+`,
      String.raw`\s?[!-/:-~！-／：-～‘-‟　-。]+`,
      String.raw`\s+$`,
      deepseekHan,
      String.raw`\p{N}+`,
    ],
  },
  {
    names: ['deepseek-coder'],
    patterns: [
      String.raw`[\r\n]`,
      String.raw`\s?\p{L}+`,
      String.raw`\s?\p{P}+`,
      deepseekHan,
      digit,
    ],
  },
  {
    names: ['deepseek-v3', 'hunyuan-dense'],
    patterns: [
      threeDigits,
      '[一-龥぀-ゟ゠-ヿ]+',
      String.raw`[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_` +
        '`' +
        String.raw`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|${spaces}`,
    ],
  },
  { names: ['tekken'], patterns: [cases(digit, '')], ignoreMerges: true, bos: true },
  { names: ['gpt-4o', 'llama4'], patterns: [cases(threeDigits, `${shortened}?`)] },
];
