/** Surgery: changes to a model, and what they select. */
import { type Named, message, near, warning } from './message.ts';

export const edits = {
  'select/kind': message<{ name: string; known: string; nearest: string | undefined }>(
    ({ name, known, nearest }) =>
      `no kind of part named ${name}${near(nearest)}; there are ${known}`,
  ),
  'select/attribute': {
    ...warning<{ name: string; nearest: string | undefined }>(
      ({ name, nearest }) => `no part of the model has a parameter or size ${name}${near(nearest)}`,
    ),
    minor: true,
  },
  'edit/nothing': message<{ selector: string; nearest: string | undefined }>(
    ({ selector, nearest }) => `${selector} selects nothing in the model${near(nearest)}`,
  ),
  'edit/part': message<{ edit: string; takes: string; path: string; found: string }>(
    ({ edit, takes, path, found }) => `${edit} takes ${takes}, ${path} is ${found}`,
  ),
  'edit/several': message<{ edit: string; what: string; found: number }>(
    ({ edit, what, found }) => `${edit} takes one ${what}, this selects ${found}`,
  ),
  'edit/lora-rank': message<{ name: string; value: string; expected: string }>(
    ({ name, value, expected }) => `lora: ${name} must be ${expected}, found ${value}`,
  ),
  'edit/lora-use': message<Named>(
    ({ name }) => `${name} takes no adapter: it is not, or not only, the matrix of products`,
    'adapters stand beside x @ w.T and grouped(x, w, ids)',
  ),
  'edit/tie-shape': message<{ name: string; to: string; own: string; other: string }>(
    ({ name, to, own, other }) => `${name} cannot be ${to}: one is ${own}, the other ${other}`,
  ),
  'edit/tie-gone': message<{ name: string; to: string }>(
    ({ name, to }) => `a later edit took ${to} away, which stands for ${name}`,
  ),
} as const;
