// A head as lines between two columns of tokens: the thicker, the more weight.

import { tokens, weights } from './api.ts';
import { css, round, type Scale } from './colour.ts';
import { exact, h, s, token } from './dom.ts';
import { command, siteName } from './place.ts';
import type { Stage, ViewPart } from './stage.ts';
import { change, place, state } from './state.ts';

const ROWS = 32;
const HEIGHT = 22;
/** Weights below are not drawn. */
const LEAST = 0.01;

export function linesView(stage: () => Stage): ViewPart {
  const left = h('ol', { class: 'tokens left', 'aria-label': 'Queries' });
  const right = h('ol', { class: 'tokens right', 'aria-label': 'Keys' });
  const drawing = s('svg', { class: 'lines', 'aria-hidden': 'true', preserveAspectRatio: 'none' });
  const readout = h('p', { class: 'note', role: 'status' });
  const steps = h('div', { class: 'row' });
  let first: [number, number] = [0, 0];
  let drawn = '';
  let lines: { query: number; key: number; weight: number; line: SVGLineElement }[] = [];
  let asked: AbortController | null = null;

  function windows(): [[number, number], [number, number]] {
    const { lengths } = stage();
    return [0, 1].map(side => [first[side]!, Math.min(ROWS, lengths[side]! - first[side]!)]) as [[number, number], [number, number]];
  }

  /** Keeps the chosen tokens inside. */
  function follow(): void {
    const { lengths, site } = stage();
    const chosen = [state.query, state.key];
    for (const side of [0, 1]) {
      const at = Math.min(lengths[side]! - 1, Math.max(0, chosen[side]!));
      if (at < first[side]! || at >= first[side]! + ROWS) {
        first[side] = Math.max(0, Math.min(at - ROWS / 2, lengths[side]! - ROWS));
      }
    }
    if (site.queries === site.keys && lengths[0] > ROWS) first[1] = first[0];
  }

  function scroll(by: number): void {
    const { lengths } = stage();
    const next = Math.max(0, Math.min(lengths[0] - 1, state.query + by));
    change({ query: next, key: Math.max(0, Math.min(lengths[1] - 1, state.key + by)) });
  }

  async function draw(): Promise<void> {
    asked?.abort();
    const mine = asked = new AbortController();
    const [queries, keys] = windows();
    try {
      const { trace, site, lengths, names } = stage();
      const [rows, columns, found] = await Promise.all([
        tokens(trace.number, site.queries, queries[0], queries[0] + queries[1]), tokens(trace.number, site.keys, keys[0], keys[0] + keys[1]),
        weights(place(), queries, keys, mine.signal),
      ]);
      if (mine.signal.aborted) return;
      const top = round(found.data.reduce((most, weight) => Math.max(most, weight), 0));
      const scale: Scale = { top, log: state.scale === 'log', diverging: false };
      stage().scaled(scale, 'attention weight');
      const height = Math.max(rows.length, columns.length) * HEIGHT;
      drawing.setAttribute('viewBox', `0 0 100 ${height}`);
      drawing.setAttribute('height', String(height));
      lines = [];
      found.data.forEach((weight, at) => {
        if (weight < LEAST * top) return;
        const [row, column] = [Math.floor(at / found.columns), at % found.columns];
        const share = Math.min(1, weight / top);
        const line = s('line', {
          x1: 0, x2: 100, y1: (row + 0.5) * HEIGHT, y2: (column + 0.5) * HEIGHT, 'stroke-width': 0.4 + 3.6 * share,
          'stroke-opacity': 0.15 + 0.85 * share, 'vector-effect': 'non-scaling-stroke',
        });
        lines.push({ query: queries[0] + row, key: keys[0] + column, weight, line });
      });
      drawing.replaceChildren(...lines.sort((a, b) => a.weight - b.weight).map(({ line }) => line));
      const item = (side: 'query' | 'key', at: number, text: string) => {
        const button = h('button', {
          type: 'button', 'data-at': at, onpointerenter: () => light(side, at), onfocus: () => light(side, at),
          onclick: () => change(side === 'query' ? { query: at, side } : { key: at, side }),
        }, token(text));
        return h('li', {}, button);
      };
      left.replaceChildren(...rows.map((text, at) => item('query', queries[0] + at, text)));
      right.replaceChildren(...columns.map((text, at) => item('key', keys[0] + at, text)));
      const range = (name: string, [from, count]: [number, number], length: number) => `${name} ${from} to ${from + count - 1} of ${length}`;
      steps.replaceChildren(
        h('button', { type: 'button', onclick: () => scroll(-ROWS) }, 'Earlier'), h('button', { type: 'button', onclick: () => scroll(ROWS) }, 'Later'),
        h('span', { class: 'note' }, `${range(names[0], queries, lengths[0])}; ${range(names[1], keys, lengths[1])}`),
      );
      light(state.side, state.side === 'query' ? state.query : state.key);

      function light(side: 'query' | 'key', at: number): void {
        const mine = (one: { query: number; key: number }) => one[side] === at;
        for (const one of lines) one.line.setAttribute('class', mine(one) ? 'on' : 'off');
        const strongest = lines.filter(mine).sort((a, b) => b.weight - a.weight);
        const other = side === 'query' ? 'key' : 'query';
        for (const [list, which] of [[left, 'query'], [right, 'key']] as const) {
          for (const button of list.querySelectorAll('button')) {
            const here = Number(button.dataset['at']);
            const weight = strongest.find(one => which === other && one[other] === here)?.weight ?? 0;
            button.classList.toggle('on', which === side && here === at);
            button.style.setProperty('--mark', weight > 0 ? css(weight, scale) : 'transparent');
          }
        }
        const best = strongest[0];
        readout.textContent = best ? `${side} ${at}: the greatest attention weight here is ${exact(best.weight)}, ${other} ${best[other]}` : `${side} ${at}: no attention weight to speak of here`;
      }
    } catch (error) {
      if (!mine.signal.aborted) stage().failed((error as Error).message);
    }
  }

  return {
    element: h('div', { class: 'head-view' }, steps, readout, h('div', { class: 'two-columns' }, left, drawing, right)),
    caption: () => `${siteName(stage().site, state.head)}: ${stage().names[0]} left, ${stage().names[1]} right`,
    update: () => {
      follow();
      const wanted = JSON.stringify([place(), first, state.scale, stage().everything.traces.length]);
      if (wanted !== drawn) { drawn = wanted; void draw(); }
    },
    commands: () => {
      const [queries, keys] = windows().map(([from, count]) => [from, from + count] as [number, number]);
      return [command(stage().trace, stage().site, state.head, queries, keys)];
    },
    key: event => {
      const by = { ArrowUp: -1, ArrowDown: 1, PageUp: -ROWS, PageDown: ROWS }[event.key];
      if (by === undefined) return false;
      scroll(by);
      drawn = '';
      return true;
    },
    go: (query, key) => change({ ...(query === null ? {} : { query, side: 'query' as const }), ...(key === null ? {} : { key, side: 'key' as const }) }),
    close: () => asked?.abort(),
  };
}
