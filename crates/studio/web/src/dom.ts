// Elements, always with text as text: tokens may be markup, scripts or written from right to left.

type Child = Node | string;
type Attributes = Record<string, string | number | boolean | ((event: never) => void)>;

/** An element with attributes (`on…` are listeners) and children; strings become text. */
export function h<K extends keyof HTMLElementTagNameMap>(
  name: K, attributes: Attributes = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  set(element, attributes);
  element.append(...children);
  return element;
}

/** The same of SVG. */
export function s<K extends keyof SVGElementTagNameMap>(
  name: K, attributes: Attributes = {}, ...children: Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  set(element, attributes);
  element.append(...children);
  return element;
}

function set(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener);
    else if (typeof value === 'boolean') element.toggleAttribute(name, value);
    else element.setAttribute(name, String(value));
  }
}

export function byId<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** A token on its own, so that its direction does not spill over; blanks can be seen. */
export function token(text: string): HTMLElement {
  return h('bdi', {}, shown(text));
}

/** A token for people: white space and what cannot be seen get signs. */
export function shown(text: string): string {
  if (text === '') return '∅';
  const seen = text.replace(/\n/g, '↵').replace(/\t/g, '⇥').replace(/^ +| +$/g, blanks => '␣'.repeat(blanks.length));
  return seen.replace(/[\0-\x1f\x7f-\xa0\u200b\u2028\u2029\ufeff]/g, one => `⟨U+${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
}

/** A labelled chooser; `choices` are values and names. */
export function chooser(
  label: string, choices: [string, string][], value: string, chosen: (value: string) => void, keys = '',
): HTMLElement {
  const select = h('select', { 'aria-label': label, onchange: () => chosen(select.value) },
    ...choices.map(([value, name]) => h('option', { value }, name)));
  select.value = value;
  const name = h('span', {}, label);
  for (const key of keys) name.append(' ', h('kbd', {}, key));
  return h('label', { class: 'field' }, name, select);
}

/** How a single-precision number is written so that it can be read back: as short as can be. */
export function exact(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === Math.fround(value)) return plain(Number(text));
  }
  return plain(Number(value.toPrecision(9)));
}

function plain(value: number): string {
  return value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential() : String(value);
}
