/** Sheets: selectors, properties and what they are set to. */
import { message, near, warning } from './message.ts';

export const sheets = {
  'sheet/nothing': warning<{ selector: string; nearest: string | undefined }>(
    ({ selector, nearest }) => `${selector} selects nothing in the model${near(nearest)}`,
  ),
  'sheet/kind': warning<{ name: string; known: string; nearest: string | undefined }>(
    ({ name, known, nearest }) =>
      `no kind of part is named ${name}${near(nearest)}; there are ${known}`,
  ),
  'sheet/property': message<{
    name: string;
    sheet: string;
    known: string;
    nearest: string | undefined;
  }>(
    ({ name, sheet, known, nearest }) =>
      `a ${sheet} sheet has no property ${name}${near(nearest)}; it has ${known}`,
  ),
  'sheet/value': message<{ name: string; expected: string; found: string }>(
    ({ name, expected, found }) => `${name} takes ${expected}, found ${found}`,
  ),
  'sheet/group': message<{ name: string; nearest: string | undefined }>(
    ({ name, nearest }) => `no group of hardware is named ${name}${near(nearest)}`,
    'declare it in a place sheet: group gpu = ${h100}',
  ),
  'sheet/policy': message<{ policy: string; path: string; lacks: string }>(
    ({ policy, path, lacks }) =>
      `the policy ${policy} means nothing for ${path}: it has no ${lacks}`,
  ),
  'sheet/lookahead': message<{ wanted: number; path: string; layers: number }>(
    ({ wanted, path, layers }) =>
      `the experts of ${path} cannot be asked for ${wanted} layers ahead: they are chosen ${layers} layers before their use`,
  ),
  'sheet/vocabulary': message<{ draft: string; model: string }>(
    ({ draft, model }) =>
      `the draft has a vocabulary of ${draft}, the model one of ${model}; they must be equal`,
  ),
  'sheet/no-effect': warning<{ name: string; value: string }>(
    ({ name, value }) => `${name}: ${value} is checked and kept, and no target acts on it yet`,
  ),
  'sheet/no-kernel': message<{ name: string; value: string; path: string }>(
    ({ name, value, path }) =>
      `${name} of ${path} is ${value}, which only the reference interpreter computes with (--target reference); weights may be f32, f16, bf16 or, below scales of their rows, whole numbers of up to 8 bits or a table of 16, activations f32 or such numbers of up to 8 bits, kv f32, f16 or such numbers below a scale for each head`,
  ),
} as const;
