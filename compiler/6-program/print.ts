/** The program as text: launches with their arguments, loops, barriers, memory. */
import { type Writer, makeWriter } from '../base/writer.ts';
import type { Argument, Item, Program } from './program.ts';

export function printProgram(program: Program): string {
  const w = makeWriter();
  const { limits, memory } = program;
  w.line(`program ${program.name} (tokens <= ${limits.tokens}, rows <= ${limits.rows})`);
  w.indent(() => {
    program.body.forEach((i) => printItem(w, program, i));
    w.line(`output arena+${program.output.offset}, ${program.output.width} f32 a row`);
    w.line(`arena ${memory.arenaBytes} bytes, scratch ${memory.scratchBytes} bytes a thread`);
    w.line(`weights ${memory.weightBytes} bytes, state ${memory.stateBytesPerSlot} bytes a slot`);
    for (const b of memory.buffers) {
      w.line(`buffer ${b.name}: arena+${b.offset}, ${b.bytes} bytes, launches ${b.from}..${b.to}`);
    }
    for (const s of program.weights) {
      const each = s.count > 1 ? `, ${s.count} x ${s.stride}` : '';
      w.line(`weight ${s.name}: ${s.dtype}[${s.shape.join(', ')}] at ${s.offset}${each}`);
    }
    for (const s of program.states) {
      const each = s.count > 1 ? `, ${s.count} x ${s.stride}` : '';
      w.line(`state ${s.name}: ${s.dtype}[${s.row.join(', ')}] at ${s.offset}${each}`);
    }
  });
  return w.text();
}

function printItem(w: Writer, program: Program, item: Item): void {
  switch (item.kind) {
    case 'barrier':
      w.line('barrier');
      break;
    case 'loop':
      w.line(`loop ${item.count}`);
      w.indent(() => item.body.forEach((i) => printItem(w, program, i)));
      break;
    case 'launch': {
      const kernel = program.kernels[item.kernel];
      const args = item.args.map((a, i) => `${kernel?.params[i]?.name ?? i} = ${argumentText(a)}`);
      w.line(`launch ${kernel?.name ?? item.kernel} (${args.join(', ')})`);
    }
  }
}

function argumentText(a: Argument): string {
  if (a.kind === 'step') return a.field;
  return `${a.kind}+${a.offset}${a.stride === 0 ? '' : `+${a.stride}i`}`;
}
