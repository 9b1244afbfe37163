/** The catalogue of mistakes: one entry a code, with the text that a user reads; a file an area. */
import { attention } from './messages/attention.ts';
import { blocks } from './messages/blocks.ts';
import { calls } from './messages/calls.ts';
import { edits } from './messages/edits.ts';
import { names } from './messages/names.ts';
import { ops } from './messages/ops.ts';
import { shapes } from './messages/shapes.ts';
import { sheets } from './messages/sheets.ts';
import { syntax } from './messages/syntax.ts';
import { types } from './messages/types.ts';
import { unused } from './messages/unused.ts';
import { values } from './messages/values.ts';
import { weights } from './messages/weights.ts';

export const messages = {
  ...attention,
  ...syntax,
  ...names,
  ...calls,
  ...values,
  ...shapes,
  ...sheets,
  ...blocks,
  ...weights,
  ...types,
  ...edits,
  ...ops,
  ...unused,
} as const;

export type MessageCode = keyof typeof messages;
export type MessageParams<K extends MessageCode> = Parameters<(typeof messages)[K]['text']>[0];
