// What people call a place of a trace, and the command lines that draw it.

import type { Site, Trace } from './api.ts';

export function headName(head: number): string {
  return head < 0 ? 'mean of the heads' : `head ${head + 1}`;
}

export function siteName(site: Site, head: number): string {
  return `${site.name}, layer ${site.layer + 1}, ${headName(head)}`;
}

function quoted(text: string): string {
  return /^[\w./:+-]+$/.test(text) && !text.startsWith('-') ? text : `'${text.replaceAll('\'', '\'\\\'\'')}'`;
}

/** A head of an attention of a trace. */
export interface Spot { trace: Trace; site: Site; head: number }

/** `regard view`, of some queries and keys; all, if none are given. */
export function command(trace: Trace, site: Site, head: number, queries?: [number, number], keys?: [number, number]): string {
  return line([file(trace)], { trace, site, head }, [], queries, keys);
}

/** The same of two, beside each other or the first less the second. */
export function comparison(
  first: Spot, second: Spot, difference: boolean, queries: [number, number], keys: [number, number],
): string {
  const files = first.trace === second.trace ? [file(first.trace)] : [file(first.trace), file(second.trace)];
  const other = ['--with-head', second.head < 0 ? 'mean' : String(second.head + 1)];
  if (second.site.name !== first.site.name) other.push('--with-site', quoted(second.site.name));
  if (second.site.layer !== first.site.layer) other.push('--with-layer', String(second.site.layer + 1));
  // What is seen of the first may be more than there is of the second.
  const within = (part: [number, number], axis: number): [number, number] => [part[0], Math.min(part[1], second.trace.axes[axis]?.length ?? 0)];
  return line(
    files, first, difference ? [...other, '--difference'] : other, within(queries, second.site.queries), within(keys, second.site.keys),
  );
}

function file(trace: Trace): string {
  return quoted(trace.file ?? 'typed.trace');
}

function line(files: string[], { trace, site, head }: Spot, other: string[], queries?: [number, number], keys?: [number, number]): string {
  const words = ['regard view', ...files, '--site', quoted(site.name), '--layer', String(site.layer + 1)];
  if (head >= 0) words.push('--head', String(head + 1));
  words.push(...other);
  const all: [string, [number, number] | undefined, number][] = [['--queries', queries, site.queries], ['--keys', keys, site.keys]];
  for (const [option, part, axis] of all) {
    if (part && part[1] > part[0] && (part[0] > 0 || part[1] < (trace.axes[axis]?.length ?? 0))) words.push(option, `${part[0]}..${part[1]}`);
  }
  return [...words, '-o figure.svg'].join(' ');
}
