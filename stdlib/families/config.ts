/**
 * Reads a Hugging Face `config.json`: every field is checked for its kind and range before anything
 * is built from it, so that a bad file gives one clear error and never an absurd allocation.
 */
import { ConfigError } from '../../compiler/index.ts';

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** Sizes that no published model comes near to; beyond them a config is damaged or hostile. */
export const ranges = {
  vocab: { min: 1, max: 1 << 22 },
  width: { min: 1, max: 1 << 18 },
  depth: { min: 1, max: 4096 },
  heads: { min: 1, max: 4096 },
  head: { min: 1, max: 8192 },
  experts: { min: 1, max: 65536 },
  context: { min: 1, max: 2 ** 31 - 1 },
  window: { min: 1, max: 2 ** 31 - 1 },
  eps: { min: 0, max: 1 },
  theta: { min: 1, max: 1e15 },
  factor: { min: 1e-6, max: 1e6 },
} as const satisfies Readonly<Record<string, Range>>;

/**
 * Typed access to the fields of one JSON object. Each call throws a ConfigError that names the field
 * and what it accepts; a `fallback` makes the field optional (JSON null counts as absent).
 */
export interface ConfigReader {
  has(field: string): boolean;
  int(field: string, range: Range, fallback?: number): number;
  real(field: string, range: Range, fallback?: number): number;
  bool(field: string, fallback?: boolean): boolean;
  text(field: string, fallback?: string): string;
  /** One of `choices`; anything else is an error that lists them. */
  choice<T extends string>(field: string, choices: readonly T[], fallback?: NoInfer<T>): T;
  /** A list of exactly `count` integers. */
  ints(field: string, count: number, range: Range): readonly number[];
  /** A list of exactly `count` texts. */
  texts(field: string, count: number): readonly string[];
  /** An integer or a list of them, such as `eos_token_id`; empty where absent. */
  idsOf(field: string, vocab: number): readonly number[];
  /** The object in `field`, or undefined where absent. */
  object(field: string): ConfigReader | undefined;
  /** Ends with a ConfigError: `field` has `found`, where `expected` was asked for. */
  reject(field: string, expected: string): never;
}

/** Throws ConfigError unless `json` is an object. */
export function readConfig(json: unknown, name = 'config.json'): ConfigReader {
  if (!isRecord(json)) {
    throw new ConfigError('config/not-an-object', `${name} holds ${show(json)}, not an object`);
  }
  return readerOf(json, name, '');
}

function readerOf(
  record: Readonly<Record<string, unknown>>,
  file: string,
  prefix: string,
): ConfigReader {
  const valueOf = (field: string): unknown =>
    Object.hasOwn(record, field) ? (record[field] ?? undefined) : undefined;

  const reject = (field: string, expected: string): never => {
    const value = valueOf(field);
    const found = value === undefined ? 'is missing' : `is ${show(value)}`;
    throw new ConfigError(
      'config/field',
      `${file}: ${prefix}${field} ${found}: expected ${expected}`,
    );
  };

  /** The checked value, the fallback where the field is absent, or an error. */
  function field<T>(
    name: string,
    expected: string,
    accepts: (value: unknown) => value is T,
    fallback?: T,
  ): T {
    const value = valueOf(name);
    if (value === undefined && fallback !== undefined) return fallback;
    return accepts(value) ? value : reject(name, expected);
  }

  return {
    has: (name) => valueOf(name) !== undefined,
    int: (name, range, fallback) =>
      field(name, `an integer ${showRange(range)}`, intIn(range), fallback),
    real: (name, range, fallback) =>
      field(name, `a number ${showRange(range)}`, realIn(range), fallback),
    bool: (name, fallback) => field(name, 'true or false', isBool, fallback),
    text: (name, fallback) => field(name, 'a string', isText, fallback),
    choice: (name, choices, fallback) => {
      const isChoice = (v: unknown): v is (typeof choices)[number] =>
        choices.some((choice) => choice === v);
      return field(name, `one of ${choices.join(', ')}`, isChoice, fallback);
    },
    ints: (name, count, range) =>
      field(name, `a list of ${count} integers ${showRange(range)}`, listOf(count, intIn(range))),
    texts: (name, count) => field(name, `a list of ${count} strings`, listOf(count, isText)),
    idsOf(name, vocab) {
      const isId = intIn({ min: 0, max: vocab - 1 });
      const expected = `a token id below ${vocab} or a list of them`;
      const value = valueOf(name);
      if (value === undefined) return [];
      if (isId(value)) return [value];
      return Array.isArray(value) && value.every(isId) ? value : reject(name, expected);
    },
    object(name) {
      const value = valueOf(name);
      if (value === undefined) return undefined;
      return isRecord(value)
        ? readerOf(value, file, `${prefix}${name}.`)
        : reject(name, 'an object');
    },
    reject,
  };
}

const isRecord = (v: unknown): v is Readonly<Record<string, unknown>> =>
  typeof v === 'object' && v !== null && !Array.isArray(v);
const isBool = (v: unknown): v is boolean => typeof v === 'boolean';
const isText = (v: unknown): v is string => typeof v === 'string';

const realIn =
  ({ min, max }: Range) =>
  (v: unknown): v is number =>
    typeof v === 'number' && v >= min && v <= max;

const intIn =
  ({ min, max }: Range) =>
  (v: unknown): v is number =>
    Number.isInteger(v) && typeof v === 'number' && v >= min && v <= max;

const listOf =
  <T>(count: number, accepts: (v: unknown) => v is T) =>
  (v: unknown): v is readonly T[] =>
    Array.isArray(v) && v.length === count && v.every(accepts);

const showRange = ({ min, max }: Range): string => `from ${min} to ${max}`;

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
