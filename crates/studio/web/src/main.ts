// The page: what is chosen, the view of it, and what goes for all views.

import { everything, type Everything } from './api.ts';
import { bar, scaled } from './bar.ts';
import { compareView } from './compareview.ts';
import { byId, chooser, h } from './dom.ts';
import { find } from './find.ts';
import { headsView } from './headsview.ts';
import { help } from './help.ts';
import { imageView } from './imageview.ts';
import { linesView } from './linesview.ts';
import { mapView } from './mapview.ts';
import { headName } from './place.ts';
import type { Stage, ViewPart } from './stage.ts';
import { change, recall, state, VIEWS, watch, type State, type View } from './state.ts';
import { textView } from './textview.ts';
import { typeView } from './typeview.ts';

const MAKERS: Record<View, (stage: () => Stage) => ViewPart> = {
  map: mapView, lines: linesView, heads: headsView, text: textView, compare: compareView, image: imageView, type: typeView,
};

let known: Everything = { traces: [], model: null };
let part: ViewPart | null = null;
let view: View | null = null;
let current: Stage | null = null;
const keys = help();
const finder = find(stage, (query, key) => part?.go?.(query, key));

function stage(): Stage {
  return current!;
}

/** What the state's trace and site are; a state that came from an address may name others. */
function settle(): void {
  const trace = known.traces.find(({ number }) => number === state.trace) ?? known.traces[0];
  const whole = (value: number, least: number, end: number) => Math.max(least, Math.min(end - 1, Math.trunc(value)));
  if (!trace || trace.sites.length === 0) {
    current = null;
    return;
  }
  state.trace = trace.number;
  state.site = whole(state.site, 0, trace.sites.length);
  const site = trace.sites[state.site]!;
  state.head = whole(state.head, -1, site.heads);
  const [queries, axis] = [trace.axes[site.queries]!, trace.axes[site.keys]!];
  state.query = whole(state.query, 0, Math.max(1, queries.length));
  state.key = whole(state.key, 0, Math.max(1, axis.length));
  current = {
    everything: known, trace, site, lengths: [queries.length, axis.length], names: [queries.name, axis.name], scaled,
    spoken: text => { byId('spoken').textContent = text; }, failed, reload, redrawn,
  };
}

function failed(reason: string): void {
  const problem = byId('problem');
  problem.textContent = reason;
  problem.hidden = reason === '';
}

async function reload(trace: number): Promise<void> {
  known = await everything();
  change({ trace, site: 0, head: -1, view: 'map', x: 0, y: 0, zoom: 0 });
}

/** Views that can be had: typing needs a model, and the others something to see. */
function views(): [View, string][] {
  return VIEWS.filter(([one]) => (one === 'type' ? known.model !== null : known.traces.length > 0));
}

function update(changed: Set<keyof State>): void {
  settle();
  const possible = views();
  if (!possible.some(([one]) => one === state.view)) state.view = possible[0]?.[0] ?? 'map';
  const stageElement = byId('stage');
  if (!current && state.view !== 'type') {
    stageElement.replaceChildren(h('p', {}, 'There is no attention to show.'));
    return;
  }
  current ??= nothing();
  if (['x', 'y', 'zoom'].some(name => changed.has(name as keyof State)) === false || changed.size > 3) failed('');
  if (view !== state.view) {
    part?.close();
    view = state.view;
    part = MAKERS[view](stage);
    stageElement.replaceChildren(part.element);
    stageElement.dataset['view'] = view;
  }
  if ([...changed].some(name => ['trace', 'site', 'head', 'view', 'pool', 'scale'].includes(name)) || changed.size === 0) controls(possible);
  part!.update(changed);
  byId('caption').textContent = part!.caption();
  redrawn();
}

let commanding = 0;

function redrawn(): void {
  clearTimeout(commanding);
  commanding = window.setTimeout(command, 60);
}

/** For a model that nothing has been typed into. */
function nothing(): Stage {
  const trace = { number: -1, file: null, title: '', model: known.model?.name ?? '', axes: [], sites: [] };
  const site = { name: '', layer: 0, queries: 0, keys: 0, heads: 0, width: null };
  return { everything: known, trace, site, lengths: [0, 0], names: ['', ''], scaled, spoken: () => {}, failed, reload, redrawn };
}

function command(): void {
  const lines = part?.commands() ?? [];
  const typed = current?.trace.file === null && current.trace.number >= 0;
  byId('command').replaceChildren(
    ...(lines.length > 0 ? [h('h2', {}, 'The same as a figure')] : []),
    ...(typed && lines.length > 0 ? [h('p', { class: 'note' }, h('a', { href: `files/${current!.trace.number}`, download: 'typed.trace' }, 'Save the trace'), ' first.')] : []),
    ...lines.map(line => h('pre', { tabindex: 0 }, h('code', {}, line))),
  );
}

function controls(possible: [View, string][]): void {
  const focus = document.activeElement?.getAttribute('aria-label');
  byId('views').replaceChildren(...possible.map(([one, name]) => h('button', {
    type: 'button', 'aria-current': one === state.view ? 'page' : 'false', onclick: () => change({ view: one }),
  }, name, ' ', h('kbd', {}, String(VIEWS.findIndex(([other]) => other === one) + 1)))));
  const { trace, site } = stage();
  byId('title').textContent = trace.title || trace.file || 'Studio';
  byId('about').textContent = trace.model;
  document.title = `${trace.title || 'Attention'} · Regard studio`;
  if (trace.number < 0) return byId('controls').replaceChildren();
  const traces = known.traces.map(one => [String(one.number), one.title || (one.file ?? 'typed')] as [string, string]);
  const names = [...new Set(trace.sites.map(one => one.name))].map(name => [name, name] as [string, string]);
  const layers = trace.sites.map((one, at) => [String(at), String(one.layer + 1), one.name] as const).filter(([, , name]) => name === site.name);
  const heads = Array.from({ length: site.heads + 1 }, (_, at) => [String(at - 1), headName(at - 1)] as [string, string]);
  const places = state.view !== 'heads' && state.view !== 'type';
  byId('controls').replaceChildren(
    ...(traces.length > 1 ? [chooser('Trace', traces, String(state.trace), value => to({ trace: Number(value), site: 0 }))] : []),
    ...(!places ? [] : [
      chooser('Attention', names, site.name, name => to({ site: trace.sites.findIndex(one => one.name === name) })),
      chooser('Layer', layers.map(([at, layer]) => [at, layer]), String(state.site), value => to({ site: Number(value) }), '[]'),
      chooser('Head', heads, String(state.head), value => change({ head: Number(value) }), ',.'),
      ...(state.view === 'map' || state.view === 'compare' ? [
        chooser('Pixels', [['max', 'greatest weight'], ['mean', 'mean weight']], state.pool, value => change({ pool: value as State['pool'] }), 'p'),
      ] : []),
      chooser('Colours', [['linear', 'linear'], ['log', 'logarithmic']], state.scale, value => change({ scale: value as State['scale'] }), 'l'),
      finder.element,
    ]),
  );
  if (focus) byId('controls').querySelector<HTMLElement>(`[aria-label="${CSS.escape(focus)}"]`)?.focus();
}

/** To another attention; where its axes differ, the map starts as a whole. */
function to(place: Partial<State>): void {
  const trace = known.traces.find(({ number }) => number === (place.trace ?? state.trace)) ?? stage().trace;
  const site = trace.sites[place.site ?? state.site];
  const lengths = site ? [trace.axes[site.queries]!.length, trace.axes[site.keys]!.length] : [];
  const same = lengths.join() === stage().lengths.join();
  change({ ...place, ...(same ? {} : { x: 0, y: 0, zoom: 0, query: 0, key: 0 }) });
}

/** The layer before or after, of the same attention. */
function layer(by: number): void {
  const { trace, site } = stage();
  const order = trace.sites.map((one, at) => ({ ...one, at })).filter(one => one.name === site.name).sort((a, b) => a.layer - b.layer);
  const next = order[order.findIndex(one => one.at === state.site) + by];
  if (next) to({ site: next.at });
}

function pressed(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const typing = (event.target as HTMLElement).closest('input, textarea, select, dialog');
  if (typing || !current) return false;
  if (event.key === '?') return keys.open(), true;
  if (event.key === '/') return finder.focus(), true;
  const view = VIEWS[Number(event.key) - 1]?.[0];
  if (view && views().some(([one]) => one === view)) return change({ view }), true;
  if (current.trace.number < 0) return false;
  switch (event.key) {
    case '[': layer(-1); return true;
    case ']': layer(1); return true;
    case ',': change({ head: Math.max(-1, state.head - 1) }); return true;
    case '.': change({ head: Math.min(stage().site.heads - 1, state.head + 1) }); return true;
    case 'p': change({ pool: state.pool === 'max' ? 'mean' : 'max' }); return true;
    case 'l': change({ scale: state.scale === 'log' ? 'linear' : 'log' }); return true;
    default: return part?.key?.(event) ?? false;
  }
}

async function start(): Promise<void> {
  byId('bar').append(...bar());
  byId('help-button').addEventListener('click', () => keys.open());
  document.addEventListener('keydown', event => {
    if (!event.defaultPrevented && pressed(event)) event.preventDefault();
  });
  watch(update);
  try {
    known = await everything();
  } catch (error) {
    return failed((error as Error).message);
  }
  Object.assign(state, recall(location.hash));
  window.addEventListener('hashchange', () => change(recall(location.hash)));
  update(new Set());
  document.documentElement.dataset['ready'] = 'true';
}

void start();
