/** Weights against a checkpoint. */
import { type Unknown, message, near } from './message.ts';

export const weights = {
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
    'the matrices of a stack need one element type',
  ),
} as const;
