// Patches over a picture: tokens that are a grid, in the colours of one query's attention weights. The picture stays in the browser.

import { weights } from './api.ts';
import { css, round, type Scale } from './colour.ts';
import { exact, h } from './dom.ts';
import { command, siteName } from './place.ts';
import type { Stage, ViewPart } from './stage.ts';
import { change, place, state } from './state.ts';

const MOST = 1 << 16;

export function imageView(stage: () => Stage): ViewPart {
  const canvas = h('canvas', { tabindex: 0, role: 'img' });
  const context = canvas.getContext('2d')!;
  const readout = h('p', { class: 'note', role: 'status' });
  const number = (label: string, least: number) => h('input', { type: 'number', min: least, max: MOST, 'aria-label': label, onchange: () => void draw() });
  const [rows, columns, skip] = [number('Rows of patches', 1), number('Columns of patches', 1), number('Tokens before the patches', 0)];
  const cover = h('input', { type: 'range', min: 0, max: 100, value: 65, 'aria-label': 'How much the colours cover', oninput: () => paint() });
  const file = h('input', { type: 'file', accept: 'image/*', onchange: () => void pick() });
  let picture: ImageBitmap | null = null;
  let found: Float32Array | null = null;
  let scale: Scale = { top: 1, log: false, diverging: false };
  let drawn = '';
  let grid = '';

  const size = (): [number, number, number] => [Number(rows.value) || 1, Number(columns.value) || 1, Number(skip.value) || 0];

  /** The largest square of patches, with class tokens before it. */
  function guess(): void {
    const length = stage().lengths[1];
    const side = Math.max(1, Math.floor(Math.sqrt(length)));
    [rows.value, columns.value, skip.value] = [String(side), String(side), String(length - side * side <= 5 ? length - side * side : 0)];
  }

  async function pick(): Promise<void> {
    const chosen = file.files?.[0];
    if (!chosen) return;
    try {
      picture = await createImageBitmap(chosen);
      paint();
    } catch {
      stage().failed(`${chosen.name} is no picture that this browser can show`);
    }
  }

  async function draw(): Promise<void> {
    const [down, across, before] = size();
    const length = stage().lengths[1];
    if (before + down * across > length || down * across > MOST) {
      return stage().failed(`${down} × ${across} patches after ${before} tokens are more than the ${length} keys that there are`);
    }
    try {
      const query = Math.min(state.query, stage().lengths[0] - 1);
      found = (await weights(place(), [query, 1], [before, down * across])).data;
      scale = { top: round(Math.max(...found)), log: state.scale === 'log', diverging: false };
      stage().scaled(scale, 'attention weight of each patch for the chosen query');
      const best = found.reduce((best, weight, at) => (weight > found![best]! ? at : best), 0);
      readout.textContent = `Query ${query}: the greatest attention weight is ${exact(found[best]!)}, row ${Math.floor(best / across) + 1}, column ${best % across + 1}. Click a patch to let it be the query.`;
      canvas.setAttribute('aria-label', readout.textContent);
      paint();
    } catch (error) {
      stage().failed((error as Error).message);
    }
  }

  function paint(): void {
    const [down, across, before] = size();
    const shape = picture ? picture.width / picture.height : across / down;
    canvas.width = 960;
    canvas.height = Math.max(1, Math.round(960 / shape));
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    if (!found) return;
    context.globalAlpha = picture ? Number(cover.value) / 100 : 1;
    const [width, height] = [canvas.width / across, canvas.height / down];
    found.forEach((weight, at) => {
      context.fillStyle = css(weight, scale);
      context.fillRect(at % across * width, Math.floor(at / across) * height, width + 0.5, height + 0.5);
    });
    context.globalAlpha = 1;
    const own = state.query - before;
    if (stage().site.queries === stage().site.keys && own >= 0 && own < found.length) {
      context.lineWidth = 3;
      context.strokeStyle = '#f2a35c';
      context.strokeRect(own % across * width, Math.floor(own / across) * height, width, height);
    }
  }

  canvas.addEventListener('click', event => {
    const [down, across, before] = size();
    const box = canvas.getBoundingClientRect();
    const patch = Math.floor((event.clientY - box.top) / box.height * down) * across + Math.floor((event.clientX - box.left) / box.width * across);
    if (before + patch < stage().lengths[0]) change({ query: before + patch });
  });
  const field = (name: string, control: HTMLElement) => h('label', { class: 'field' }, h('span', {}, name), control);
  return {
    element: h('div', { class: 'image-view' },
      h('div', { class: 'row' }, field('Picture', file), field('Rows', rows), field('Columns', columns), field('Before', skip), field('Colours', cover)),
      readout, canvas),
    caption: () => `${siteName(stage().site, state.head)}: ${stage().names[1]} as patches over a picture`,
    update: () => {
      const axis = `${state.trace}/${state.site}`;
      if (axis !== grid) { grid = axis; guess(); }
      const wanted = JSON.stringify([place(), state.query, state.scale]);
      if (wanted !== drawn) { drawn = wanted; void draw(); }
    },
    commands: () => [command(stage().trace, stage().site, state.head, [state.query, state.query + 1])],
    key: event => {
      const [, across] = size();
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
      if (by === undefined) return false;
      change({ query: Math.max(0, Math.min(stage().lengths[0] - 1, state.query + by)) });
      return true;
    },
    go: query => { if (query !== null) change({ query }); },
    close: () => picture?.close(),
  };
}
