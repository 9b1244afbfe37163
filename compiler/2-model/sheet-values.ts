/** What rules set properties to: names, numbers, and what holes hold. */
import type { Log } from '../base/diagnostic.ts';
import { nearestName } from '../base/messages/nearest.ts';
import { isByRow, isScheme } from '../base/scheme.ts';
import {
  type Hardware,
  type Policy,
  type PolicyConcern,
  type SheetValue,
  policyConcerns,
  storedTypes,
} from '../base/sheet-values.ts';
import type { ExprAst, GroupAst, Name, SettingAst, SheetAst } from '../1-syntax/ast.ts';
import type { SheetKind, SheetSource } from '../1-syntax/template.ts';

export type Groups = ReadonlyMap<string, Hardware | undefined>;

type Property =
  | { readonly takes: 'group' | 'bool' }
  /** `byRow`: of what tokens bring, so that no row depends on its company. */
  | { readonly takes: 'scheme'; readonly byRow?: true }
  /** A number of this concern's own, where it is one, or a policy. */
  | { readonly takes: 'policy'; readonly concern: PolicyConcern; readonly number?: true };

/** The properties of each kind of sheet. */
const properties: Readonly<Record<SheetKind, Readonly<Record<string, Property>>>> = {
  precision: {
    weights: { takes: 'scheme' },
    activations: { takes: 'scheme', byRow: true },
    kv: { takes: 'scheme', byRow: true },
  },
  place: { on: { takes: 'group' }, pin: { takes: 'bool' } },
  decode: Object.fromEntries(
    policyConcerns.map((concern): [string, Property] => [
      concern,
      { takes: 'policy', concern, ...(concern === 'prefetch' ? { number: true } : {}) },
    ]),
  ),
};

const isRecord = (v: unknown): v is Readonly<Record<string, unknown>> =>
  typeof v === 'object' && v !== null;
const kindOf = (v: unknown): unknown => (isRecord(v) ? v['kind'] : undefined);

// Holes are typed where users write them; the kind tells which they are.
const isPolicy = (v: unknown): v is Policy => kindOf(v) === 'policy';
const isHardware = (v: unknown): v is Hardware => kindOf(v) === 'hardware';

/** Names of groups with what they are; `auto` is always there, and left to the planner. */
export function readGroups(
  sheet: SheetSource,
  groups: readonly GroupAst[],
  log: Log,
): readonly (readonly [string, Hardware | undefined])[] {
  return groups.map(({ name, value }) => {
    const hole = value.kind === 'hole' ? sheet.holes[value.index] : undefined;
    if (isHardware(hole)) return [name.text, hole];
    report(log, `group ${name.text}`, 'a description of hardware in a hole', sheet, value);
    return [name.text, undefined];
  });
}

/** A property of a sheet, in words: what it takes, and the values that are plain names. */
export interface PropertyText {
  readonly name: string;
  readonly takes: string;
  readonly values: readonly string[];
}

export function propertiesOf(kind: SheetKind): readonly PropertyText[] {
  return Object.entries(properties[kind]).map(([name, property]) => ({
    name,
    takes: takesText(property),
    values: valuesOf(property),
  }));
}

function takesText(property: Property): string {
  switch (property.takes) {
    case 'scheme':
      return `${storedTypes.join(', ')} or a scheme${property.byRow ? ' with groups inside one row' : ''} in a hole`;
    case 'bool':
      return 'true or false';
    case 'group':
      return 'the name of a group, or auto';
    case 'policy':
      return `${property.number ? 'a whole number or ' : ''}a policy for ${property.concern} in a hole`;
  }
}

function valuesOf({ takes }: Property): readonly string[] {
  switch (takes) {
    case 'scheme':
      return storedTypes;
    case 'bool':
      return ['true', 'false'];
    case 'group':
      return ['auto'];
    case 'policy':
      return [];
  }
}

/** Reports what the text of a sheet alone gets wrong: what holes hold may not be known yet. */
export function checkSettings(sheet: SheetSource, ast: SheetAst, log: Log): void {
  const groups: Groups = new Map(ast.groups.map(({ name }) => [name.text, undefined]));
  for (const setting of ast.rules.flatMap((rule) => rule.settings)) {
    if (setting.value.kind === 'hole') propertyOf(sheet.kind, setting.name, log);
    else readSetting(sheet, setting, groups, log);
  }
}

function propertyOf(kind: SheetKind, name: Name, log: Log): Property | undefined {
  const known = properties[kind];
  if (Object.hasOwn(known, name.text)) return known[name.text];
  const names = Object.keys(known);
  const nearest = nearestName(name.text, names);
  const about = { name: name.text, sheet: kind, known: names.join(', '), nearest };
  log.report('sheet/property', about, [{ span: name.span, text: '' }]);
  return undefined;
}

/** The value of a setting; undefined where it has a mistake. */
export function readSetting(
  sheet: SheetSource,
  { name, value }: SettingAst,
  groups: Groups,
  log: Log,
): SheetValue | undefined {
  const property = propertyOf(sheet.kind, name, log);
  if (!property) return undefined;
  const hole = value.kind === 'hole' ? sheet.holes[value.index] : undefined;
  switch (property.takes) {
    case 'scheme': {
      const type = storedTypes.find((t) => value.kind === 'name' && value.name === t);
      if (type) return { kind: 'type', type };
      if (isScheme(hole) && (!property.byRow || isByRow(hole))) return hole;
      report(log, name.text, takesText(property), sheet, value);
      return undefined;
    }
    case 'bool':
      if (value.kind === 'bool') return { kind: 'bool', value: value.value };
      report(log, name.text, takesText(property), sheet, value);
      return undefined;
    case 'group':
      return readGroup(name.text, sheet, value, groups, log);
    case 'policy': {
      if (isPolicy(hole) && hole.concern === property.concern) return hole;
      const whole = value.kind === 'number' && value.whole && value.value >= 0;
      if (property.number && whole) return { kind: 'int', value: value.value };
      report(log, name.text, takesText(property), sheet, value);
      return undefined;
    }
  }
}

function readGroup(
  property: string,
  sheet: SheetSource,
  value: ExprAst,
  groups: Groups,
  log: Log,
): SheetValue | undefined {
  if (value.kind !== 'name') {
    report(log, property, 'the name of a group, or auto', sheet, value);
    return undefined;
  }
  const { name, span } = value;
  if (name !== 'auto' && !groups.has(name)) {
    const nearest = nearestName(name, groups.keys());
    log.report('sheet/group', { name, nearest }, [{ span, text: '' }]);
    return undefined;
  }
  return { kind: 'group', name, hardware: groups.get(name) };
}

function report(
  log: Log,
  name: string,
  expected: string,
  sheet: SheetSource,
  value: ExprAst,
): void {
  const labels = [{ span: value.span, text: '' }];
  log.report('sheet/value', { name, expected, found: found(sheet, value) }, labels);
}

function found(sheet: SheetSource, value: ExprAst): string {
  if (value.kind !== 'hole') {
    const { source, start, end } = value.span;
    return source.text.slice(start, end);
  }
  const hole = sheet.holes[value.index];
  if (isScheme(hole)) return `the scheme ${hole.name}`;
  if (isPolicy(hole)) return `the policy ${hole.name} for ${hole.concern}`;
  if (isHardware(hole)) return `the hardware ${hole.name}`;
  return typeof hole === 'object' ? 'another object' : String(hole);
}
