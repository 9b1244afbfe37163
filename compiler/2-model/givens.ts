/** Arguments of `use` and of direct calls, held against the parameters of the block. */
import { nearestName } from '../base/messages/nearest.ts';
import type { Span } from '../base/source.ts';
import type { Template } from '../1-syntax/template.ts';
import { type Context, type Given, isError } from './scope.ts';

/** False where an argument is a mistake, names no parameter, or is one too many. */
export function checkArguments(
  ctx: Context,
  template: Template,
  args: readonly Given[],
  callee: Span,
): boolean {
  const ast = ctx.astOf(template);
  if (!ast || args.some((a) => isError(a.value))) return false;
  const of = ast.name.text;
  const params = ast.params.map((p) => p.name.text);
  let good = true;
  for (const { name } of args) {
    if (!name || params.includes(name.text)) continue;
    good = false;
    if (ast.inputs.some((i) => i.name.text === name.text)) {
      ctx.log.report('call/tensor-by-name', { name: name.text, of }, [
        { span: name.span, text: '' },
      ]);
      continue;
    }
    const nearest = nearestName(name.text, params);
    ctx.log.report('name/unknown-argument', { name: name.text, of, nearest }, [
      { span: name.span, text: '' },
      { span: ast.name.span, text: `${of} is declared here` },
    ]);
  }
  const positional = args.filter((a) => !a.name);
  const extra = positional[params.length];
  if (extra) {
    const [most, found] = [params.length, positional.length];
    ctx.log.report('call/too-many', { of, most, found }, [
      { span: extra.span, text: '' },
      { span: callee, text: 'in this call' },
    ]);
  }
  return good && !extra;
}
