/** Policies of users' own. */
import { ConfigError } from './base/failure.ts';
import type { Policy } from './base/sheet-values.ts';

/** What a policy says, with the least and the largest value of each parameter. */
export interface PolicySpec extends Omit<Policy, 'kind'> {
  readonly ranges: Readonly<Record<string, readonly [least: number, most: number]>>;
}

/** A policy whose parameters are whole numbers in their ranges. Throws ConfigError. */
export function definePolicy({ ranges, ...spec }: PolicySpec): Policy {
  for (const [name, value] of Object.entries(spec.params)) {
    const [least, most] = ranges[name] ?? [0, Infinity];
    if (Number.isInteger(value) && value >= least && value <= most) continue;
    throw new ConfigError(
      'policy/range',
      `the policy ${spec.name}: ${name} is a whole number from ${least} to ${most}, found ${value}`,
    );
  }
  return { ...spec, kind: 'policy' };
}
