// Two heads on one input, or one head of two traces: side by side, or their difference.

import { h, chooser } from './dom.ts';
import { MapView, type Shown } from './map.ts';
import { comparison, headName, siteName } from './place.ts';
import type { Scale } from './colour.ts';
import type { Stage, ViewPart } from './stage.ts';
import { change, place, state } from './state.ts';

export function compareView(stage: () => Stage): ViewPart {
  const tops = [0, 0];
  const events = (which: number) => ({
    moved: ({ x, y, zoom }: { x: number; y: number; zoom: number }) => change({ x, y, zoom }),
    chosen: (query: number, key: number) => change({ query, key }),
    scaled: (scale: Scale) => scaled(which, scale),
    spoken: (text: string) => stage().spoken(text),
    failed: (reason: string) => stage().failed(reason),
  });
  const maps = [
    new MapView(events(0), 'First attention map'), new MapView(events(1), 'Second attention map'),
    new MapView(events(2), 'Difference of two attention maps'),
  ] as const;
  const captions = [h('h3'), h('h3')] as const;
  const choice = h('div', { class: 'row' });
  const pair = h('div', { class: 'pair-of-maps' }, ...[0, 1].map(which => h('div', {}, captions[which]!, maps[which]!.element)));
  const single = h('div', {}, maps[2].element);
  const problem = h('p', { class: 'note' });

  /** Both maps of a pair get one scale: the greater of what each would take. */
  function scaled(which: number, scale: Scale): void {
    if (which === 2) {
      if (state.difference) stage().scaled(scale, 'difference of attention weights, first − second');
      return;
    }
    tops[which] = maps[which]!.own();
    const top = Math.max(...tops);
    maps[0].fix(top);
    maps[1].fix(top);
    if (!state.difference) stage().scaled({ ...scale, top }, 'attention weight');
  }

  function other() {
    const { everything } = stage();
    const trace = everything.traces.find(({ number }) => number === state.withTrace) ?? stage().trace;
    const index = trace.sites[state.withSite] ? state.withSite : Math.min(state.site, trace.sites.length - 1);
    const site = trace.sites[index]!;
    const wanted = state.withHead < -1 ? state.head : state.withHead;
    const head = Math.min(wanted, site.heads - 1);
    const lengths = [trace.axes[site.queries]!.length, trace.axes[site.keys]!.length] as [number, number];
    return { trace, site, index, head, lengths };
  }

  function choose(): void {
    const { trace, site, index, head } = other();
    const traces = stage().everything.traces.map(one => [String(one.number), one.title || (one.file ?? 'typed')] as [string, string]);
    const sites = trace.sites.map((one, at) => [String(at), `${one.name}, layer ${one.layer + 1}`] as [string, string]);
    const heads = Array.from({ length: site.heads + 1 }, (_, at) => [String(at - 1), headName(at - 1)] as [string, string]);
    const difference = h('input', { type: 'checkbox', onchange: () => change({ difference: difference.checked }) });
    difference.checked = state.difference;
    choice.replaceChildren(
      h('span', { class: 'with' }, 'with'),
      chooser('Trace of the second', traces, String(trace.number), value => change({ withTrace: Number(value), withSite: -1 })),
      chooser('Attention of the second', sites, String(index), value => change({ withSite: Number(value) })),
      chooser('Head of the second', heads, String(head), value => change({ withHead: Number(value) })),
      h('label', { class: 'check' }, difference, ' Difference'),
    );
  }

  return {
    element: h('div', { class: 'compare' }, choice, problem, pair, single),
    caption: () => {
      const { trace, site, head } = other();
      const second = siteName(site, head) + (trace === stage().trace ? '' : ` of ${trace.title}`);
      return `${siteName(stage().site, state.head)} ${state.difference ? '−' : 'and'} ${second}`;
    },
    update: changed => {
      const { trace, site, index, head, lengths } = other();
      if (![...changed].every(name => ['x', 'y', 'zoom', 'query', 'key'].includes(name)) || choice.childElementCount === 0) choose();
      const { site: first, lengths: own, names } = stage();
      const equal = own[0] === lengths[0] && own[1] === lengths[1];
      const difference = state.difference && equal;
      problem.textContent = state.difference && !equal
        ? `There is no difference of ${own.join(' × ')} and ${lengths.join(' × ')} weights; they are shown side by side.` : '';
      pair.hidden = difference;
      single.hidden = !difference;
      captions[0].textContent = siteName(first, state.head);
      captions[1].textContent = siteName(site, head);
      const port = { x: state.x, y: state.y, zoom: state.zoom };
      const common = { pool: state.pool, log: state.scale === 'log' };
      const one: Shown = { ...common, places: [place()], axes: [first.queries, first.keys], lengths: own, names };
      const second = { trace: trace.number, site: index, head };
      if (difference) return maps[2].show({ ...one, places: [place(), second] }, port);
      const theirs = [trace.axes[site.queries]!.name, trace.axes[site.keys]!.name] as [string, string];
      maps[0].show(one, port);
      maps[1].show({ ...common, places: [second], axes: [site.queries, site.keys], lengths, names: theirs }, port);
    },
    commands: () => {
      const shown = single.hidden ? maps[0] : maps[2];
      const first = { trace: stage().trace, site: stage().site, head: state.head };
      return [comparison(first, other(), !single.hidden, ...shown.visible())];
    },
    key: event => {
      const by = event.key === '+' || event.key === '=' ? 1.5 : event.key === '-' ? 1 / 1.5 : 0;
      if (by) (state.difference ? maps[2] : maps[0]).zoom(by);
      return by !== 0;
    },
    go: (query, key) => (state.difference ? maps[2] : maps[0]).go(query, key),
    close: () => maps.forEach(map => map.close()),
  };
}
