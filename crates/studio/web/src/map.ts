// The map: queries down, keys across, from the whole to single tokens.

import { tokens, weights, type Place } from './api.ts';
import { round, type Scale } from './colour.ts';
import { exact, h, shown } from './dom.ts';
import { painter, under, type Painter, type Quad } from './painter.ts';
import { SIDE, Tiles } from './tiles.ts';

/** Pixels a token at which its name can be read, and at most. */
const READABLE = 13;
const LARGEST = 48;

/** The middle, in keys and queries, and CSS pixels a position. */
export interface Viewport { x: number; y: number; zoom: number }

export interface Shown {
  places: [Place] | [Place, Place];
  axes: [number, number];
  lengths: [number, number];
  names: [string, string];
  pool: 'max' | 'mean';
  log: boolean;
}

export interface Events {
  moved(viewport: Viewport): void;
  chosen(query: number, key: number): void;
  scaled(scale: Scale): void;
  spoken(text: string): void;
  failed(reason: string): void;
}

export class MapView {
  readonly element: HTMLElement;
  private canvas = h('canvas');
  private rows = h('div', { class: 'names rows', 'aria-hidden': 'true' });
  private columns = h('div', { class: 'names columns', 'aria-hidden': 'true' });
  private cell = h('div', { class: 'cell', hidden: true });
  private tip = h('div', { class: 'tip', role: 'tooltip', hidden: true });
  private badge = h('p', { class: 'badge', role: 'status', hidden: true });
  private plane: HTMLElement;
  private painter: Painter;
  private tiles: Tiles[] = [];
  private shown: Shown | null = null;
  private port: Viewport = { x: 0, y: 0, zoom: 0 };
  private scale: Scale = { top: 1, log: false, diverging: false };
  /** Whether all is to be seen, whatever the size. */
  private whole = true;
  private fixed: number | null = null;
  private natural = 1;
  private pointed: [number, number] | null = null;
  private pointers = new Map<number, [number, number]>();
  private frame = 0;
  private asked: AbortController | null = null;
  private named = '';
  private observer: ResizeObserver;

  constructor(private readonly events: Events, label: string) {
    this.plane = h('div', {
      class: 'plane', tabindex: 0, role: 'application', 'aria-roledescription': 'attention map', 'aria-label': label,
    }, this.canvas, this.cell, this.tip, this.badge);
    this.element = h('div', { class: 'map' }, h('div', { class: 'corner' }), this.columns, this.rows, this.plane);
    this.painter = painter(this.canvas);
    this.plane.dataset['painter'] = this.painter.kind;
    this.listen();
    this.observer = new ResizeObserver(() => { this.clamp(); this.redraw(); });
    this.observer.observe(this.plane);
  }

  close(): void {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    for (const tiles of this.tiles) tiles.close();
  }

  focus(): void {
    this.plane.focus();
  }

  /** What to show; tiles that are here stay if nothing but the viewport has changed. */
  show(shown: Shown, port: Viewport): void {
    const same = JSON.stringify([shown.places, shown.pool]) === JSON.stringify([this.shown?.places, this.shown?.pool]);
    if (!same) {
      for (const tiles of this.tiles) tiles.close();
      this.tiles = shown.places.map(place =>
        new Tiles(place, shown.pool, shown.lengths, () => this.redraw(), reason => this.events.failed(reason)));
      this.hide();
    }
    this.shown = shown;
    this.port = { ...port };
    this.whole = port.zoom === 0;
    this.clamp();
    this.redraw();
  }

  /** The end of the scale that this map alone would take. */
  own(): number {
    return this.natural;
  }

  /** Uses a scale that others use, too. */
  fix(top: number | null): void {
    if (this.fixed !== top) { this.fixed = top; this.redraw(); }
  }

  viewport(): Viewport {
    return { ...this.port };
  }

  /** The queries and keys that can be seen. */
  visible(): [[number, number], [number, number]] {
    const [height, width] = this.shown?.lengths ?? [0, 0];
    const [halfX, halfY] = [this.plane.clientWidth / this.port.zoom / 2, this.plane.clientHeight / this.port.zoom / 2];
    const range = (middle: number, half: number, length: number): [number, number] =>
      [Math.max(0, Math.floor(middle - half)), Math.min(length, Math.ceil(middle + half))];
    return [range(this.port.y, halfY, height), range(this.port.x, halfX, width)];
  }

  /** Brings a pair into view, near enough to be read. */
  go(query: number | null, key: number | null): void {
    const zoom = Math.max(this.port.zoom, READABLE);
    this.move({ x: key === null ? this.port.x : key + 0.5, y: query === null ? this.port.y : query + 0.5, zoom });
    const [row, column] = [query ?? Math.floor(this.port.y), key ?? Math.floor(this.port.x)];
    this.point(row, column, true);
  }

  // What is seen.

  private fit(): number {
    const [height, width] = this.shown?.lengths ?? [1, 1];
    return Math.min(LARGEST, this.plane.clientWidth / Math.max(1, width), this.plane.clientHeight / Math.max(1, height)) || 1;
  }

  private clamp(): void {
    if (!this.shown || !this.plane.clientWidth) return;
    const [height, width] = this.shown.lengths;
    const fit = this.fit();
    if (this.whole || !(this.port.zoom > fit)) this.port = { ...this.port, zoom: fit };
    const zoom = Math.min(LARGEST, this.port.zoom);
    const inside = (middle: number, size: number, length: number): number => {
      const half = size / zoom / 2;
      return length <= 2 * half ? length / 2 : Math.min(length - half, Math.max(half, middle));
    };
    this.port = {
      zoom, x: inside(this.port.x, this.plane.clientWidth, width), y: inside(this.port.y, this.plane.clientHeight, height),
    };
  }

  private move(to: Partial<Viewport>): void {
    this.port = { ...this.port, ...to };
    this.whole = this.port.zoom <= this.fit();
    this.clamp();
    this.redraw();
    this.events.moved(this.whole ? { x: 0, y: 0, zoom: 0 } : this.viewport());
  }

  private redraw(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    const { shown, plane, canvas } = this;
    const first = this.tiles[0];
    if (!shown || !first || !plane.clientWidth) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(plane.clientWidth * ratio), Math.round(plane.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const fine = Math.floor(Math.log2(1 / (this.port.zoom * ratio)) + 1e-6);
    const zoom = Math.min(first.coarsest, Math.max(0, fine));
    const span = SIDE * 2 ** zoom;
    const [[top, bottom], [left, right]] = this.visible();
    const places: [number, number, number][] = [];
    for (let y = Math.floor(top / span); y * span < bottom; y++) {
      for (let x = Math.floor(left / span); x * span < right; x++) places.push([zoom, y, x]);
    }
    for (const tiles of this.tiles) tiles.want(places);
    const [quads, most] = this.quads(places, span);
    const diverging = this.tiles.length === 2;
    this.natural = round(most);
    this.scale = { top: this.fixed ?? this.natural, log: shown.log, diverging };
    const camera = {
      scale: this.port.zoom * ratio, left: this.port.x - plane.clientWidth / this.port.zoom / 2,
      top: this.port.y - plane.clientHeight / this.port.zoom / 2,
    };
    this.painter.draw(quads, camera, this.scale);
    this.events.scaled(this.scale);
    plane.dataset['zoom'] = String(zoom);
    plane.dataset['settled'] = String(this.tiles.every(tiles => tiles.settled()));
    const share = Math.min(...this.tiles.map(tiles => tiles.share()));
    this.badge.hidden = this.tiles.every(tiles => tiles.settled());
    this.badge.textContent = share > 0 ? `preview, ${Math.floor(share * 100)} % of it exact` : 'computing';
    void this.name(camera.left, camera.top);
    this.mark();
  }

  private quads(places: [number, number, number][], span: number): [Quad[], number] {
    const [height, width] = this.shown!.lengths;
    const quads: Quad[] = [];
    let most = 0;
    for (const [zoom, y, x] of places) {
      const found = this.tiles.map(tiles => tiles.best(zoom, y, x));
      const [tile, minus] = found;
      if (!tile || (this.tiles.length === 2 && !minus)) continue;
      for (const one of found) most = Math.max(most, one?.top ?? 0);
      quads.push({
        tile, minus: minus ?? null, left: x * span, top: y * span,
        right: Math.min(width, (x + 1) * span), bottom: Math.min(height, (y + 1) * span),
      });
    }
    return [quads, most];
  }

  // Names along the edges.

  private async name(left: number, top: number): Promise<void> {
    const { shown, port } = this;
    if (!shown) return;
    const [queries, keys] = this.visible();
    // Names take room, which makes cells smaller: what can be read stays a little longer.
    const readable = port.zoom >= READABLE * (this.element.classList.contains('readable') ? 0.7 : 1);
    const name = [queries, keys, port.zoom, left, top, shown.places[0].trace, shown.axes].join();
    if (name === this.named) return;
    this.named = name;
    const trace = shown.places[0].trace;
    const part = async (axis: number, [first, end]: [number, number]): Promise<[number, string][]> => {
      if (readable) return (await tokens(trace, axis, first, end)).map((text, at) => [first + at, legible(text)]);
      const step = nice(64 / port.zoom);
      const marks: [number, string][] = [];
      for (let at = Math.ceil(first / step) * step; at < end; at += step) marks.push([at, at.toLocaleString('en')]);
      return marks;
    };
    try {
      const [down, across] = await Promise.all([part(shown.axes[0], queries), part(shown.axes[1], keys)]);
      if (name !== this.named) return;
      const middle = readable ? 0.5 : 0;
      this.rows.replaceChildren(...down.map(([at, text]) => {
        const span = h('span', {}, h('bdi', {}, text));
        span.style.top = `${(at + middle - top) * port.zoom}px`;
        return span;
      }));
      this.columns.replaceChildren(...across.map(([at, text]) => {
        const span = h('span', {}, h('bdi', {}, text));
        span.style.left = `${(at + middle - left) * port.zoom}px`;
        return span;
      }));
      this.element.classList.toggle('readable', readable);
    } catch (error) {
      this.named = '';
      this.events.failed((error as Error).message);
    }
  }

  // The pair that is pointed at.

  private hide(): void {
    this.pointed = null;
    this.asked?.abort();
    this.tip.hidden = this.cell.hidden = true;
  }

  private at(event: { clientX: number; clientY: number }): [number, number] {
    const box = this.plane.getBoundingClientRect();
    return [
      this.port.y + (event.clientY - box.top - this.plane.clientTop - this.plane.clientHeight / 2) / this.port.zoom,
      this.port.x + (event.clientX - box.left - this.plane.clientLeft - this.plane.clientWidth / 2) / this.port.zoom,
    ];
  }

  private point(query: number, key: number, speak: boolean): void {
    const [height, width] = this.shown?.lengths ?? [0, 0];
    if (!(query >= 0 && key >= 0 && query < height && key < width)) return this.hide();
    if (this.pointed?.[0] === query && this.pointed[1] === key) return;
    this.pointed = [query, key];
    this.mark();
    this.asked?.abort();
    const asked = this.asked = new AbortController();
    window.setTimeout(() => { if (!asked.signal.aborted) void this.say(query, key, asked.signal, speak); }, 20);
  }

  private async say(query: number, key: number, signal: AbortSignal, speak: boolean): Promise<void> {
    const shown = this.shown;
    if (!shown) return;
    try {
      const trace = shown.places[0].trace;
      const [[row], [column], ...found] = await Promise.all([
        tokens(trace, shown.axes[0], query, query + 1), tokens(trace, shown.axes[1], key, key + 1),
        ...shown.places.map(place => weights(place, [query, 1], [key, 1], signal)),
      ]);
      const values = found.map(pixels => pixels.data[0] ?? 0);
      const lines: (Node | string)[] = [
        h('span', { class: 'pair' }, h('bdi', {}, legible(row ?? '')), ' → ', h('bdi', {}, legible(column ?? ''))),
        h('span', { class: 'place' }, `${shown.names[0]} ${query} → ${shown.names[1]} ${key}`),
      ];
      const [a, b] = values as [number, number | undefined];
      const weight = h('b', {}, exact(b === undefined ? a : Math.fround(a - b)));
      lines.push(h('span', {}, b === undefined ? 'attention weight ' : 'difference of attention weights ', weight));
      if (b !== undefined) lines.push(h('span', { class: 'place' }, `${exact(a)} − ${exact(b)}`));
      const zoom = Number(this.plane.dataset['zoom']);
      const tile = this.tiles[0]?.get(zoom, Math.floor(query / SIDE / 2 ** zoom), Math.floor(key / SIDE / 2 ** zoom));
      if (zoom > 0 && tile && b === undefined) {
        const what = shown.pool === 'mean' ? 'mean' : shown.places[0].head < 0 ? 'mean of the heads’ greatest' : 'greatest';
        lines.push(h('span', { class: 'place' },
          `${what} of ${2 ** zoom} × ${2 ** zoom} here: ${exact(under(tile, query, key))}${tile.pixels.exact ? '' : ' (preview)'}`));
      }
      this.tip.replaceChildren(...lines);
      this.tip.hidden = false;
      this.tip.dataset['pair'] = `${query},${key}`;
      this.mark();
      this.events.chosen(query, key);
      if (speak) this.events.spoken(`${legible(row ?? '')} to ${legible(column ?? '')}: ${weight.textContent ?? ''}`);
    } catch (error) {
      if (!signal.aborted) this.events.failed((error as Error).message);
    }
  }

  private mark(): void {
    if (!this.pointed) return;
    const [query, key] = this.pointed;
    const { port, plane, cell, tip } = this;
    const x = (key - port.x) * port.zoom + plane.clientWidth / 2;
    const y = (query - port.y) * port.zoom + plane.clientHeight / 2;
    const size = Math.max(5, port.zoom);
    cell.hidden = x < -size || y < -size || x > plane.clientWidth || y > plane.clientHeight;
    Object.assign(cell.style, { left: `${x}px`, top: `${y}px`, width: `${size}px`, height: `${size}px` });
    if (cell.hidden) tip.hidden = true;
    const right = x > plane.clientWidth / 2;
    const below = y > plane.clientHeight / 2;
    Object.assign(tip.style, {
      left: right ? 'auto' : `${x + size + 10}px`, right: right ? `${plane.clientWidth - x + 10}px` : 'auto',
      top: below ? 'auto' : `${y + size + 10}px`, bottom: below ? `${plane.clientHeight - y + 10}px` : 'auto',
    });
  }

  // Pointers, the wheel and keys.

  private listen(): void {
    const { plane } = this;
    plane.addEventListener('wheel', event => {
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1);
      this.around(event, 2 ** (-pixels / (event.ctrlKey ? 60 : 240)));
    }, { passive: false });
    plane.addEventListener('pointerdown', event => {
      if (event.button !== 0) return;
      plane.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    plane.addEventListener('pointermove', event => this.dragged(event));
    for (const end of ['pointerup', 'pointercancel'] as const) {
      plane.addEventListener(end, event => this.pointers.delete(event.pointerId));
    }
    plane.addEventListener('pointerleave', () => { if (document.activeElement !== plane) this.hide(); });
    plane.addEventListener('dblclick', event => this.around(event, 2));
    plane.addEventListener('keydown', event => { if (this.key(event)) event.preventDefault(); });
  }

  /** Zooms about a point that stays where it is. */
  private around(event: { clientX: number; clientY: number }, by: number): void {
    const [y, x] = this.at(event);
    const zoom = Math.min(LARGEST, Math.max(this.fit(), this.port.zoom * by));
    const rest = this.port.zoom / zoom;
    this.move({ x: x + (this.port.x - x) * rest, y: y + (this.port.y - y) * rest, zoom });
  }

  private dragged(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      const [query, key] = this.at(event);
      return this.point(Math.floor(query), Math.floor(key), false);
    }
    const [, other] = [...this.pointers].find(([id]) => id !== event.pointerId) ?? [];
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    if (other) {
      const distance = ([x, y]: [number, number]) => Math.hypot(x - other[0], y - other[1]);
      const middle = { clientX: (event.clientX + other[0]) / 2, clientY: (event.clientY + other[1]) / 2 };
      return this.around(middle, distance([event.clientX, event.clientY]) / Math.max(1, distance(before)));
    }
    this.move({
      x: this.port.x - (event.clientX - before[0]) / this.port.zoom, y: this.port.y - (event.clientY - before[1]) / this.port.zoom,
    });
  }

  private key(event: KeyboardEvent): boolean {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const steps: Record<string, [number, number]> = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const step = steps[event.key];
    if (step) {
      if (this.port.zoom >= READABLE && !event.shiftKey) this.step(step);
      else {
        this.move({
          x: this.port.x + step[1] * this.plane.clientWidth / this.port.zoom / 6,
          y: this.port.y + step[0] * this.plane.clientHeight / this.port.zoom / 6,
        });
      }
      return true;
    }
    if (event.key === 'Home') return this.move({ zoom: 0 }), true;
    if (event.key === 'Escape') return this.hide(), true;
    return false;
  }

  /** To the pair beside the one that is pointed at. */
  private step([down, across]: [number, number]): void {
    const [height, width] = this.shown!.lengths;
    const [row, column] = this.pointed ?? [Math.floor(this.port.y) - down, Math.floor(this.port.x) - across];
    const [query, key] = [Math.min(height - 1, Math.max(0, row + down)), Math.min(width - 1, Math.max(0, column + across))];
    const [[top, bottom], [left, right]] = this.visible();
    const inside = (at: number, first: number, end: number) => at > first && at < end - 2;
    if (!inside(query, top, bottom) || !inside(key, left, right)) {
      this.move({ x: this.port.x + across, y: this.port.y + down });
    }
    this.point(query, key, true);
  }

  /** Closer, or farther away. */
  zoom(by: number): void {
    const box = this.plane.getBoundingClientRect();
    this.around({ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 }, by);
  }
}

function legible(text: string): string {
  const short = shown(text);
  return short.length > 40 ? `${short.slice(0, 39)}…` : short;
}

/** 1, 2 or 5 times a power of ten, not less. */
function nice(least: number): number {
  const decade = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return [1, 2, 5, 10].map(step => step * decade).find(step => step >= least) ?? 1;
}
