/** `tsx bench/make-gguf.ts <shape> <type>`: makes a random GGUF file in `.cache/` and prints its path. */
import { fileURLToPath } from 'node:url';
import { Argument, Command } from 'commander';
import { blockNames, ggufShapes, makeGguf } from './gguf-random.ts';

const command = new Command('make-gguf')
  .addArgument(new Argument('<shape>').choices(ggufShapes.map((s) => s.name)))
  .addArgument(new Argument('<type>').choices(blockNames))
  .parse();
const shape = ggufShapes.find((s) => s.name === command.args[0]);
const type = blockNames.find((t) => t === command.args[1]);
if (shape === undefined || type === undefined) throw new Error('commander checks the choices');
const cache = fileURLToPath(new URL('../.cache/gguf', import.meta.url));
process.stdout.write(`${await makeGguf(shape, type, cache)}\n`);
