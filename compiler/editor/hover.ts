/** What is known of a place, as lines of Markdown. */
import { showDim } from '../base/dim.ts';
import { present } from '../base/invariant.ts';
import type { Span } from '../base/source.ts';
import { showType } from '../base/type.ts';
import { isOpName, opOf } from '../ops/index.ts';
import { showExpr } from '../1-syntax/print.ts';
import type { ParamDecl } from '../1-syntax/ast.ts';

import type { Instance, Model, Value } from '../2-model/model.ts';
import { type Thing, describe, showTypeAst } from '../2-model/scope.ts';
import { partCosts } from '../3-graph/part-cost.ts';
import { propertiesOf } from '../2-model/sheet-values.ts';
import {
  type Spot,
  argumentAt,
  calleeOf,
  expressionAt,
  offsetIn,
  spotAt,
  symbolAt,
  textAt,
} from './locate.ts';
import type { NameSymbol } from './names.ts';
import { type Facts, type Known, type Place, type Workspace, factKey } from './workspace.ts';

export interface Hover {
  readonly markdown: string;
  readonly place: Place;
}

export function hoverAt(workspace: Workspace, path: string, offset: number): Hover | undefined {
  const spot = spotAt(workspace, path, offset);
  if (!spot) return ofProperty(workspace, path, offset);
  if (spot.hole) return ofHole(workspace, spot);
  const found =
    ofArgument(workspace, spot) ?? ofSymbol(workspace, spot) ?? ofExpression(workspace, spot);
  const place = found && workspace.placeOf(found.span);
  return found && place ? { markdown: found.lines.join('\n\n'), place } : undefined;
}

/** The name of a property in a sheet. */
function ofProperty(workspace: Workspace, path: string, offset: number): Hover | undefined {
  const file = workspace.file(path);
  const text = file && textAt(file, offset);
  if (!text || text.tag === 'block' || text.tag === 'model') return undefined;
  const { tag, source, offsets } = text;
  const at = offsetIn(text, offset);
  for (const m of source.text.matchAll(/(?<=[{;\n]\s*)\w+(?=\s*:)/g)) {
    if (at < m.index || at > m.index + m[0].length) continue;
    const before = source.text.slice(0, m.index);
    const property = propertiesOf(tag).find((p) => p.name === m[0]);
    if (!property || before.lastIndexOf('{') <= before.lastIndexOf('}')) return undefined;
    const [start, end] = [m.index, m.index + m[0].length].map((o) => offsets[o]);
    const markdown = [fence(`${property.name}: ${property.takes}`), `property of ${tag} sheets`];
    return {
      markdown: markdown.join('\n\n'),
      place: { path, start: present(start), end: present(end) },
    };
  }
  return undefined;
}

interface Told {
  readonly lines: readonly string[];
  readonly span: Span;
}

const fence = (text: string): string => `\`\`\`cograph\n${text}\n\`\`\``;

function ofHole(workspace: Workspace, { file, hole }: Spot): Hover | undefined {
  const known = hole && workspace.templateAt(file, hole.code);
  if (!hole || !known) return undefined;
  return {
    markdown: describeBlock(workspace, known).join('\n\n'),
    place: { path: file.path, ...hole.range },
  };
}

/** A block's first line and what its author says of it. */
export function describeBlock(workspace: Workspace, known: Known): readonly string[] {
  const ast = workspace.astOf(known);
  const { text } = known.text.source;
  const from = ast?.name.span.start ?? Math.max(0, text.search(/\S/));
  const written = text.slice(from, text.indexOf('{', from)).trim();
  // It ends in the column where it begins.
  const indent = /\n([ \t]*)\S[^\n]*$/.exec(written)?.[1] ?? '';
  const head = written.replaceAll(`\n${indent}`, '\n');
  const comment = known.text.comment?.replace(/^\/\*\*?|\*\/$|^\s*\* ?|^\/\/ ?/gm, '').trim();
  return [fence(`${known.text.tag} ${head}`), ...(comment ? [comment] : [])];
}

function ofArgument(workspace: Workspace, spot: Spot): Told | undefined {
  const found = argumentAt(spot);
  if (!found) return undefined;
  const { name, callee } = found;
  if (callee.kind === 'name' && isOpName(callee.name)) {
    const spec = opOf(callee.name).attrs[name.text];
    if (!spec) return undefined;
    const value =
      spec.default === undefined || typeof spec.default === 'object' ? '' : ` = ${spec.default}`;
    return { lines: [fence(`${name.text}: ${spec.kind}${value}`), spec.doc], span: name.span };
  }
  const block = calleeOf(workspace, spot.known, spot.names, callee);
  const ast = block && workspace.astOf(block);
  const param = ast?.params.find((p) => p.name.text === name.text);
  if (!param) return undefined;
  return { lines: [fence(showParam(param)), `parameter of ${ast?.name.text}`], span: name.span };
}

const showParam = (p: ParamDecl): string =>
  `${p.name.text}: ${showTypeAst(p.type)}${p.default ? ` = ${showExpr(p.default)}` : ''}`;

function ofSymbol(workspace: Workspace, spot: Spot): Told | undefined {
  const found = symbolAt(spot);
  if (!found) return undefined;
  const { symbol, span } = found;
  const { path } = spot.file;
  const { facts, exact } = workspace.check(path);
  if (symbol.kind === 'template') return { lines: describeBlock(workspace, spot.known), span };
  if (symbol.kind === 'parameter') {
    const param = workspace.astOf(spot.known)?.params.find((p) => p.name.text === symbol.name);
    const value = thingAt(exact, span);
    const here = value && value.kind !== 'error' ? [`here ${show(value)}`] : [];
    return param && { lines: [fence(showParam(param)), ...here], span };
  }
  const [open, sized] = [thingAt(facts, span), thingAt(exact, span)];
  const lines = symbol.kind === 'instance' ? [] : typeLines(symbol.name, open, sized);
  return { lines: [...lines, ...more(workspace, spot, symbol, open, sized)], span };
}

function more(
  workspace: Workspace,
  spot: Spot,
  symbol: NameSymbol,
  open: Thing | undefined,
  sized: Thing | undefined,
): readonly string[] {
  const thing = sized?.kind === 'tensor' || sized?.kind === 'part' ? sized : open;
  if (thing?.kind === 'tensor' && thing.expr.kind === 'weight') {
    return [inCheckpoint('weight', thing.expr.weight.source)];
  }
  if (symbol.kind === 'size') return ['a size that the argument brings'];
  if (symbol.kind !== 'instance' || !symbol.callee) return [];
  const block = calleeOf(workspace, spot.known, spot.names, symbol.callee);
  const about = block ? describeBlock(workspace, block) : [];
  const instance = thing?.kind === 'part' ? thing.part.instance : undefined;
  const { models } = workspace.check(spot.file.path);
  const source = thing?.kind === 'part' ? [inCheckpoint('instance', thing.part.source)] : [];
  return [...about, ...source, ...(instance ? costLines(instance, models) : [])];
}

const inCheckpoint = (what: string, source: string): string =>
  `${what}, \`${source.replaceAll('{@}', '{layer}')}\` in the checkpoint`;

/** What was given, and what the part has and does in the models that have it. */
function costLines(instance: Instance, models: readonly Model[]): readonly string[] {
  const given = [...instance.params].map(([name, v]) => `${name} = ${showValue(v)}`).join(', ');
  const costs = models.flatMap((model) => {
    const { instances } = partCosts(model, { keys: 1 });
    // Layers that fold are copies of what was elaborated; the place of the call is the same one.
    return [...instances].filter(([i]) => i.span === instance.span).map(([, cost]) => cost);
  });
  const [cost] = costs;
  const lines = given === '' ? [] : [`with ${given}`];
  if (!cost) return lines;
  const number = (n: number): string => n.toLocaleString('en');
  const figures = `${number(cost.parameters)} parameters, ${number(cost.bytes)} bytes as f32`;
  return [...lines, `${figures}, ${number(cost.flops)} FLOP per token`];
}

function showValue(v: Value): string {
  switch (v.kind) {
    case 'list':
      return v.items.length > 8
        ? `a list of ${v.items.length}`
        : `[${v.items.map(showValue).join(', ')}]`;
    case 'fn':
      return `|${v.fn.params.join(', ')}| ...`;
    case 'block':
      return v.name;
    case 'int':
    case 'real':
    case 'bool':
    case 'text':
      return String(v.value);
  }
}

function ofExpression(workspace: Workspace, spot: Spot): Told | undefined {
  const e = expressionAt(spot);
  if (!e) return undefined;
  if (e.kind === 'name' && isOpName(e.name)) {
    const { doc, operands, attrs } = opOf(e.name);
    const args = [...operands, ...Object.keys(attrs).map((k) => `${k} = ..`)].join(', ');
    const list = Object.entries(attrs).map(([k, spec]) => `- \`${k}\`: ${spec.doc}`);
    return {
      lines: [fence(`${e.name}(${args})`), doc, ...(list.length > 0 ? [list.join('\n')] : [])],
      span: e.span,
    };
  }
  const { facts, exact } = workspace.check(spot.file.path);
  const { text } = spot.known.text.source;
  const name =
    text.slice(e.span.start, e.span.end).replaceAll('\uE000', '${..}').split('\n')[0] ?? '';
  const lines = typeLines(name, thingAt(facts, e.span), thingAt(exact, e.span));
  return lines.length > 0 ? { lines, span: e.span } : undefined;
}

const thingAt = (facts: Facts, { source, start, end }: Span): Thing | undefined =>
  facts.get(source)?.get(factKey(start, end));

/** The type for every size, and below it with those of the model that the file binds. */
function typeLines(
  name: string,
  open: Thing | undefined,
  sized: Thing | undefined,
): readonly string[] {
  const known = [open, sized].filter((t) => t !== undefined && t.kind !== 'error');
  const texts = [...new Set(known.map((t) => (t ? show(t) : '')))];
  const [first, second] = texts;
  if (first === undefined) return [];
  return [fence(`${name}: ${first}`), ...(second === undefined ? [] : [`here \`${second}\``])];
}

export function show(t: Thing): string {
  if (t.kind === 'tensor') return t.expr.types.map(showType).join(', ');
  if (t.kind === 'dim') return showDim(t.dim);
  return describe(t);
}
