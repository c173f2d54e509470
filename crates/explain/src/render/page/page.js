'use strict';
// The page's state is `view`; every change of it ends in `draw` (another map) or `point` (another cell of it).
const { traces, colours } = JSON.parse(document.getElementById('data').textContent);
const $ = id => document.getElementById(id);
const MEAN = -1;
const SMALLEST_CELL = 12, LARGEST_CELL = 52, NUMBER_CELL = 36;
// Browsers refuse canvases with a longer side or a larger area.
const LONGEST_SIDE = 16000, LARGEST_AREA = 2 ** 25;

// The last site and its last layer come first: in a translator, where the alignment is.
const view = { trace: 0, site: '', layer: Infinity, head: MEAN, scale: 'one', row: 0, column: 0 };
let map;    // What is on screen: { site, rows, columns, queries, keys, weights, top }.
let cell;   // Pixels a cell.

// ---- Data

const decoded = new Map();

/** All weights of a site, [head, query, key], exactly as they were in memory. */
function allWeights(site) {
  if (!decoded.has(site)) {
    const bytes = Uint8Array.from(atob(site.weights), c => c.charCodeAt(0));
    const data = new DataView(bytes.buffer);
    decoded.set(site, Float32Array.from({ length: bytes.length / 4 }, (_, i) => data.getFloat32(4 * i, true)));
  }
  return decoded.get(site);
}

function headWeights(site, head, size) {
  const all = allWeights(site);
  if (head !== MEAN) return all.subarray(head * size, (head + 1) * size);
  return Float32Array.from({ length: size }, (_, i) => {
    let sum = 0;
    for (let h = 0; h < site.heads; h++) sum += all[h * size + i];
    return sum / site.heads;
  });
}

function layersOf(name) {
  return traces[view.trace].sites.filter(site => site.name === name).sort((a, b) => a.layer - b.layer);
}

/** The shortest decimal number that is this 32-bit float and no other. */
function exact(weight) {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(weight.toPrecision(digits));
    if (Math.fround(short) === weight) return String(short);
  }
  return String(Number(weight.toPrecision(9)));
}

const short = weight => weight > 0 && weight < 0.00005 ? weight.toExponential(1) : weight.toFixed(4);
const shade = weight => colours[Math.round(255 * Math.min(1, Math.max(0, weight / map.top)))];
const inkOn = weight => weight / map.top > 0.55 ? '#000' : '#fff';
const siteTitle = name => name.charAt(0).toUpperCase() + name.slice(1).replaceAll('.', ' ');
const headTitle = head => head === MEAN ? 'mean of all heads' : `head ${head + 1}`;

// ---- Choosers

function element(tag, text, properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text }, properties);
}

/** Fills a fieldset with radio buttons: `options` are [value, text]. */
function choose(id, options, chosen, change) {
  const group = $(id).querySelector('div');
  group.className = 'segment';
  const known = [...group.querySelectorAll('input')];
  if (known.length !== options.length || known.some((input, i) => input.value !== String(options[i][0]))) {
    group.replaceChildren(...options.map(([value, text]) => {
      const label = element('label', '');
      const input = Object.assign(document.createElement('input'), { type: 'radio', name: id, value });
      input.addEventListener('change', () => { change(value); draw(); });
      label.append(input, element('span', text));
      return label;
    }));
  }
  for (const input of group.querySelectorAll('input')) input.checked = input.value === String(chosen);
  $(id).hidden = options.length < 2;
}

function drawChoosers(layers, site) {
  const names = [...new Set(traces[view.trace].sites.map(other => other.name))];
  choose('site', names.map(name => [name, siteTitle(name)]), view.site, name => { view.site = name; });
  choose('layer', layers.map(other => [other.layer, other.layer + 1]), view.layer, layer => { view.layer = layer; });
  const heads = Array.from({ length: site.heads }, (_, head) => [head, head + 1]);
  choose('head', site.heads > 1 ? [[MEAN, 'Mean'], ...heads] : [], view.head, head => { view.head = head; });
  choose('scale', [['one', '0 to 1'], ['top', '0 to maximum']], view.scale, scale => { view.scale = scale; });
}

function drawSentence() {
  const { title, model } = traces[view.trace];
  $('title').textContent = title;
  $('title').classList.toggle('long', title.length > 90);
  $('model').textContent = model;
  document.title = `${title} · Regard`;
}

// ---- The map

function draw() {
  const trace = traces[view.trace];
  $('view').hidden = $('controls').hidden = !trace?.sites.length;
  $('nothing').hidden = !$('view').hidden;
  if (!trace) return;
  drawSentence();
  if (!trace.sites.length) return;

  if (!layersOf(view.site).length) view.site = trace.sites.at(-1).name;
  const layers = layersOf(view.site);
  const site = layers.find(other => other.layer === view.layer) ?? layers.at(-1);
  view.layer = site.layer;
  if (view.head >= site.heads) view.head = MEAN;
  if (site.heads === 1) view.head = 0;

  const [queries, keys] = [trace.axes[site.queries], trace.axes[site.keys]];
  const [rows, columns] = [queries.tokens.length, keys.tokens.length];
  const weights = headWeights(site, view.head, rows * columns);
  const top = view.scale === 'one' ? 1 : weights.reduce((a, b) => Math.max(a, b), 0) || 1;
  map = { site, rows, columns, queries, keys, weights, top };
  view.row = Math.min(view.row, rows - 1);
  view.column = Math.min(view.column, columns - 1);

  drawChoosers(layers, site);
  $('view').hidden = rows * columns === 0;
  $('nothing').hidden = !$('view').hidden;
  if (rows * columns === 0) return;
  const heading = `${siteTitle(site.name)}, layer ${site.layer + 1}${site.heads > 1 ? `, ${headTitle(view.head)}` : ''}`;
  $('map-heading').textContent = heading;
  $('map').setAttribute('aria-label', `${heading}: ${rows} ${queries.name} tokens by ${columns} ${keys.name} tokens`);
  $('top').textContent = top === 1 ? '1' : short(top);
  drawText();
  layOut();
  point(view.row, view.column);
}

/** Chooses the size of a cell and puts labels and canvas in place. */
function layOut() {
  if (!map || $('view').hidden) return;
  const { rows, columns, queries, keys } = map;
  const pen = $('map').querySelector('canvas').getContext('2d');
  const family = getComputedStyle(document.body).fontFamily;
  const longest = (tokens, size) => {
    pen.font = `${size}px ${family}`;
    return Math.min(9 * size, tokens.reduce((most, token) => Math.max(most, pen.measureText(token).width), 0)) + 14;
  };
  const room = $('scroll').clientWidth;
  const side = Math.max(Math.min(longest(queries.tokens, 13.5), 0.3 * room), 66);
  const fit = Math.floor(Math.min((room - side - 36) / columns, 760 / rows));
  const ratio = window.devicePixelRatio || 1;
  cell = Math.max(SMALLEST_CELL, Math.min(LARGEST_CELL, fit));
  cell = Math.min(cell, LONGEST_SIDE / ratio / Math.max(rows, columns), Math.sqrt(LARGEST_AREA / rows / columns) / ratio);

  const size = Math.max(9.5, Math.min(13.5, cell * 0.8));
  const upright = cell < 20;
  const above = longest(keys.tokens, size) * (upright ? 1 : 0.72) + (upright ? 2 : 12);
  const step = Math.ceil(10 / cell);
  const labels = (tokens, place) => tokens.map((token, index) => {
    const label = element('span', token, { title: token });
    label.style.fontSize = `${size}px`;
    label.style.lineHeight = `${Math.min(20, Math.max(11, cell))}px`;
    place(label.style, index * cell + cell / 2);
    label.hidden = index % step > 0;
    return label;
  });
  const lines = Math.min(20, Math.max(11, cell)) / 2;
  $('corner').replaceChildren(element('span', `${keys.name} →`), element('span', `${queries.name} ↓`));
  $('rows').replaceChildren(...labels(queries.tokens, (style, middle) => { style.top = `${middle - lines}px`; }));
  $('columns').replaceChildren(...labels(keys.tokens, (style, middle) => {
    style.left = `${middle}px`;
    style.bottom = `${2 - lines + (upright ? 2 : 8)}px`;
    style.transform = `rotate(${upright ? -90 : -45}deg)`;
    style.maxWidth = `${9 * size + 8}px`;
    style.overflow = 'hidden';
    style.textOverflow = 'ellipsis';
  }));
  $('columns').style.height = `${above}px`;
  $('columns').style.width = `${columns * cell + (upright ? 0 : overhang(keys.tokens, pen, `${size}px ${family}`))}px`;
  $('rows').style.width = `${side}px`;
  $('rows').style.height = $('map').style.height = `${rows * cell}px`;
  $('map').style.width = `${columns * cell}px`;
  paint(ratio);
  outline();
}

/** How far the slanted labels lean over the right edge. */
function overhang(tokens, pen, font) {
  pen.font = font;
  return tokens.reduce((most, token, index) => {
    const lean = 0.71 * Math.min(pen.measureText(token).width + 12, 130);
    return Math.max(most, lean - (tokens.length - 0.5 - index) * cell);
  }, 0);
}

function paint(ratio) {
  const { rows, columns, weights } = map;
  const canvas = $('map').querySelector('canvas');
  canvas.width = Math.round(columns * cell * ratio);
  canvas.height = Math.round(rows * cell * ratio);
  canvas.style.width = `${columns * cell}px`;
  canvas.style.height = `${rows * cell}px`;

  // One pixel a cell, then enlarged: as fast for a thousand tokens as for ten.
  const small = new OffscreenCanvas(columns, rows);
  const pixels = new ImageData(columns, rows);
  weights.forEach((weight, i) => {
    const colour = parseInt(shade(weight).slice(1), 16);
    pixels.data.set([colour >> 16, (colour >> 8) & 255, colour & 255, 255], 4 * i);
  });
  small.getContext('2d').putImageData(pixels, 0, 0);
  const pen = canvas.getContext('2d');
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
  pen.scale(ratio, ratio);
  if (cell >= 16) {
    pen.fillStyle = getComputedStyle($('map').closest('.card')).backgroundColor;
    for (let row = 1; row < rows; row++) pen.fillRect(0, row * cell - 0.5, columns * cell, 1);
    for (let column = 1; column < columns; column++) pen.fillRect(column * cell - 0.5, 0, 1, rows * cell);
  }
  if (cell < NUMBER_CELL) return;
  pen.font = `${Math.min(14, 0.3 * cell)}px ${getComputedStyle(document.body).fontFamily}`;
  pen.textAlign = 'center';
  pen.textBaseline = 'middle';
  weights.forEach((weight, i) => {
    if (weight < 0.005) return;
    pen.fillStyle = inkOn(weight);
    pen.fillText(weight.toFixed(2), (i % columns + 0.5) * cell, (Math.floor(i / columns) + 0.52) * cell);
  });
}

/** Moves the bands, the frame and the tooltip to the chosen cell. */
function outline() {
  const { row, column } = view;
  const place = (id, box) => {
    for (const side in box) $(id).style[side] = `${box[side]}px`;
  };
  place('row-band', { top: row * cell, height: cell });
  place('column-band', { left: column * cell, width: cell });
  place('cell', { left: column * cell, top: row * cell, width: cell, height: cell });
  const tip = $('tip');
  const wide = map.columns * cell;
  const room = $('scroll').clientWidth - $('rows').offsetWidth;
  const right = column * cell - $('scroll').scrollLeft > room / 2;
  tip.style.left = right ? '' : `${(column + 1) * cell + 8}px`;
  tip.style.right = right ? `${wide - column * cell + 8}px` : '';
  const below = row < map.rows / 2;
  tip.style.top = below ? `${(row + 1) * cell + 6}px` : '';
  tip.style.bottom = below ? '' : `${(map.rows - row) * cell + 6}px`;
}

/** Chooses a cell, and tells of it everywhere. */
function point(row, column) {
  Object.assign(view, { row, column });
  const { columns, queries, keys, weights } = map;
  const [query, key] = [queries.tokens[row], keys.tokens[column]];
  const weight = weights[row * columns + column];
  outline();
  [...$('rows').children].forEach((label, i) => label.classList.toggle('on', i === row));
  [...$('columns').children].forEach((label, i) => label.classList.toggle('on', i === column));
  $('tip').replaceChildren(element('b', exact(weight)), `${query} → ${key}`);

  $('pair').replaceChildren(
    element('dt', `${queries.name} ${row + 1}`), element('dd', query),
    element('dt', `→ ${keys.name} ${column + 1}`), element('dd', key));
  $('weight').textContent = short(weight);
  $('exact').textContent = `exactly ${exact(weight)}`;
  drawStrongest(weights.subarray(row * columns, (row + 1) * columns), query);
  drawEverywhere(row, column);
  drawShades();
}

function drawStrongest(row, query) {
  $('strongest-heading').textContent = `Strongest for “${query}”`;
  const order = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 5);
  $('strongest').replaceChildren(...order.map(column => {
    const item = element('li', '', { className: column === view.column ? 'on' : '' });
    const bar = element('i', '');
    bar.style.setProperty('--share', `${100 * row[column]}%`);
    item.append(element('span', map.keys.tokens[column]), bar, element('span', short(row[column])));
    return item;
  }));
}

/** The same cell, layer by layer down and head by head across. */
function drawEverywhere(row, column) {
  const layers = layersOf(view.site);
  const heads = Math.max(...layers.map(site => site.heads));
  const grid = $('everywhere');
  grid.hidden = $('everywhere-heading').hidden = layers.length * heads === 1;
  grid.style.gridTemplateColumns = `max-content repeat(${heads}, minmax(0, 30px))`;
  const cells = [element('span', '↓ layer, head →'), ...Array.from({ length: heads }, (_, head) => element('span', heads > 12 ? '' : head + 1))];
  for (const site of layers) {
    cells.push(element('span', site.layer + 1));
    const size = map.rows * map.columns;
    for (let head = 0; head < heads; head++) {
      if (head >= site.heads || allWeights(site).length !== site.heads * size) {
        cells.push(element('span', ''));
        continue;
      }
      const weight = allWeights(site)[head * size + row * map.columns + column];
      const name = `layer ${site.layer + 1}, head ${head + 1}: ${exact(weight)}`;
      const button = element('button', '', { type: 'button', title: name, ariaLabel: name });
      button.style.background = shade(weight);
      button.className = site.layer === view.layer && head === view.head ? 'on' : '';
      button.addEventListener('click', () => {
        Object.assign(view, { layer: site.layer, head });
        draw();
        grid.querySelector('.on')?.focus();
      });
      cells.push(button);
    }
  }
  grid.replaceChildren(...cells);
}

// ---- The text

function drawText() {
  const { queries, keys } = map;
  $('text-help').textContent =
    `Point at a ${queries.name} token, or focus it: the ${keys.name} tokens that it looks at take the colour of their weight.`;
  const self = map.site.queries === map.site.keys;
  $('query-name').textContent = self ? `${queries.name}, looks` : queries.name;
  $('key-name').textContent = self ? `${keys.name}, seen` : keys.name;
  $('queries').replaceChildren(...queries.tokens.map((token, row) => {
    const button = element('button', token, { type: 'button' });
    const choose = () => point(row, strongest(row));
    button.addEventListener('pointerenter', choose);
    button.addEventListener('focus', () => { if (view.row !== row) choose(); });
    return button;
  }));
  $('keys').replaceChildren(...keys.tokens.map(token => element('span', token)));
}

function strongest(row) {
  const { columns, weights } = map;
  const line = weights.subarray(row * columns, (row + 1) * columns);
  return line.indexOf(line.reduce((a, b) => Math.max(a, b), 0));
}

function drawShades() {
  const { columns, weights } = map;
  [...$('queries').children].forEach((button, row) => button.classList.toggle('on', row === view.row));
  [...$('keys').children].forEach((token, column) => {
    const weight = weights[view.row * columns + column];
    token.title = exact(weight);
    token.style.setProperty('--shade', shade(weight));
    token.style.setProperty('--on-shade', inkOn(weight));
  });
}

// ---- Pointer, keyboard, theme

function at(event) {
  const box = $('map').getBoundingClientRect();
  const index = (offset, count) => Math.max(0, Math.min(count - 1, Math.floor(offset / cell)));
  return [index(event.clientY - box.top, map.rows), index(event.clientX - box.left, map.columns)];
}

for (const kind of ['pointermove', 'pointerdown']) {
  $('map').addEventListener(kind, event => {
    const [row, column] = at(event);
    $('tip').hidden = false;
    if (row !== view.row || column !== view.column) point(row, column);
  });
}
$('map').addEventListener('pointerleave', () => { $('tip').hidden = document.activeElement !== $('map'); });
$('map').addEventListener('focus', () => { $('tip').hidden = false; });
$('map').addEventListener('blur', () => { $('tip').hidden = true; });
$('rows').addEventListener('pointerover', event => {
  const row = [...$('rows').children].indexOf(event.target);
  if (row >= 0) point(row, strongest(row));
});
$('columns').addEventListener('pointerover', event => {
  const column = [...$('columns').children].indexOf(event.target);
  if (column >= 0) point(view.row, column);
});

const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('select') || !map) return;
  if (event.key in ARROWS) {
    // Elsewhere the arrows scroll the page or choose in a group.
    if (event.target !== $('map')) return;
    event.preventDefault();
    const [down, across] = ARROWS[event.key];
    const within = (index, count) => Math.max(0, Math.min(count - 1, index));
    point(within(view.row + down, map.rows), within(view.column + across, map.columns));
    reveal();
    say();
  } else if (event.key === '[' || event.key === ']') {
    const layers = layersOf(view.site);
    const index = layers.findIndex(site => site.layer === view.layer) + (event.key === ']' ? 1 : -1);
    view.layer = layers[Math.max(0, Math.min(layers.length - 1, index))].layer;
    draw();
    say();
  } else if (event.key === ',' || event.key === '.') {
    const head = view.head + (event.key === '.' ? 1 : -1);
    view.head = Math.max(MEAN, Math.min(map.site.heads - 1, head));
    draw();
    say();
  }
});

/** Scrolls the chosen cell out from under the row labels. */
function reveal() {
  const scroll = $('scroll');
  const left = view.column * cell;
  const room = scroll.clientWidth - $('rows').offsetWidth;
  if (left < scroll.scrollLeft) scroll.scrollLeft = left;
  if (left + cell > scroll.scrollLeft + room) scroll.scrollLeft = left + cell - room;
}

function say() {
  const { columns, queries, keys, weights } = map;
  const weight = exact(weights[view.row * columns + view.column]);
  const head = map.site.heads > 1 ? `, ${headTitle(view.head)}` : '';
  $('spoken').textContent =
    `${queries.tokens[view.row]} to ${keys.tokens[view.column]}: ${weight}. Layer ${view.layer + 1}${head}.`;
}

const THEMES = ['auto', 'light', 'dark'];

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $('theme').textContent = `Theme: ${theme}`;
  if (map) layOut();
}

$('theme').addEventListener('click', () => {
  setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length]);
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', layOut);

$('sentences').hidden = traces.length < 2;
$('sentence').append(...traces.map(({ title }, value) => element('option', `${value + 1}. ${title}`, { value })));
$('sentence').addEventListener('change', () => {
  Object.assign(view, { trace: Number($('sentence').value), row: 0, column: 0 });
  draw();
  point(0, strongest(0));
});
document.documentElement.style.setProperty('--scale', colours.filter((_, i) => i % 15 === 0).join(','));
setTheme('auto');
draw();
if (map && map.rows * map.columns) point(0, strongest(0));
new ResizeObserver(layOut).observe($('scroll'));
