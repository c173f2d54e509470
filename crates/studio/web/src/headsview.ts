// All layers and heads: what kind each is, ranked and filtered. Numbers say where attention goes, not what mattered.

import { profiles, type Profile, type Profiles } from './api.ts';
import { css, ink, type Scale } from './colour.ts';
import { chooser, h } from './dom.ts';
import { command } from './place.ts';
import type { Stage, ViewPart } from './stage.ts';
import { change, state } from './state.ts';

type Rank = 'entropy' | 'first' | 'previous' | 'same' | 'induction' | 'alignment';
const RANKS: [Rank, string, string][] = [
  ['entropy', 'Entropy', 'entropy of a query’s attention weights in nats: how widely it looks'],
  ['first', 'First token (sink)', 'attention weight of the first key'],
  ['previous', 'Previous token', 'attention weight of the key before the query’s own'],
  ['same', 'Same token', 'attention weight of other places of the query’s token'],
  ['induction', 'Induction', 'attention weight of what followed the query’s token before'],
  ['alignment', 'Alignment', 'correlation of a query’s place with its strongest key’s'],
];

export function headsView(stage: () => Stage): ViewPart {
  const choice = h('div', { class: 'row' });
  const grids = h('div', { class: 'grids' });
  const list = h('ol', { class: 'ranking' });
  const note = h('p', { class: 'note', role: 'status' });
  const least = h('input', { type: 'number', step: 0.05, 'aria-label': 'Show heads of at least', oninput: () => draw() });
  let site = '';
  let known: Profiles | null = null;
  let of = -1;
  let timer = 0;

  async function load(): Promise<void> {
    clearTimeout(timer);
    const trace = state.trace;
    try {
      const found = await profiles(trace);
      if (trace !== state.trace) return;
      known = found;
      of = trace;
      draw();
      if (found.failed) stage().failed(found.failed);
      else if (found.heads.length < found.of) timer = window.setTimeout(() => void load(), 400);
    } catch (error) {
      stage().failed((error as Error).message);
    }
  }

  function draw(): void {
    if (!known) return;
    const rank = state.rank as Rank;
    const { trace } = stage();
    const value = (head: Profile) => head[rank];
    const bound = least.value === '' ? -Infinity : Number(least.value);
    const wanted = known.heads.filter(head => (site === '' || trace.sites[head.site]!.name === site));
    const passing = wanted.filter(head => value(head) !== null && (value(head) as number) >= bound);
    const diverging = rank === 'alignment';
    const top = rank === 'entropy' ? Math.max(0.1, ...wanted.map(head => head.entropy)) : 1;
    const scale: Scale = { top, log: false, diverging };
    stage().scaled(scale, RANKS.find(([name]) => name === rank)![2]);
    const done = known.heads.length < known.of ? `${known.heads.length} of ${known.of} heads so far. ` : '';
    const sampled = known.sampled ? `Estimates from ${known.sampled} queries spread over the text. ` : '';
    note.textContent = `${done}${sampled}${passing.length} of ${wanted.length} heads shown. Numbers say where attention goes, not what mattered to the answer.`;
    const open = (head: Profile) => change({ site: head.site, head: head.head, view: 'map' });
    const names = [...new Set(wanted.map(head => trace.sites[head.site]!.name))];
    grids.replaceChildren(...names.map(name => {
      const sites = trace.sites.map((one, index) => ({ ...one, index })).filter(one => one.name === name).sort((a, b) => a.layer - b.layer);
      const most = Math.max(...sites.map(one => one.heads));
      const head = h('tr', {}, h('th', { scope: 'col' }, 'Layer'), ...Array.from({ length: most }, (_, at) => h('th', { scope: 'col' }, `${at + 1}`)));
      const rows = sites.map(one => {
        const cells = Array.from({ length: one.heads }, (_, at) => {
          const found = passing.find(head => head.site === one.index && head.head === at);
          if (!found) return h('td', {}, h('span', { class: 'none' }, '·'));
          const number = value(found) as number;
          const button = h('button', {
            type: 'button', title: `layer ${one.layer + 1}, head ${at + 1}: ${number.toFixed(3)}`, onclick: () => open(found),
          }, number.toFixed(2));
          Object.assign(button.style, { background: css(number, scale), color: ink(number, scale) });
          return h('td', {}, button);
        });
        return h('tr', {}, h('th', { scope: 'row' }, String(one.layer + 1)), ...cells);
      });
      return h('div', { class: 'grid', tabindex: 0, role: 'group', 'aria-label': `Heads of ${name}` },
        h('table', {}, h('caption', {}, h('bdi', {}, name), ': layers down, heads across'), h('thead', {}, head), h('tbody', {}, ...rows)));
    }));
    const ranked = [...passing].sort((a, b) => (value(b) as number) - (value(a) as number)).slice(0, 20);
    list.replaceChildren(...ranked.map(one => {
      const at = trace.sites[one.site]!;
      return h('li', {}, h('button', { type: 'button', onclick: () => open(one) },
        h('bdi', {}, at.name), ` layer ${at.layer + 1}, head ${one.head + 1}`), ` ${(value(one) as number).toFixed(3)}`);
    }));
    stage().redrawn();
  }

  function choose(): void {
    const { trace } = stage();
    const names = [...new Set(trace.sites.map(one => one.name))];
    choice.replaceChildren(
      chooser('Rank by', RANKS.map(([rank, name]) => [rank, name]), state.rank, rank => change({ rank })),
      chooser('Attention', [['', 'all'], ...names.map(name => [name, name] as [string, string])], site, name => { site = name; draw(); }),
      h('label', { class: 'field' }, h('span', {}, 'At least'), least),
    );
  }

  return {
    element: h('div', { class: 'heads' }, choice, note, h('div', { class: 'heads-body' }, grids, h('div', {}, h('h3', {}, 'Ranking'), list))),
    caption: () => `Layers and heads: ${RANKS.find(([name]) => name === state.rank)![1].toLowerCase()}`,
    update: changed => {
      if (choice.childElementCount === 0 || changed.has('trace')) choose();
      if (of !== state.trace) {
        known = null;
        grids.replaceChildren();
        list.replaceChildren();
        note.textContent = 'Looking at every head…';
        void load();
      } else draw();
    },
    commands: () => {
      const best = list.querySelector('button') && known
        ? [...known.heads].filter(one => one[state.rank as Rank] !== null).sort((a, b) => (b[state.rank as Rank] as number) - (a[state.rank as Rank] as number))[0] : undefined;
      const { trace } = stage();
      return [best ? command(trace, trace.sites[best.site]!, best.head) : command(trace, stage().site, state.head)];
    },
    close: () => clearTimeout(timer),
  };
}
