// Tiles of a map: which are needed, and those that are here.

import { tile, type Pixels, type Place } from './api.ts';

export const SIDE = 256;
const KEPT = 400;
const AT_ONCE = 6;

export interface Tile { zoom: number; y: number; x: number; pixels: Pixels; top: number }

interface Wanted { key: string; zoom: number; y: number; x: number }

/** The tiles of one head's map in one pooling. */
export class Tiles {
  readonly coarsest: number;
  private here = new Map<string, Tile>();
  private coming = new Map<string, AbortController>();
  private again = new Map<string, { at: number; wait: number }>();
  private wanted: Wanted[] = [];
  private timer = 0;

  constructor(
    readonly place: Place, readonly pool: string, readonly lengths: [number, number],
    private readonly arrived: () => void, private readonly failed: (reason: string) => void,
  ) {
    this.coarsest = Math.max(0, Math.ceil(Math.log2(Math.max(1, Math.ceil(Math.max(...lengths) / SIDE)))));
  }

  /** The tile, or the finest that covers it and is here. */
  best(zoom: number, y: number, x: number): Tile | undefined {
    for (let up = 0; zoom + up <= this.coarsest; up++) {
      const found = this.here.get(`${zoom + up}/${y >> up}/${x >> up}`);
      if (found) return found;
    }
    return undefined;
  }

  /** Exactly this tile. */
  get(zoom: number, y: number, x: number): Tile | undefined {
    return this.here.get(`${zoom}/${y}/${x}`);
  }

  /** Asks for the tiles that are seen, and for nothing else. */
  want(places: [number, number, number][]): void {
    const all: [number, number, number][] = [[this.coarsest, 0, 0], ...places];
    this.wanted = all.map(([zoom, y, x]) => ({ key: `${zoom}/${y}/${x}`, zoom, y, x }));
    const keys = new Set(this.wanted.map(({ key }) => key));
    for (const [key, controller] of this.coming) if (!keys.has(key)) controller.abort();
    this.next();
  }

  /** How much of what is wanted is here and exact. */
  share(): number {
    const shares = this.wanted.map(({ key }) => this.here.get(key)?.pixels.share ?? 0);
    return shares.reduce((sum, share) => sum + share, 0) / Math.max(1, shares.length);
  }

  settled(): boolean {
    return this.wanted.every(({ key }) => this.here.get(key)?.pixels.exact);
  }

  close(): void {
    this.wanted = [];
    clearTimeout(this.timer);
    for (const controller of this.coming.values()) controller.abort();
  }

  private next(): void {
    clearTimeout(this.timer);
    const now = performance.now();
    let soonest = Infinity;
    for (const { key, zoom, y, x } of this.wanted) {
      if (this.coming.size >= AT_ONCE) return;
      if (this.coming.has(key) || this.here.get(key)?.pixels.exact) continue;
      const later = (this.again.get(key)?.at ?? 0) - now;
      if (later > 0) soonest = Math.min(soonest, later);
      else void this.fetch(key, zoom, y, x);
    }
    if (soonest < Infinity) this.timer = window.setTimeout(() => this.next(), soonest);
  }

  private async fetch(key: string, zoom: number, y: number, x: number): Promise<void> {
    const controller = new AbortController();
    this.coming.set(key, controller);
    try {
      const pixels = await tile(this.place, this.pool, zoom, y, x, controller.signal);
      let top = 0;
      for (const value of pixels.data) if (value > top) top = value;
      this.here.delete(key);
      this.here.set(key, { zoom, y, x, pixels, top });
      if (!pixels.exact) this.later(key);
      while (this.here.size > KEPT) this.here.delete(this.here.keys().next().value as string);
      this.arrived();
    } catch (error) {
      if (!controller.signal.aborted) {
        this.later(key);
        this.failed((error as Error).message);
      }
    } finally {
      this.coming.delete(key);
      this.next();
    }
  }

  /** A preview is asked for again, and so is what failed, ever later. */
  private later(key: string): void {
    const wait = Math.min(2000, (this.again.get(key)?.wait ?? 80) * 1.6);
    this.again.set(key, { at: performance.now() + wait, wait });
  }
}
