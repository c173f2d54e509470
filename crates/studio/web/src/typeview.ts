// Typing: the model reads a text, and what it attended to is shown; or it explains its answer, with what was measured of that.

import { cancel, job, typed, type Job } from './api.ts';
import { css, ink, type Scale } from './colour.ts';
import { chooser, h, token } from './dom.ts';
import type { Stage, ViewPart } from './stage.ts';

interface Trust { name: string; value?: number | null; low?: number | null; high?: number | null; baseline?: number | null; note?: string }
interface Explanation { caption: string; tokens: { text: string; value: number }[]; trust?: Trust[] }

export function typeView(stage: () => Stage): ViewPart {
  const area = h('textarea', { rows: 4, 'aria-label': 'Text', maxlength: 20000, dir: 'auto' });
  const go = h('button', { type: 'submit', class: 'main' }, 'Look at it');
  const stop = h('button', { type: 'button', hidden: true }, 'Cancel');
  const progress = h('progress', { hidden: true, 'aria-label': 'Progress' });
  const note = h('p', { class: 'note', role: 'status' });
  const result = h('div', { class: 'explanation' });
  const wish = h('div');
  let wanted = '';
  let running: number | null = null;
  const form = h('form', { onsubmit: (event: Event) => { event.preventDefault(); void start(); } },
    area, h('div', { class: 'row' }, wish, go, stop, progress));
  stop.addEventListener('click', () => { if (running !== null) void cancel(running); });

  async function start(): Promise<void> {
    if (running !== null) return;
    try {
      const number = running = await typed(area.value, wanted === '' ? null : wanted);
      go.disabled = true;
      stop.hidden = progress.hidden = false;
      for (;;) {
        const now = await job(number);
        if (now.state !== 'working') return await end(now);
        note.textContent = now.what ?? '';
        progress.max = Math.max(1, now.of ?? 0);
        if (now.of) progress.value = now.done ?? 0;
        else progress.removeAttribute('value');
        await new Promise(later => setTimeout(later, 120));
      }
    } catch (error) {
      stage().failed((error as Error).message);
    } finally {
      running = null;
      go.disabled = false;
      stop.hidden = progress.hidden = true;
    }
  }

  async function end(now: Job): Promise<void> {
    note.textContent = now.state === 'cancelled' ? 'Cancelled.' : '';
    if (now.state === 'failed') throw new Error(now.error ?? 'the model failed');
    if (now.state !== 'done') return;
    const { trace } = now.result as { trace?: number };
    if (trace !== undefined) return stage().reload(trace);
    explain(now.result as Explanation);
  }

  function explain(found: Explanation): void {
    const top = Math.max(1e-9, ...found.tokens.map(({ value }) => Math.abs(value)));
    const scale: Scale = { top, log: false, diverging: true };
    stage().scaled(scale, found.caption);
    const number = (value: number) => value.toFixed(3);
    const row = ({ name, value, low, high, baseline, note }: Trust) => h('tr', {},
      h('th', { scope: 'row' }, name), h('td', {}, value == null ? 'not measured' : number(value)),
      h('td', {}, low == null || high == null ? '' : `${number(low)} to ${number(high)}`),
      h('td', {}, baseline == null ? '' : number(baseline)), h('td', {}, note ?? ''));
    result.replaceChildren(
      h('h3', {}, found.caption),
      h('div', { class: 'running' }, ...found.tokens.map(({ text, value }) => {
        const span = h('span', { title: number(value) }, token(text));
        Object.assign(span.style, { background: css(value, scale), color: ink(value, scale) });
        return span;
      })),
      h('h3', {}, 'How far to trust it'),
      found.trust?.length ? h('table', { class: 'trust' },
        h('thead', {}, h('tr', {}, ...['Measure', 'Value', 'Interval', 'Random baseline', 'Note'].map(name => h('th', { scope: 'col' }, name)))),
        h('tbody', {}, ...found.trust.map(row))) : h('p', {}, 'Not measured.'),
    );
  }

  return {
    element: h('div', { class: 'type-view' }, form, note, result),
    caption: () => `Type a text for ${stage().everything.model?.name ?? 'a model'} to read`,
    update: () => {
      if (wish.childElementCount > 0) return;
      const known = stage().everything.model?.explanations ?? [];
      wish.replaceChildren(chooser('Show', [['', 'attention weights'], ...known.map(name => [name, name] as [string, string])], wanted, value => { wanted = value; }));
    },
    commands: () => [],
    close: () => { if (running !== null) void cancel(running); },
  };
}
