/** The typed model as text: instances with their weights, then what each body computes. */
import { showType } from '../base/type.ts';
import { unreachable } from '../base/invariant.ts';
import { type Writer, makeWriter } from '../base/writer.ts';
import { printFn } from '../scalar/print.ts';
import type { Body, Instance, Model, Statement, TypedExpr, Value } from './model.ts';

export function printModel(model: Model): string {
  const w = makeWriter();
  const inputs = model.inputs.map((i) => `${i.name}: ${showType(i.type)}`).join(', ');
  w.line(`model ${model.name}(${inputs}; ${paramsText(model.params)}) {`);
  w.indent(() => {
    printBody(w, model.body);
    w.line(`return ${model.results.map(exprText).join(', ')}`);
  });
  w.line('}');
  return w.text();
}

const paramsText = (params: ReadonlyMap<string, Value>): string =>
  [...params].map(([name, value]) => `${name} = ${valueText(value)}`).join(', ');

export function valueText(v: Value): string {
  switch (v.kind) {
    case 'int':
    case 'real':
    case 'bool':
      return String(v.value);
    case 'text':
      return JSON.stringify(v.value);
    case 'list':
      return `[${v.items.map(valueText).join(', ')}]`;
    case 'fn':
      return printFn(v.fn);
    case 'block':
      return v.name;
    default:
      return unreachable(v);
  }
}

function printBody(w: Writer, body: Body): void {
  for (const { path, source, type } of body.weights) {
    w.line(`weight ${path}: ${showType(type)}${source === path ? '' : ` from "${source}"`}`);
  }
  body.instances.forEach((i) => printInstance(w, i));
  body.statements.forEach((s) => printStatement(w, s));
}

function printInstance(w: Writer, i: Instance): void {
  const inputs = i.inputs.map((x) => `${x.name}: ${showType(x.type)}`).join(', ');
  const params = i.params.size === 0 ? '' : `; ${paramsText(i.params)}`;
  w.line(`use ${i.path} = ${i.block}(${inputs}${params}) {`);
  w.indent(() => {
    printBody(w, i.body);
    w.line(`return ${i.results.map(exprText).join(', ')}`);
  });
  w.line('}');
}

function printStatement(w: Writer, s: Statement): void {
  if (s.kind === 'let') {
    w.line(
      `${s.names.join(', ')} = ${exprText(s.value)}  // ${s.value.types.map(showType).join(', ')}`,
    );
    return;
  }
  w.line(`repeat carrying ${s.carried.map((c) => `${c.name}: ${showType(c.type)}`).join(', ')} {`);
  w.indent(() => {
    for (const run of s.runs) {
      run.bodies.forEach((body, b) => {
        const every = run.bodies.length;
        const last = run.first + (run.count - 1) * every + b;
        const step = every > 1 ? ` by ${every}` : '';
        w.line(`layers ${run.first + b}..${last}${step} {`);
        w.indent(() => printBody(w, body));
        w.line('}');
      });
    }
  });
  w.line('}');
}

function exprText(e: TypedExpr): string {
  switch (e.kind) {
    case 'local':
      return e.name;
    case 'weight':
      return e.weight.path;
    case 'constant':
      return String(e.value);
    case 'step':
      return e.field;
    case 'op': {
      const attrs = Object.entries(e.attrs).map(
        ([name, v]) =>
          `${name} = ${typeof v === 'object' && 'body' in v ? printFn(v) : JSON.stringify(v)}`,
      );
      return `${e.op}(${[...e.inputs.map(exprText), ...attrs].join(', ')})`;
    }
    case 'call':
      return `${e.instance.path}(${e.inputs.map(exprText).join(', ')})`;
    case 'pick':
      return `${exprText(e.from)}.${e.index}`;
    default:
      return unreachable(e);
  }
}
