/** The registry: every primitive op by the name that templates and graphs use. */
import { invariant } from '../base/invariant.ts';
import { attend, cache } from './attend.ts';
import { among, pick, where } from './choice.ts';
import { binaryOps, positiveOps, unaryOps } from './elementwise.ts';
import { grouped, matmul } from './matmul.ts';
import type { OpDef } from './op.ts';
import { argmax, max, mean, sum } from './reduce.ts';
import { angles, rotate } from './rope.ts';
import { softmax } from './softmax.ts';
import { through } from './through.ts';
import { top_k } from './top-k.ts';
import { cast, concat, gather, reshape, slice, take, transpose } from './views.ts';

export const ops = {
  ...unaryOps,
  ...positiveOps,
  ...binaryOps,
  matmul,
  grouped,
  sum,
  mean,
  max,
  argmax,
  softmax,
  top_k,
  angles,
  rotate,
  cache,
  attend,
  reshape,
  transpose,
  cast,
  slice,
  concat,
  gather,
  take,
  pick,
  among,
  where,
  through,
} as const;

export type OpName = keyof typeof ops;

export const isOpName = (name: string): name is OpName => Object.hasOwn(ops, name);

/** The record of an op, with its attributes seen as plain data. */
export function opOf(name: string): OpDef {
  invariant(isOpName(name), () => `no op named ${name}`);
  return ops[name] as unknown as OpDef; // the one cast: attributes were checked against the record
}
