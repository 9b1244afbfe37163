/**
 * Mistakes in the use of an op. Their texts are the op records' own (`Problem`), which alone know the
 * rule; a code is here so that it has its examples as every other.
 */
import { message } from './message.ts';

const written = message<{ text: string }>(({ text }) => text);

export const ops = {
  'shape/axis': written,
  'shape/differ': written,
  'shape/elements': written,
  'shape/heads': written,
  'shape/inner': written,
  'shape/rank': written,
  'shape/slice': written,
  'type/element': written,
  'type/index': written,
  'type/unknown': written,
  'value/choice': written,
  'value/range': written,
} as const;

export type OpCode = keyof typeof ops;
