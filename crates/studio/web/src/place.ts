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

/** `regard view`, of some queries and keys; all, if none are given. */
export function command(
  trace: Trace, site: Site, head: number, queries?: [number, number], keys?: [number, number], figure = 'figure.svg',
): string {
  const words = ['regard view', quoted(trace.file ?? 'typed.trace'), '--site', quoted(site.name), '--layer', String(site.layer + 1)];
  if (head >= 0) words.push('--head', String(head + 1));
  const all: [string, [number, number] | undefined, number][] = [['--queries', queries, site.queries], ['--keys', keys, site.keys]];
  for (const [option, part, axis] of all) {
    if (part && part[1] > part[0] && (part[0] > 0 || part[1] < (trace.axes[axis]?.length ?? 0))) words.push(option, `${part[0]}..${part[1]}`);
  }
  return [...words, '-o', figure].join(' ');
}
