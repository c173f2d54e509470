// The keys, in a dialog.

import { byId, h } from './dom.ts';

const KEYS: [string, string][] = [
  ['[ ]', 'layer before, layer after'], [', .', 'head before, head after; before the first is the mean'], ['1 … 7', 'choose a view'],
  ['arrows', 'pan the map, or move by a token when tokens can be read; Shift pans always'], ['+ −', 'zoom; so do the wheel, a pinch and a double click'],
  ['Home', 'the whole map'], ['p', 'pool by the mean or by the greatest'], ['l', 'linear or logarithmic colours'],
  ['/', 'find a token; Enter goes to the next'], ['?', 'this list'], ['Esc', 'close'],
];

export function help(): { open(): void } {
  const dialog = byId<HTMLDialogElement>('help');
  dialog.append(
    h('h2', { id: 'help-title' }, 'Keys'),
    h('dl', {}, ...KEYS.flatMap(([keys, what]) => [h('dt', {}, ...keys.split(' ').map(key => h('kbd', {}, key))), h('dd', {}, what)])),
    h('p', { class: 'note' }, 'An attention weight says where a layer looked, not what mattered to the answer. The address in the address bar is a link to what you see.'),
    h('form', { method: 'dialog' }, h('button', {}, 'Close')),
  );
  return { open: () => dialog.showModal() };
}
