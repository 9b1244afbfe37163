/** The bundles that the page offers. */
export interface ModelEntry {
  readonly id: string;
  readonly name: string;
  /** Of the bundle's folder, from the page. */
  readonly url: string;
  readonly about: string;
  /** A message to begin with. */
  readonly opening: string;
}

export async function readModels(): Promise<readonly ModelEntry[]> {
  const response = await fetch(new URL('models.json', document.baseURI));
  if (!response.ok) throw new Error(`models.json: the server answered ${response.status}`);
  const list: unknown = await response.json();
  const all = (Array.isArray(list) ? list : []).map(entryOf).filter((e) => e !== undefined);
  if (all.length === 0) throw new Error('models.json lists no model');
  return all;
}

function entryOf(value: unknown): ModelEntry | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const fields = new Map<string, unknown>(Object.entries(value));
  const text = (name: string): string => {
    const found = fields.get(name);
    return typeof found === 'string' ? found : '';
  };
  const [id, url] = [text('id'), text('url')];
  if (id === '' || url === '') return undefined;
  return { id, url, name: text('name') || id, about: text('about'), opening: text('opening') };
}
