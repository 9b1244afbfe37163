#!/usr/bin/env node
/** The command line: the composition root of compiler, runtime and stdlib. */
import { readFileSync } from 'node:fs';
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { CompilerBug } from '../base/invariant.ts';
import { Failure, asDiagnosticsError } from '../base/failure.ts';
import { locate } from '../base/locate.ts';
import { renderAll } from '../base/render.ts';
import { CographError } from '../../runtime/errors.ts';
import { cachedTypes } from '../2-model/effects.ts';
import { nativeVariants, variantName } from '../7-emit/native.ts';
import { cacheActions, cacheCommand } from './commands/cache.ts';
import { checkCommand } from './commands/check.ts';
import { compileCommand } from './commands/compile.ts';
import type { Context } from './commands/context.ts';
import { generateCommand } from './commands/generate.ts';
import { inspectCommand } from './commands/inspect.ts';
import { logitsCommand } from './commands/logits.ts';
import { perplexityCommand } from './commands/perplexity.ts';
import { fmtCommand } from './commands/fmt.ts';
import { setupCommand, setups } from './commands/setup.ts';
import { typesCommand } from './commands/types.ts';
import { viewCommand } from './commands/view.ts';
import { makeConsole } from './console.ts';
import { targets } from './open.ts';
import { stages } from './stages.ts';
import { version } from './version.ts';

const whole = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || text.trim() === '') {
    throw new InvalidArgumentError('expected a whole number.');
  }
  return value;
};
const real = (text: string): number => {
  const value = Number(text);
  if (!Number.isFinite(value) || text.trim() === '') {
    throw new InvalidArgumentError('expected a number.');
  }
  return value;
};
const collect = (text: string, before: readonly string[] | undefined): readonly string[] => [
  ...(before ?? []),
  text,
];

type Run<S> = (subject: S, flags: never, context: Context) => Promise<unknown>;

/** First Ctrl-C ends the command cleanly, the second one at once. */
const controller = new AbortController();
process.on('SIGINT', () => {
  if (controller.signal.aborted) process.exit(130);
  controller.abort();
});

const action =
  <S>(run: Run<S>) =>
  async (place: S, flags: { readonly json?: boolean; readonly quiet?: boolean }) => {
    const json = flags.json === true;
    const console = makeConsole({ quiet: json || flags.quiet === true });
    const context = { console, json, signal: controller.signal };
    try {
      // Commander read the flags by the options declared beside the command.
      const result = await run(place, flags as never, context);
      if (json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    } catch (e) {
      const { code, message, status } = explain(e);
      if (json) process.stdout.write(`${JSON.stringify({ error: { code, message } }, null, 2)}\n`);
      process.stderr.write(`${message.trimEnd()}\n`);
      process.exitCode = status;
    }
  };

function textOfFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

interface Explained {
  readonly code: string;
  readonly message: string;
  readonly status: number;
}

/** A user's mistake is 1, a bug 2, Ctrl-C 130 as shells have it. */
function explain(e: unknown): Explained {
  if (controller.signal.aborted) return { code: 'aborted', message: 'interrupted', status: 130 };
  const mistakes = asDiagnosticsError(e);
  if (mistakes) {
    const message = renderAll(mistakes.diagnostics.map((d) => locate(d, textOfFile)));
    return { code: mistakes.code, message, status: 1 };
  }
  if (e instanceof Failure || e instanceof CographError) {
    return { code: e.code, message: `error[${e.code}]: ${e.message}`, status: 1 };
  }
  if (e instanceof Error && 'syscall' in e && 'code' in e) {
    return { code: `system/${String(e.code)}`, message: `error: ${e.message}`, status: 1 };
  }
  if (e instanceof SyntaxError) {
    return { code: 'model/syntax', message: `error: ${e.message}`, status: 1 };
  }
  const text = e instanceof Error ? (e.stack ?? e.message) : String(e);
  const bug = e instanceof CompilerBug ? text : `unexpected failure, please report it: ${text}`;
  return { code: 'bug', message: bug, status: 2 };
}

const subject = 'a bundle (folder or URL), a Hugging Face folder, a GGUF file, or a model.ts';

function withRunOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--target <target>',
        'where to run; auto: native where the bundle has it for this machine',
      )
        .choices(targets)
        .default('auto'),
    )
    .option('--threads <n>', 'threads (default: all cores, at most 8)', whole)
    .addOption(kvOption())
    .option('--no-cache', 'neither look for what was made of a GGUF file before, nor keep it')
    .option(
      '--checkpoint <place>',
      'weights for a model.ts that names none: a folder or a GGUF file',
    );
}

const kvOption = (): Option =>
  new Option(
    '--kv <type>',
    'elements of KV caches that no sheet speaks of (default: what the model says, else f32)',
  ).choices(cachedTypes);

const common = (command: Command): Command =>
  command
    .option('--json', 'print one JSON object and nothing else')
    .option('--quiet', 'no notes and no progress on standard error');

const program = new Command('cograph')
  .description('Compiles and runs co-designed inference graphs.')
  .version(version())
  .exitOverride()
  .showHelpAfterError('(add --help for what there is)')
  .addHelpText(
    'after',
    `
Examples:
  cograph compile model.ts --out dist/model
  cograph generate dist/model --prompt "To be, or"
  cograph inspect path/to/huggingface-folder
  cograph check src`,
  );

common(
  program
    .command('compile')
    .description('compile a model into a bundle, or print a stage of the way')
    .argument('<subject>', 'a model.ts, a Hugging Face folder or a GGUF file')
    .option(
      '--target <targets>',
      'what to compile for: wasm, native, webgpu, or several with commas',
      'wasm',
    )
    .option(
      '--variants <names>',
      `what native code is built for (default: ${nativeVariants.map(variantName).join(',')})`,
    )
    .option('--out <dir>', 'the bundle folder; replaced as a whole once everything is written')
    .addOption(new Option('--emit <stage>', 'print a stage instead').choices(stages))
    .option('--trace', 'tell each rewrite that fired, on standard error')
    .option(
      '--tune',
      'measure on this machine how products are computed best, once for each shape and processor',
    )
    .option('--max-step <tokens>', 'tokens of the largest step (default: 512)', whole)
    .addOption(kvOption())
    .option(
      '--sheet <file>',
      'a file that exports more sheets; may be given several times',
      collect,
    )
    .option(
      '--checkpoint <place>',
      'weights for a model.ts that names none: a folder or a GGUF file',
    ),
)
  .addHelpText(
    'after',
    `
Examples:
  cograph compile examples/bard/model.ts --out dist/bard
  cograph compile path/to/Qwen3-0.6B --out dist/qwen3 --target wasm,native
  cograph compile model.ts --emit graph --trace`,
  )
  .action(action(compileCommand));

common(
  withRunOptions(
    program
      .command('generate')
      .description('stream the continuation of a prompt')
      .argument('<subject>', subject),
  )
    .option('--prompt <text>', 'the prompt')
    .option('--ids <file>', 'the prompt as a JSON array of token ids')
    .option('--chat', "put the prompt into the model's chat template")
    .option('--max-tokens <n>', 'most tokens to generate', whole, 256)
    .option('--context <n>', 'longest sequence (default: the model’s own, at most 4096)', whole)
    .option('--greedy', 'always the most likely token')
    .option('--temperature <x>', 'spread of the choice (default: 1)', real)
    .option('--top-k <k>', 'only the k most likely tokens', whole)
    .option('--top-p <p>', 'only the most likely tokens that together have this probability', real)
    .option('--min-p <p>', 'only tokens at least this fraction as likely as the likeliest', real)
    .option('--repetition-penalty <x>', 'makes tokens that occurred less likely', real)
    .option('--seed <n>', 'the same seed gives the same text (default: a random one)', whole)
    .option('--stop <text>', 'end before this text; may be given several times', collect)
    .option('--ignore-eos', 'go on past the model’s own end tokens'),
)
  .addHelpText(
    'after',
    `
Examples:
  cograph generate dist/bard --prompt "HAMLET:" --max-tokens 100 --temperature 0.8 --top-p 0.9
  cograph generate path/to/Qwen3-0.6B --prompt "Who are you?" --chat --greedy
  cograph generate dist/bard --ids prompt.json --json`,
  )
  .action(action(generateCommand));

common(
  withRunOptions(
    program
      .command('logits')
      .description('write the teacher-forced logits of every position as a safetensors file')
      .argument('<subject>', subject),
  )
    .requiredOption('--ids <file>', 'a JSON array of token ids')
    .requiredOption('--out <file>', 'the safetensors file: tensor logits, [T, V] float32')
    .option('--context <n>', 'longest sequence (default: the model’s own, at most 4096)', whole),
)
  .addHelpText(
    'after',
    '\nExample:\n  cograph logits dist/bard --ids ids.json --out logits.safetensors',
  )
  .action(action(logitsCommand));

common(
  withRunOptions(
    program
      .command('perplexity')
      .description('score a text, window by window')
      .argument('<subject>', subject),
  )
    .requiredOption('--text <file>', 'the text')
    .requiredOption('--context <n>', 'inputs of a window, each window scored alone', whole),
)
  .addHelpText('after', '\nExample:\n  cograph perplexity dist/bard --text valid.txt --context 256')
  .action(action(perplexityCommand));

common(
  program
    .command('inspect')
    .description('parts, shapes, parameters, bytes, KV bytes per token')
    .argument('<subject>', subject)
    .option(
      '--checkpoint <place>',
      'weights for a model.ts that names none: a folder or a GGUF file',
    )
    .option('--sheet [file]', 'every part’s properties and the rules they came from; more sheets'),
)
  .addHelpText('after', '\nExample:\n  cograph inspect path/to/huggingface-folder --json')
  .action(action(inspectCommand));

common(
  program
    .command('view')
    .description('write one HTML page that shows a model: its flow, shapes, parameters and costs')
    .argument(
      '<subject>',
      'a model.ts, a Hugging Face folder or a GGUF file; weights are not needed',
    )
    .option('--out <file>', 'the page (default: beside the model, model.html)')
    .option('--context <n>', 'entries that the token of the figures sees', whole, 4096)
    .option(
      '--sheet <file>',
      'a file that exports more sheets; may be given several times',
      collect,
    )
    .option(
      '--checkpoint <place>',
      'weights for a model.ts that names none: a folder or a GGUF file',
    ),
)
  .addHelpText(
    'after',
    '\nExamples:\n  cograph view model.ts\n  cograph view path/to/huggingface-folder --out page.html',
  )
  .action(action(viewCommand));

common(
  program
    .command('check')
    .description('find the mistakes in templates, without weights; exit 1 where there are some')
    .argument('<files...>', 'TypeScript files, or folders with some')
    .option('--no-run', 'run no file: models are checked with what their text says')
    .option('--watch', 'check again whenever one of the files changes'),
)
  .addHelpText('after', '\nExamples:\n  cograph check model.ts\n  cograph check src --json')
  .action(action(checkCommand));

common(
  program
    .command('fmt')
    .description('lay out the templates in TypeScript files; nothing else in them changes')
    .argument('[files...]', 'TypeScript files, or folders with some')
    .option('--check', 'write nothing; exit 1 where a file is not laid out')
    .option(
      '--stdin-filepath <path>',
      'format standard input to standard output, as if it were so',
    ),
)
  .addHelpText('after', '\nExamples:\n  cograph fmt src\n  cograph fmt --check model.ts')
  .action(action(fmtCommand));

common(
  program
    .command('types')
    .description("write TypeScript types of the templates' parameters beside their files")
    .argument('<files...>', 'TypeScript files with templates')
    .option('--check', 'write nothing; fail where types are missing or stale'),
)
  .addHelpText(
    'after',
    `
Writes model.types.ts beside model.ts: an interface for each template with parameters, for
  model<BardParams>\`...\`

Example:
  cograph types examples/bard/model.ts`,
  )
  .action(action(typesCommand));

common(
  program
    .command('setup')
    .description('install what a target needs beside this package')
    .addArgument(new Argument('<target>', 'what for').choices(setups))
    .option('--yes', 'install without asking')
    .option('--dry-run', 'only tell what is missing and how it is installed')
    .option('--into <folder>', 'webgpu: where the package goes, in place of this project'),
)
  .addHelpText(
    'after',
    `
native: LLVM 14 with lld to compile (Debian's packages, with apt-get as root), koffi to run.
webgpu: the package webgpu to run in Node (browsers need nothing), and on Debian 12 without a GPU one in software.

Examples:
  cograph setup native
  cograph setup native --dry-run --json
  cograph setup webgpu`,
  )
  .action(action(setupCommand));

common(
  program
    .command('cache')
    .description('bundles of GGUF files that were run: list them, or remove them all')
    .addArgument(new Argument('<what>', 'what to do').choices(cacheActions)),
)
  .addHelpText('after', '\nExamples:\n  cograph cache list\n  cograph cache clear')
  .action(action(cacheCommand));

program
  .command('lsp')
  .description('serve editors: the language server protocol on standard input and output')
  .addOption(new Option('--stdio', 'what it does anyhow; some editors say it').hideHelp())
  .action(async () => {
    const { serve } = await import('./server.ts');
    serve();
  });

try {
  await program.parseAsync();
} catch (e) {
  if (!(e instanceof CommanderError)) throw e;
  process.exitCode = e.exitCode === 0 ? 0 : 1;
}
