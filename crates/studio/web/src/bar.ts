// The colour bar: what the colours mean, always there.

import { cividis, DECADES, diverging, type Scale } from './colour.ts';
import { exact, h } from './dom.ts';

const strip = h('canvas', { width: 256, height: 1, 'aria-hidden': 'true' });
const ends = [h('span'), h('span'), h('span')] as const;
const what = h('span', { class: 'what' });

export function bar(): HTMLElement[] {
  return [h('div', { class: 'strip' }, strip, h('div', { class: 'ends' }, ...ends)), what];
}

export function scaled(scale: Scale, meaning: string): void {
  const colours = scale.diverging ? diverging : cividis;
  strip.getContext('2d')!.putImageData(new ImageData(new Uint8ClampedArray(colours), 256, 1), 0, 0);
  const least = scale.log ? scale.top * 10 ** -DECADES : 0;
  const texts = scale.diverging
    ? [`−${exact(scale.top)}`, scale.log ? `±${exact(least)} or less` : '0', exact(scale.top)]
    : [scale.log ? `${exact(least)} or less` : '0', scale.log ? exact(Math.sqrt(least * scale.top)) : exact(scale.top / 2), exact(scale.top)];
  texts.forEach((text, at) => { ends[at]!.textContent = text; });
  what.textContent = `${meaning}${scale.log ? ', logarithmic' : ''}`;
}
