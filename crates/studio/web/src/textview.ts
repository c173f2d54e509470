// Text in the colours of one token's attention weights.

import { tokens, weights } from './api.ts';
import { css, ink, round, type Scale } from './colour.ts';
import { exact, h, token } from './dom.ts';
import { command, siteName } from './place.ts';
import type { Stage, ViewPart } from './stage.ts';
import { change, place, state } from './state.ts';

/** Tokens that are shown at once. */
const SHOWN = 512;

export function textView(stage: () => Stage): ViewPart {
  const chooserText = h('div', { class: 'running', role: 'group', 'aria-label': 'Choose a token' });
  const coloured = h('div', { class: 'running', role: 'group', 'aria-label': 'Tokens in the colours of their attention weights' });
  const [chooserTitle, colouredTitle] = [h('h3'), h('h3')];
  const pages = h('div', { class: 'row' });
  const readout = h('p', { class: 'note', role: 'status' });
  let drawn = '';
  let asked: AbortController | null = null;
  let page = 0;

  const sides = (): [0 | 1, 0 | 1] => (state.side === 'query' ? [0, 1] : [1, 0]);
  const chosen = () => (state.side === 'query' ? state.query : state.key);

  async function draw(): Promise<void> {
    asked?.abort();
    const mine = asked = new AbortController();
    const { trace, site, lengths, names } = stage();
    const [own, other] = sides();
    const axes = [site.queries, site.keys];
    const at = Math.min(chosen(), lengths[own] - 1);
    const start = [0, 0];
    start[own] = Math.max(0, Math.min(Math.floor(at / SHOWN) * SHOWN, lengths[own] - 1));
    start[other] = Math.min(page * SHOWN, Math.max(0, lengths[other] - 1));
    const count = (side: 0 | 1) => Math.min(SHOWN, lengths[side] - start[side]!);
    try {
      const part = [start[other]!, count(other)] as [number, number];
      const [choices, texts, found] = await Promise.all([
        tokens(trace.number, axes[own]!, start[own]!, start[own]! + count(own)), tokens(trace.number, axes[other]!, part[0], part[0] + part[1]),
        weights(place(), own === 0 ? [at, 1] : part, own === 0 ? part : [at, 1], mine.signal),
      ]);
      if (mine.signal.aborted) return;
      const scale: Scale = { top: round(Math.max(...found.data)), log: state.scale === 'log', diverging: false };
      stage().scaled(scale, state.side === 'query' ? 'attention weight of each key for the chosen query' : 'attention weight of the chosen key for each query');
      chooserTitle.textContent = `${names[own]}: choose a token`;
      colouredTitle.textContent = `${names[other]}: ${state.side === 'query' ? 'where it looks' : 'who looks at it'}`;
      chooserText.replaceChildren(...choices.map((text, index) => {
        const here = start[own]! + index;
        return h('button', {
          type: 'button', class: here === at ? 'on' : '', 'aria-pressed': here === at ? 'true' : 'false',
          onclick: () => change(state.side === 'query' ? { query: here } : { key: here }),
        }, token(text));
      }));
      coloured.replaceChildren(...texts.map((text, index) => {
        const weight = found.data[index] ?? 0;
        const span = h('span', { title: `${part[0] + index}: attention weight ${exact(weight)}` }, token(text));
        Object.assign(span.style, { background: css(weight, scale), color: ink(weight, scale) });
        return span;
      }));
      const best = found.data.reduce((best, weight, index) => (weight > found.data[best]! ? index : best), 0);
      readout.replaceChildren('Greatest attention weight here: ', h('b', {}, exact(found.data[best] ?? 0)), ', ', token(texts[best] ?? ''), ` at ${part[0] + best}`);
      const turn = (by: number) => {
        page = Math.max(0, Math.min(Math.ceil(lengths[other] / SHOWN) - 1, page + by));
        void draw();
      };
      pages.replaceChildren(
        h('button', { type: 'button', onclick: () => change({ side: state.side === 'query' ? 'key' : 'query' }) },
          state.side === 'query' ? 'Choose among keys' : 'Choose among queries'),
        ...(lengths[other] > SHOWN ? [
          h('button', { type: 'button', onclick: () => turn(-1) }, 'Earlier'), h('button', { type: 'button', onclick: () => turn(1) }, 'Later'),
          h('span', { class: 'note' }, `${names[other]} ${part[0]} to ${part[0] + part[1] - 1} of ${lengths[other]}`),
        ] : []),
      );
    } catch (error) {
      if (!mine.signal.aborted) stage().failed((error as Error).message);
    }
  }

  return {
    element: h('div', { class: 'text-view' }, pages, readout, chooserTitle, chooserText, colouredTitle, coloured),
    caption: () => `${siteName(stage().site, state.head)}: text in the colours of one token’s attention weights`,
    update: () => {
      const wanted = JSON.stringify([place(), state.side, chosen(), state.scale]);
      if (wanted === drawn) return;
      drawn = wanted;
      // What is near the chosen token, until somebody turns the page.
      page = Math.floor(Math.max(0, Math.min(chosen(), stage().lengths[sides()[1]] - 1)) / SHOWN);
      void draw();
    },
    commands: () => {
      const at = chosen();
      const one: [number, number] = [at, at + 1];
      return [command(stage().trace, stage().site, state.head, ...(state.side === 'query' ? [one] as const : [undefined, one] as const))];
    },
    key: event => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by === undefined) return false;
      const [own] = sides();
      const next = Math.max(0, Math.min(stage().lengths[own] - 1, chosen() + by));
      change(state.side === 'query' ? { query: next } : { key: next });
      return true;
    },
    go: (query, key) => change(query === null ? { key: key!, side: 'key' } : { query, side: 'query' }),
    close: () => asked?.abort(),
  };
}
