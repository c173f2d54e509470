// What a view gets from the page, and what the page wants of it.

import type { Everything, Site, Trace } from './api.ts';
import type { Scale } from './colour.ts';
import type { State } from './state.ts';

export interface Stage {
  everything: Everything;
  trace: Trace;
  site: Site;
  /** Tokens of queries and of keys. */
  lengths: [number, number];
  names: [string, string];
  /** Says which colours mean what. */
  scaled(scale: Scale, what: string): void;
  spoken(text: string): void;
  failed(reason: string): void;
  /** Says that the command lines may be others now. */
  redrawn(): void;
  /** Looks for traces again, and goes to one of them. */
  reload(trace: number): Promise<void>;
}

export interface ViewPart {
  element: HTMLElement;
  caption(): string;
  /** Draws what the state says. */
  update(changed: Set<keyof State>): void;
  /** Command lines that make the figure. */
  commands(): string[];
  /** Does something for a key, or does not. */
  key?(event: KeyboardEvent): boolean;
  go?(query: number | null, key: number | null): void;
  close(): void;
}
