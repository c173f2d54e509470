// Two scales. Cividis: dark blue is little, yellow is much; even in lightness, the same with and without colour vision deficiency
// (Nuñez, Anderton and Renslow 2018). Blue to orange: which of two weights is greater.

const CIVIDIS: [number, number][] = [
  [0, 0x00224e], [19, 0x00306f], [21, 0x003170], [23, 0x013271], [28, 0x123570], [34, 0x1e3a6f], [52, 0x36466c], [84, 0x565c6d],
  [126, 0x7b7a78], [147, 0x8f8a78], [179, 0xaea371], [205, 0xc9b965], [232, 0xe7d150], [243, 0xf3db42], [251, 0xfde334], [255, 0xfee838],
];
const DIVERGING: [number, number][] = [
  [0, 0x053061], [40, 0x1f66a8], [80, 0x6aacd2], [110, 0xc3dcea], [127, 0xf4f4f2], [145, 0xfad9b5], [175, 0xf2a35c], [215, 0xc96a14], [255, 0x7a3a05],
];

function table(bends: [number, number][]): Uint8Array {
  const colours = new Uint8Array(256 * 4);
  for (let at = 0; at < 256; at++) {
    const upper = Math.max(1, bends.findIndex(([place]) => place >= at));
    const [[from, low], [to, high]] = [bends[upper - 1]!, bends[upper]!];
    const share = (at - from) / (to - from);
    for (let byte = 0; byte < 3; byte++) {
      const [a, b] = [low, high].map(colour => (colour >> (16 - 8 * byte)) & 255) as [number, number];
      colours[at * 4 + byte] = Math.round(a + (b - a) * share);
    }
    colours[at * 4 + 3] = 255;
  }
  return colours;
}

export const cividis = table(CIVIDIS);
export const diverging = table(DIVERGING);

/** Decades that a logarithmic scale shows. */
export const DECADES = 4;

export interface Scale { top: number; log: boolean; diverging: boolean }

/** Where on its scale a number is, 0 to 1. */
export function position(value: number, scale: Scale): number {
  const size = Math.abs(value) / scale.top;
  const share = scale.log ? (size > 0 ? Math.max(0, 1 + Math.log10(size) / DECADES) : 0) : size;
  const place = scale.diverging ? 0.5 + 0.5 * Math.sign(value) * share : value > 0 ? share : 0;
  return Math.min(1, Math.max(0, place));
}

export function colour(value: number, scale: Scale): [number, number, number] {
  const at = Math.round(position(value, scale) * 255) * 4;
  const colours = scale.diverging ? diverging : cividis;
  return [colours[at]!, colours[at + 1]!, colours[at + 2]!];
}

export function css(value: number, scale: Scale): string {
  return `rgb(${colour(value, scale).join(' ')})`;
}

/** Black or white, whichever can be read on the colour. */
export function ink(value: number, scale: Scale): string {
  const [red, green, blue] = colour(value, scale).map(byte => {
    const share = byte / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? '#000' : '#fff';
}

/** A round number that is not less, so that the scale does not change with every step. */
export function round(top: number): number {
  if (!(top > 0)) return 1;
  const decade = 10 ** Math.floor(Math.log10(top));
  const step = [1, 2, 5, 10].find(step => step * decade >= top * 0.9999) ?? 10;
  return Math.min(1, Number((step * decade).toPrecision(3)));
}
