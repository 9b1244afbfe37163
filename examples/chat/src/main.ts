/** The page: a model is picked, loaded and talked to. */
import { type LoadedModel, cachedBundles, load } from 'cograph/runtime';
import { type Conversation, type PromptSizes, makeConversation } from './conversation.ts';
import { byId, make, sizeText, timeText } from './dom.ts';
import { downloadView } from './download.ts';
import { makeLog } from './log.ts';
import { type ModelEntry, readModels } from './models.ts';
import { goOffline } from './offline.ts';
import { makePanel } from './panel.ts';
import { read, write } from './settings.ts';

const picker = byId('model', HTMLSelectElement);
const status = byId('status', HTMLElement);
const prompt = byId('prompt', HTMLTextAreaElement);
const send = byId('send', HTMLButtonElement);
const stop = byId('stop', HTMLButtonElement);
const fresh = byId('fresh', HTMLButtonElement);
const start = byId('start', HTMLElement);
const loadButton = byId('load', HTMLButtonElement);
const trouble = byId('trouble', HTMLElement);
const download = downloadView();
const panel = makePanel();

let model: LoadedModel | undefined;
let conversation: Conversation | undefined;
let loading: AbortController | undefined;
let replying: AbortController | undefined;

const log = makeLog({
  edit(index, text) {
    log.cut(index);
    void ask(text);
  },
  regenerate() {
    log.cut(log.messages.length - 1);
    void reply();
  },
});

function tell(e: unknown): void {
  trouble.textContent = e instanceof Error ? e.message : String(e);
  trouble.hidden = false;
}

const note = (text: string): void => {
  status.textContent = text;
};

/** The card of a model that is not loaded. */
async function offer(entry: ModelEntry): Promise<void> {
  unload();
  write('model', entry.id);
  byId('start-name', HTMLElement).textContent = entry.name;
  byId('start-about', HTMLElement).textContent = entry.about;
  const url = bundleUrl(entry);
  const stored = (await cachedBundles()).find((b) => b.url === url);
  const whole = stored !== undefined && stored.storedBytes === stored.bytes;
  byId('start-stored', HTMLElement).textContent = !stored
    ? 'It is downloaded once, stays in this browser, and runs on this machine: nothing you write leaves it.'
    : whole
      ? `Stored in this browser, ${sizeText(stored.bytes)}: it starts without the network.`
      : `${sizeText(stored.storedBytes)} of ${sizeText(stored.bytes)} are here already; the download goes on from there.`;
  loadButton.textContent = whole ? 'Start' : stored ? 'Go on and start' : 'Download and start';
  loadButton.onclick = () => void open(entry);
  start.hidden = false;
  // What is here already starts by itself.
  if (whole) await open(entry);
}

const bundleUrl = (entry: ModelEntry): string => new URL(entry.url, document.baseURI).href;

function unload(): void {
  loading?.abort();
  replying?.abort();
  model?.close();
  model = conversation = undefined;
  log.cut(0);
  trouble.hidden = true;
  panel.model(undefined);
  usable();
  note('');
}

async function open(entry: ModelEntry): Promise<void> {
  const controller = new AbortController();
  loading = controller;
  start.hidden = true;
  trouble.hidden = true;
  download.begin();
  const notices: string[] = [];
  try {
    const loaded = await load(bundleUrl(entry), {
      onProgress: download.onProgress,
      onNotice: (n) => notices.push(n.message),
      signal: controller.signal,
    });
    if (controller.signal.aborted) return loaded.close();
    model = loaded;
    conversation = makeConversation(loaded);
    note(`${loaded.target}, ${loaded.threads} thread${loaded.threads === 1 ? '' : 's'}`);
    status.title = notices.join('\n');
    panel.model(loaded);
    prompt.value ||= entry.opening;
    usable();
    prompt.focus();
  } catch (e) {
    if (loading !== controller) return; // another model was picked meanwhile
    start.hidden = false;
    loadButton.textContent = 'Try again';
    if (!controller.signal.aborted) tell(e);
  } finally {
    if (loading === controller) {
      loading = undefined;
      download.end();
    }
    await panel.refreshStored();
  }
}

/** What can be pressed now. */
function usable(): void {
  const ready = model !== undefined && replying === undefined;
  prompt.disabled = model === undefined;
  prompt.placeholder = model
    ? 'Write something. Enter sends, Shift+Enter begins a line.'
    : 'Load the model first';
  send.disabled = !ready;
  send.hidden = replying !== undefined;
  stop.hidden = replying === undefined;
  fresh.disabled = !ready;
  log.busy(!ready);
}

async function ask(text: string): Promise<void> {
  log.addUser(text);
  await reply();
}

async function reply(): Promise<void> {
  const talk = conversation;
  if (!talk || replying) return;
  const controller = new AbortController();
  replying = controller;
  trouble.hidden = true;
  const { messages } = log;
  const entry = log.addReply();
  usable();
  let sizes: PromptSizes = { promptTokens: 0, keptTokens: 0 };
  let ending = '';
  try {
    const options = { ...panel.sampling(), signal: controller.signal };
    const parts = talk.reply(messages, options, (found) => (sizes = found));
    for await (const part of parts) {
      entry.write(part.text);
      if (!part.timings) continue;
      const { tokensPerSecond, firstTokenMs } = part.timings;
      const why = {
        abort: 'stopped, ',
        length: 'cut at the most tokens, ',
        context: 'the context is full, ',
      };
      const finish =
        part.finish === 'abort' || part.finish === 'length' || part.finish === 'context';
      ending = `${finish ? why[part.finish] : ''}${tokensPerSecond.toFixed(1)} tokens a second, first after ${timeText(firstTokenMs)}`;
      panel.reply(part.timings, sizes, talk.length);
    }
  } catch (e) {
    if (conversation === talk) tell(e);
  } finally {
    if (replying === controller) replying = undefined;
    entry.end(ending);
    usable();
  }
}

byId('composer', HTMLFormElement).onsubmit = (e) => {
  e.preventDefault();
  const text = prompt.value;
  if (!model || replying || text.trim() === '') return;
  prompt.value = '';
  void ask(text);
};
prompt.onkeydown = (e) => {
  if (e.key !== 'Enter' || e.shiftKey || e.isComposing) return;
  e.preventDefault();
  send.click();
};
stop.onclick = () => replying?.abort();
addEventListener('keydown', (e) => {
  if (e.key !== 'Escape') return;
  if (replying) replying.abort();
  else if (narrow.matches) showPanel(false);
});
byId('cancel', HTMLButtonElement).onclick = () => loading?.abort();
fresh.onclick = () => {
  log.cut(0);
  trouble.hidden = true;
  prompt.focus();
};

/** Where the panel lies over the conversation. */
const narrow = matchMedia('(width < 52rem)');
const toggle = byId('panel-toggle', HTMLButtonElement);
const side = byId('panel', HTMLElement);
const showPanel = (is: boolean): void => {
  side.hidden = !is;
  toggle.setAttribute('aria-expanded', String(is));
};
toggle.onclick = () => showPanel(side.hidden === true);
showPanel(matchMedia('(width >= 70rem)').matches);

const themes = ['auto', 'light', 'dark'];
const themeButton = byId('theme', HTMLButtonElement);
const showTheme = (theme: string): void => {
  document.documentElement.dataset['theme'] = theme;
  themeButton.textContent = theme[0]?.toUpperCase() + theme.slice(1);
  themeButton.setAttribute('aria-label', `Colours: ${theme}`);
  write('theme', theme);
};
themeButton.onclick = () => {
  const now = document.documentElement.dataset['theme'] ?? 'auto';
  showTheme(themes[(themes.indexOf(now) + 1) % themes.length] ?? 'auto');
};
showTheme(read('theme') ?? 'auto');

async function begin(): Promise<void> {
  start.hidden = true;
  usable();
  await goOffline();
  const models = await readModels();
  picker.replaceChildren(
    ...models.map((m) => make('option', { value: m.id, textContent: m.name })),
  );
  const wanted = models.find((m) => m.id === read('model')) ?? models[0];
  picker.onchange = () => {
    const entry = models.find((m) => m.id === picker.value);
    if (entry) void offer(entry).catch(tell);
  };
  await panel.refreshStored();
  if (!wanted) return;
  picker.value = wanted.id;
  await offer(wanted);
}
begin().catch(tell);
