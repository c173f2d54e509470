// What is being looked at. It lives in the address after the #, so that a view can be kept and sent.

import type { Place } from './api.ts';

export type View = 'map' | 'lines' | 'heads' | 'text' | 'compare' | 'image' | 'type';
export const VIEWS: [View, string][] = [
  ['map', 'Map'], ['lines', 'Head'], ['heads', 'All heads'], ['text', 'Text'], ['compare', 'Compare'], ['image', 'Image'], ['type', 'Type'],
];

export interface State {
  view: View;
  trace: number;
  site: number;
  /** From 0, or −1 for the mean of all. */
  head: number;
  pool: 'max' | 'mean';
  scale: 'linear' | 'log';
  /** The middle of the map, in keys and queries, and pixels a position; 0 shows all. */
  x: number;
  y: number;
  zoom: number;
  /** The chosen token, and of which side it is. */
  query: number;
  key: number;
  side: 'query' | 'key';
  /** What it is compared with; −1 for the same. */
  withTrace: number;
  withSite: number;
  withHead: number;
  difference: boolean;
  rank: string;
}

const START: State = {
  view: 'map', trace: 0, site: 0, head: -1, pool: 'max', scale: 'linear', x: 0, y: 0, zoom: 0, query: 0, key: 0, side: 'query',
  withTrace: -1, withSite: -1, withHead: -2, difference: false, rank: 'entropy',
};

export const state: State = { ...START };
const watchers: ((changed: Set<keyof State>) => void)[] = [];

/** Calls back with what has changed. */
export function watch(watcher: (changed: Set<keyof State>) => void): void {
  watchers.push(watcher);
}

export function change(to: Partial<State>): void {
  const changed = new Set<keyof State>();
  for (const name of Object.keys(to) as (keyof State)[]) {
    if (state[name] !== to[name]) {
      (state as unknown as Record<string, unknown>)[name] = to[name];
      changed.add(name);
    }
  }
  if (changed.size === 0) return;
  remember();
  for (const watcher of watchers) watcher(changed);
}

export function place(): Place {
  return { trace: state.trace, site: state.site, head: state.head };
}

let waiting = 0;

/** Writes the address, though not at each step of a pan: browsers allow some a second. */
function remember(): void {
  clearTimeout(waiting);
  waiting = window.setTimeout(() => history.replaceState(null, '', permalink()), 150);
}

export function permalink(): string {
  const parts = Object.entries(state)
    .filter(([name, value]) => value !== START[name as keyof State])
    .map(([name, value]) => `${name}=${encodeURIComponent(typeof value === 'number' ? String(+value.toFixed(4)) : String(value))}`);
  return `#${parts.join('&')}`;
}

/** The state that an address says; what it does not understand is as at the start. */
export function recall(hash: string): Partial<State> {
  const found: Record<string, unknown> = { ...START };
  for (const part of hash.replace(/^#/, '').split('&')) {
    const [name = '', text = ''] = part.split('=');
    if (!Object.hasOwn(START, name)) continue;
    const usual = START[name as keyof State];
    let value = '';
    try {
      value = decodeURIComponent(text);
    } catch {
      continue;
    }
    if (typeof usual === 'boolean') found[name] = value === 'true';
    else if (typeof usual === 'number') { if (Number.isFinite(Number(value))) found[name] = Number(value); }
    else if (allowed(name, value)) found[name] = value;
  }
  return found as Partial<State>;
}

const CHOICES: Record<string, string[]> = {
  view: VIEWS.map(([view]) => view), pool: ['max', 'mean'], scale: ['linear', 'log'], side: ['query', 'key'],
  rank: ['entropy', 'first', 'previous', 'same', 'induction', 'alignment'],
};

function allowed(name: string, value: string): boolean {
  return CHOICES[name]?.includes(value) ?? false;
}
