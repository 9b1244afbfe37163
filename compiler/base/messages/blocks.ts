/** Blocks, models and repeats as wholes. */
import { type Named, message } from './message.ts';

export const blocks = {
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
  'model/too-large': message<{ most: number }>(
    ({ most }) => `a model is written out in at most ${most} steps, this one takes more`,
    'fewer layers or shorter lists: equal layers belong in one repeat that is not inside another',
  ),
  'repeat/count': message<{ most: number; found: string }>(
    ({ most, found }) => `a repeat has from 1 to ${most} rounds, found ${found}`,
    'leave the repeat out, or put an if around it',
  ),
  'repeat/return': message<Readonly<Record<string, never>>>(
    () => 'a repeat assigns and does not return',
    'assign the value and return it behind the repeat',
  ),
} as const;
