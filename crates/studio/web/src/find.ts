// Finding a token: its places, one after another.

import { search } from './api.ts';
import { h } from './dom.ts';
import type { Stage } from './stage.ts';
import { state } from './state.ts';

export interface Find { element: HTMLElement; focus(): void }

export function find(stage: () => Stage, go: (query: number | null, key: number | null) => void): Find {
  const box = h('input', { type: 'search', 'aria-label': 'Find a token', placeholder: 'find a token', autocomplete: 'off', dir: 'auto' });
  const note = h('span', { class: 'note', role: 'status' });
  const side = h('select', { 'aria-label': 'Where to find it' }, h('option', { value: 'key' }, 'in keys'), h('option', { value: 'query' }, 'in queries'));
  let asked = '';
  let places: number[] = [];
  let at = -1;
  let more = false;

  async function next(by: number): Promise<void> {
    const { trace, site } = stage();
    const axis = side.value === 'query' ? site.queries : site.keys;
    const wanted = JSON.stringify([state.trace, axis, box.value]);
    if (box.value === '') return;
    try {
      if (wanted !== asked) {
        ({ places, more } = await search(trace.number, axis, box.value, 0));
        asked = wanted;
        at = by > 0 ? -1 : places.length;
      } else if (more && by > 0 && at === places.length - 1) {
        const answer = await search(trace.number, axis, box.value, places[at]! + 1);
        places.push(...answer.places);
        more = answer.more;
      }
      if (places.length === 0) {
        note.textContent = 'nowhere';
        return;
      }
      at = (at + by + places.length) % places.length;
      note.textContent = `${at + 1} of ${places.length}${more ? ' or more' : ''}, at ${places[at]}`;
      if (side.value === 'query') go(places[at]!, null);
      else go(null, places[at]!);
    } catch (error) {
      stage().failed((error as Error).message);
    }
  }

  box.addEventListener('keydown', event => {
    if (event.key === 'Enter') { event.preventDefault(); void next(event.shiftKey ? -1 : 1); }
    if (event.key === 'Escape') box.blur();
  });
  return {
    element: h('div', { class: 'find', role: 'search' }, h('span', { class: 'name' }, 'Find ', h('kbd', {}, '/')), h('div', {}, box, side), note),
    focus: () => { box.focus(); box.select(); },
  };
}
