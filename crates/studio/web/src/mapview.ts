// The view of one map.

import { MapView } from './map.ts';
import { command, siteName } from './place.ts';
import type { Stage, ViewPart } from './stage.ts';
import { change, place, state } from './state.ts';

export function mapView(stage: () => Stage): ViewPart {
  const map = new MapView({
    moved: ({ x, y, zoom }) => change({ x, y, zoom }),
    chosen: (query, key) => change({ query, key }),
    scaled: scale => stage().scaled(scale, state.pool === 'mean' ? 'mean attention weight under a pixel' : 'greatest attention weight under a pixel'),
    spoken: text => stage().spoken(text),
    failed: reason => stage().failed(reason),
  }, 'Attention map: arrows move, plus and minus zoom');
  return {
    element: map.element,
    caption: () => `${siteName(stage().site, state.head)}: ${stage().names[0]} down, ${stage().names[1]} across`,
    update: () => {
      const { lengths, names, site } = stage();
      map.show({
        places: [place()], axes: [site.queries, site.keys], lengths, names, pool: state.pool, log: state.scale === 'log',
      }, { x: state.x, y: state.y, zoom: state.zoom });
    },
    commands: () => [command(stage().trace, stage().site, state.head, ...map.visible())],
    key: event => {
      if (event.key === '+' || event.key === '=') return map.zoom(1.5), true;
      if (event.key === '-') return map.zoom(1 / 1.5), true;
      if (event.key.startsWith('Arrow') && document.activeElement === document.body) return map.focus(), true;
      return false;
    },
    go: (query, key) => map.go(query, key),
    close: () => map.close(),
  };
}
