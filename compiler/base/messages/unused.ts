/** What a text says in vain. */
import { type Message, type Named, warning } from './message.ts';

const minor = <P>(text: (params: P) => string, help: string): Message<P> => ({
  ...warning(text, help),
  minor: true,
});
const use = 'use it, take it out, or begin its name with _';

export const unused = {
  'unused/input': minor<Named>(({ name }) => `the input ${name} is never read`, use),
  'unused/instance': minor<Named>(({ name }) => `the instance ${name} is never called`, use),
  'unused/parameter': minor<Named>(({ name }) => `the parameter ${name} is never read`, use),
  'unused/statement': minor<Readonly<Record<string, never>>>(
    () => 'nothing behind a return is reached',
    'take it out, or put the return last',
  ),
  'unused/value': minor<Named>(({ name }) => `${name} is computed and never read`, use),
  'unused/weight': minor<Named>(({ name }) => `the weight ${name} is never read`, use),
} as const;
