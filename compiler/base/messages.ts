/** The catalogue of mistakes in templates: one entry a code, with the text that a user reads. */

interface Message<P> {
  text(params: P): string;
  readonly help?: string;
}

const message = <P>(text: (params: P) => string, help?: string): Message<P> =>
  help === undefined ? { text } : { text, help };

const near = (nearest: string | undefined): string =>
  nearest === undefined ? '' : `; did you mean ${nearest}?`;

type Named = { readonly name: string };
type Unknown = { readonly name: string; readonly nearest: string | undefined };

export const messages = {
  'syntax/unexpected': message<{ found: string; expected: string }>(
    ({ found, expected }) => `unexpected ${found}, expected ${expected}`,
  ),
  'syntax/character': message<{ found: string }>(({ found }) => `unexpected character ${found}`),
  'syntax/too-deep': message<Readonly<Record<string, never>>>(
    () => 'this template is nested too deeply',
  ),
  'name/unknown': message<Unknown>(({ name, nearest }) => `unknown name ${name}${near(nearest)}`),
  'name/unknown-op': message<Unknown>(
    ({ name, nearest }) => `no op or instance named ${name}${near(nearest)}`,
  ),
  'name/unknown-type': message<Unknown>(
    ({ name, nearest }) => `unknown type ${name}${near(nearest)}`,
  ),
  'name/unknown-argument': message<{ name: string; of: string; nearest: string | undefined }>(
    ({ name, of, nearest }) => `${of} has no parameter ${name}${near(nearest)}`,
  ),
  'name/repeated': message<Named>(({ name }) => `${name} is defined twice`),
  'call/missing-argument': message<{ name: string; of: string }>(
    ({ name, of }) => `${of}: the argument ${name} is missing`,
  ),
  'call/too-many': message<{ of: string; most: number; found: number }>(
    ({ of, most, found }) => `${of} takes ${most} arguments, found ${found}`,
  ),
  'call/not-callable': message<Named>(({ name }) => `${name} cannot be called`),
  'call/results': message<{ of: string; found: number; expected: number }>(
    ({ of, found, expected }) => `${of} has ${found} results, ${expected} names stand on the left`,
  ),
  'type/kind': message<{ what: string; expected: string; found: string }>(
    ({ what, expected, found }) => `${what}: expected ${expected}, found ${found}`,
  ),
  'value/not-compile-time': message<{ what: string }>(
    ({ what }) => `${what} must be known when the model is compiled`,
  ),
  'value/index': message<{ index: number; length: number }>(
    ({ index, length }) => `index ${index} of a list with ${length} elements`,
  ),
  'value/indices': message<{ found: number }>(
    ({ found }) => `one index selects from a list or a table, found ${found}`,
    'several indices are for functions of positions, |i, j, h| bias[h, i - j]',
  ),
  'value/operands': message<{ op: string; left: string; right: string }>(
    ({ op, left, right }) => `${op} does not go with ${left} and ${right}`,
  ),
  'value/hole': message<{ found: string }>(
    ({ found }) =>
      `expected a number, a truth value, a text, a block or a list of these, found ${found}`,
  ),
  'value/function': message<{ what: string }>(({ what }) => `there is no ${what}`),
  'shape/argument': message<{ of: string; name: string; expected: string; found: string }>(
    ({ of, name, expected, found }) => `${of}: ${name} has shape ${found}, expected ${expected}`,
  ),
  'shape/reshape': message<{ from: string; to: string }>(
    ({ from, to }) => `${from} cannot be read as ${to}`,
    'the sizes multiply to the same number, and t stays the first axis',
  ),
  'shape/rows': message<{ of: string; found: string }>(
    ({ of, found }) =>
      `${of}: the rows of a step, t, must stay the first axis; this gives ${found}`,
  ),
  'shape/result': message<{ of: string; expected: string; found: string }>(
    ({ of, expected, found }) => `${of} returns ${found}, its signature says ${expected}`,
  ),
  'shape/size': message<{ found: string }>(
    ({ found }) => `a size must be a whole number of at least 1, found ${found}`,
  ),
  'block/cycle': message<{ path: string }>(
    ({ path }) => `blocks use each other in a circle: ${path}`,
  ),
  'block/no-return': message<Named>(({ name }) => `${name} returns nothing`, 'end it with return'),
  'block/weights-without-name': message<Named>(
    ({ name }) => `${name} has weights and needs a name`,
    'give it one with use, then call that',
  ),
  'model/input': message<Named>(({ name }) => `${name}: a model has one input, i32 [t]`),
  'model/result': message<{ name: string; found: string }>(
    ({ name, found }) => `${name}: a model returns f32 [t, vocab], found ${found}`,
  ),
  'repeat/changed': message<{ name: string; before: string; after: string }>(
    ({ name, before, after }) =>
      `${name} is ${before} before the repeat and ${after} after a round`,
  ),
  'weight/missing': message<Unknown>(
    ({ name, nearest }) => `the checkpoint has no weight ${name}${near(nearest)}`,
  ),
  'weight/shape': message<{ name: string; expected: string; found: string }>(
    ({ name, expected, found }) =>
      `weight ${name} is ${found} in the checkpoint, the model says ${expected}`,
  ),
  'weight/type': message<{ name: string; found: string }>(
    ({ name, found }) => `weight ${name} is stored as ${found}, which is not supported`,
    'supported are F32, F16 and BF16',
  ),
  'weight/mixed': message<{ name: string; first: string; other: string }>(
    ({ name, first, other }) => `weights ${name} are stored as ${first} and as ${other}`,
    'layers of one loop need one element type',
  ),
} as const;

export type MessageCode = keyof typeof messages;
export type MessageParams<K extends MessageCode> = Parameters<(typeof messages)[K]['text']>[0];

/** The nearest of `names` to a misspelt one, if any is near: Damerau-Levenshtein distance. */
export function nearestName(name: string, names: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of names) {
    const d = distance(name, candidate);
    if (d < least && candidate !== name) {
      least = d;
      best = candidate;
    }
  }
  return best;
}

function distance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, i) =>
    Array.from({ length: b.length + 1 }, (_, j) => (i === 0 ? j : j === 0 ? i : 0)),
  );
  const at = (i: number, j: number): number => rows[i]?.[j] ?? 0;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const row = rows[i];
      if (!row) continue;
      row[j] = Math.min(
        at(i - 1, j) + 1,
        at(i, j - 1) + 1,
        at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1),
        swap ? at(i - 2, j - 2) + 1 : Infinity,
      );
    }
  }
  return at(a.length, b.length);
}
