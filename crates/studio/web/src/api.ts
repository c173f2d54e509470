// What the server knows; addresses are relative to the page's, which has the token.

export interface Site { name: string; layer: number; queries: number; keys: number; heads: number; width: number | null }
export interface Axis { name: string; length: number }
export interface Trace { number: number; file: string | null; title: string; model: string; axes: Axis[]; sites: Site[] }
export interface Model { name: string; explanations: string[] }
export interface Everything { traces: Trace[]; model: Model | null }
export interface Profile {
  site: number; head: number; entropy: number; first: number;
  previous: number | null; same: number | null; induction: number | null; alignment: number | null;
}
export interface Profiles { of: number; heads: Profile[]; failed: string | null; sampled: number | null }
export interface Job {
  state: 'working' | 'done' | 'failed' | 'cancelled'; what?: string; done?: number; of?: number; error?: string; result?: unknown;
}
/** Numbers in rows; `share` of them is exact. */
export interface Pixels { rows: number; columns: number; exact: boolean; share: number; data: Float32Array }

async function ask(path: string, values: Record<string, string | number>, signal?: AbortSignal): Promise<Response> {
  const query = new URLSearchParams(Object.entries(values).map(([name, value]) => [name, String(value)]));
  return checked(await fetch(`${path}?${query}`, { signal: signal ?? null }));
}

async function checked(response: Response): Promise<Response> {
  if (response.ok) return response;
  const text = await response.text();
  let reason = text;
  try {
    reason = (JSON.parse(text) as { error: string }).error;
  } catch {
    // What is no JSON is shown as it is.
  }
  throw new Error(reason || `the server answered ${response.status}`);
}

async function pixels(response: Response): Promise<Pixels> {
  const buffer = await response.arrayBuffer();
  const head = new DataView(buffer);
  return {
    rows: head.getUint32(0, true), columns: head.getUint32(4, true), exact: head.getUint32(8, true) === 1,
    share: head.getFloat32(12, true), data: new Float32Array(buffer, 16),
  };
}

export interface Place { trace: number; site: number; head: number }

export async function everything(): Promise<Everything> {
  return (await checked(await fetch('traces'))).json() as Promise<Everything>;
}

export async function tile(
  place: Place, pool: string, zoom: number, y: number, x: number, signal: AbortSignal,
): Promise<Pixels> {
  return pixels(await ask('tile', { ...pick(place), pool, zoom, y, x }, signal));
}

/** Exact weights of some queries on some keys. */
export async function weights(
  place: Place, [query, queries]: [number, number], [key, keys]: [number, number], signal?: AbortSignal,
): Promise<Pixels> {
  return pixels(await ask('weights', { ...pick(place), query, queries, key, keys }, signal));
}

function pick({ trace, site, head }: Place): Record<string, number> {
  return { trace, site, head };
}

export async function profiles(trace: number): Promise<Profiles> {
  return (await ask('heads', { trace })).json() as Promise<Profiles>;
}

export async function search(trace: number, axis: number, text: string, from: number): Promise<{ places: number[]; more: boolean }> {
  return (await ask('search', { trace, axis, text, from })).json() as Promise<{ places: number[]; more: boolean }>;
}

/** Types a text; the number of a job. */
export async function typed(text: string, explanation: string | null): Promise<number> {
  const response = await fetch('texts', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ text, explanation }),
  });
  return ((await (await checked(response)).json()) as { job: number }).job;
}

export async function job(number: number): Promise<Job> {
  return (await checked(await fetch(`jobs/${number}`))).json() as Promise<Job>;
}

export async function cancel(number: number): Promise<void> {
  await fetch(`jobs/${number}`, { method: 'DELETE' });
}

const PIECE = 1024;
const pieces = new Map<string, Promise<string[]>>();

/** Some tokens of an axis, which come in pieces that are kept. */
export async function tokens(trace: number, axis: number, first: number, end: number): Promise<string[]> {
  const wanted: Promise<string[]>[] = [];
  const start = Math.floor(first / PIECE);
  for (let piece = start; piece * PIECE < end; piece++) {
    const name = `${trace}/${axis}/${piece}`;
    let found = pieces.get(name);
    if (!found) {
      found = ask('tokens', { trace, axis, first: piece * PIECE, count: PIECE })
        .then(response => response.json() as Promise<{ tokens: string[] }>).then(answer => answer.tokens);
      found.catch(() => pieces.delete(name));
      pieces.set(name, found);
      if (pieces.size > 256) pieces.delete(pieces.keys().next().value as string);
    }
    wanted.push(found);
  }
  return (await Promise.all(wanted)).flat().slice(first - start * PIECE, end - start * PIECE);
}
