// The studio in a real browser: `node studio.mjs SERVE LONG [FOLDER]`, with the programs of the examples. With a FOLDER, screenshots in
// light and dark are left there.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { deflateSync, crc32 } from 'node:zlib';
import { chromium } from 'playwright-core';
import { heads, HOSTILE, write } from './traces.mjs';

const [serve, long, shots] = process.argv.slice(2);
if (!long) {
  console.error('usage: node studio.mjs SERVE LONG [FOLDER]');
  process.exit(2);
}
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'studio-'));

// A translation, the same by another model, hostile tokens, 10,000 tokens, patches.
const source = 'The children who were playing in the garden did not hear the bell .'.split(' ');
const target = 'Les enfants qui jouaient dans le jardin n\' ont pas entendu la cloche .'.split(' ');
const translation = (sharp) => {
  const axes = [{ name: 'source', tokens: source }, { name: 'target', tokens: target }];
  const sites = [0, 1, 2].flatMap(layer => [
    { name: 'encoder.self', layer, queries: 0, keys: 0, heads: 4, weights: heads(4, source.length, source.length, (query, head) => [query, query - 1, 0, 12][head], sharp) },
    { name: 'decoder.cross', layer, queries: 1, keys: 0, heads: 4, weights: heads(4, target.length, source.length, (query, head) => (head === 3 ? 0 : query - (query > 8 ? 1 : 0)), sharp + layer) },
  ]);
  return [axes, sites];
};
write(join(folder, 'a.trace'), source.join(' '), ...translation(2));
write(join(folder, 'b.trace'), 'the same by another model', ...translation(0.7));
const hostile = HOSTILE.length;
write(join(folder, 'hostile.trace'), HOSTILE[0], [{ name: '<i>axis</i>', tokens: HOSTILE }],
  [{ name: '<b>site</b>', layer: 0, queries: 0, keys: 0, heads: 2, weights: heads(2, hostile, hostile, query => query) }]);
execFileSync(long, [join(folder, 'long.trace'), '10000', '2', '4', '32']);
write(join(folder, 'patches.trace'), 'a picture', [{ name: 'patches', tokens: Array.from({ length: 50 }, (_, at) => (at ? `patch ${at}` : '[CLS]')) }],
  [{ name: 'encoder.self', layer: 0, queries: 0, keys: 0, heads: 2, weights: heads(2, 50, 50, query => query) }]);
const NAMES = ['a.trace', 'b.trace', 'hostile.trace', 'long.trace', 'patches.trace'];
const [A, B, BAD, LONG, PATCHES] = NAMES.keys();
const server = spawn(serve, ['--model', ...NAMES], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
const [address] = await new Promise((found, failed) => {
  createInterface({ input: server.stdout }).once('line', line => found([line]));
  server.once('exit', code => failed(new Error(`the server ended with ${code}`)));
});

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const errors = [];
const elsewhere = [];

async function open(hash = '', options = {}, query = '') {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.on('request', request => { if (!request.url().startsWith(new URL(address).origin) && !request.url().startsWith('blob:')) elsewhere.push(request.url()); });
  page.on('pageerror', error => errors.push(error.message));
  page.on('console', message => { if (message.type() === 'error') errors.push(message.text()); });
  await page.goto(address + query + hash);
  await page.waitForSelector('html[data-ready="true"]');
  return page;
}

const settled = page => page.waitForFunction(() => [...document.querySelectorAll('.plane')].filter(plane => plane.clientWidth > 0)
  .every(plane => plane.dataset.settled === 'true'), null, { timeout: 60_000 });
const at = page => page.evaluate(() => Object.fromEntries(new URLSearchParams(location.hash.slice(1))));
const api = (page, path) => page.evaluate(async path => Array.from(new Float32Array(await (await fetch(path)).arrayBuffer(), 16)), path);
const weight = async (page, trace, site, head, query, key) =>
  (await api(page, `weights?trace=${trace}&site=${site}&head=${head}&query=${query}&queries=1&key=${key}&keys=1`))[0];

/** Points at a place of the map, as a share of its sides; the pair and the weight that the tip says. */
async function hover(page, across, down) {
  const box = await page.locator('.plane:visible').first().boundingBox();
  const before = await page.locator('.tip').first().getAttribute('data-pair');
  await page.mouse.move(box.x + box.width * across, box.y + box.height * down);
  await page.waitForFunction(before => {
    const tip = document.querySelector('.tip');
    return !tip.hidden && tip.dataset.pair !== before;
  }, before);
  const tip = page.locator('.tip').first();
  const [query, key] = (await tip.getAttribute('data-pair')).split(',').map(Number);
  return { query, key, shown: Number(await tip.locator('b').textContent()), text: await tip.innerText() };
}

async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map(node => node.html).slice(0, 3)]), [], what);
}

const shot = async (page, name) => { if (shots) await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true }); };

const checks = {
  async 'the map opens, and the weight under the pointer is exact'() {
    const page = await open(`#trace=${A}&site=5&head=1`);
    await settled(page);
    assert.equal(await page.locator('.plane').getAttribute('data-painter'), 'WebGL2');
    assert.equal(await page.locator('#caption').innerText(), 'decoder.cross, layer 3, head 2: target down, source across');
    assert.deepEqual(await page.locator('.rows bdi').allInnerTexts(), target, 'all of a short text can be seen');
    const found = await hover(page, 0.5, 0.4);
    assert.equal(Math.fround(found.shown), await weight(page, A, 5, 1, found.query, found.key));
    const [, sites] = translation(2);
    assert.equal(Math.fround(found.shown), Math.fround(sites[5].weights[(target.length + found.query) * source.length + found.key]));
    assert.match(found.text, new RegExp(`${target[found.query]} → ${source[found.key]}`));
    assert.match(await page.locator('#bar').innerText(), /greatest attention weight/);
    return page;
  },

  async '10,000 tokens: coarse, panned, zoomed, and exact at every zoom'() {
    const page = await open(`#trace=${LONG}&head=3`);
    await settled(page);
    let found = await hover(page, 0.45, 0.52);
    assert.equal(Math.fround(found.shown), await weight(page, LONG, 0, 3, found.query, found.key));
    assert.match(found.text, /greatest of \d+ × \d+ here/);
    const zoom = async () => Number(await page.locator('.plane').getAttribute('data-zoom'));
    const coarse = await zoom();
    const box = await page.locator('.plane').boundingBox();
    for (let turn = 0; turn < 24; turn++) {
      await page.mouse.move(box.x + box.width * 0.5, box.y + box.height * 0.5);
      await page.mouse.wheel(0, -120);
    }
    await settled(page);
    assert.ok((await zoom()) < coarse);
    await page.waitForTimeout(300);
    const before = await at(page);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.5 - 200, box.y + box.height * 0.5 - 100, { steps: 4 });
    await page.mouse.up();
    await settled(page);
    await page.waitForTimeout(300);
    const after = await at(page);
    assert.ok(Math.abs((after.x - before.x) * before.zoom - 200) < 5, `${JSON.stringify(before)} ${JSON.stringify(after)}`);
    for (const place of [0.3, 0.6, 0.8]) {
      found = await hover(page, place, place);
      assert.equal(Math.fround(found.shown), await weight(page, LONG, 0, 3, found.query, found.key));
    }
    assert.match(await page.locator('#command code').innerText(), /^regard view long\.trace --site decoder\.self --layer 1 --head 4 --queries \d+\.\.\d+ --keys \d+\.\.\d+ -o figure\.svg$/);
    return page;
  },

  async 'what is painted is what the tile says, with and without WebGL'() {
    const colours = [];
    for (const query of ['', '?paint=canvas']) {
      const page = await open(`#trace=${LONG}&head=1&x=5000&y=5000&zoom=4`, {}, query);
      await settled(page);
      assert.equal(await page.locator('.plane').getAttribute('data-painter'), query ? 'canvas' : 'WebGL2');
      const picture = (await page.locator('.plane canvas').screenshot()).toString('base64');
      colours.push(await page.evaluate(async picture => {
        const bytes = Uint8Array.from(atob(picture), letter => letter.charCodeAt(0));
        const bitmap = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
        const context = canvas.getContext('2d');
        context.drawImage(bitmap, 0, 0);
        return Array.from({ length: 40 }, (_, at) => [...context.getImageData(20 + at * 11, 50 + at * 7, 1, 1).data]);
      }, picture));
      await page.context().close();
    }
    assert.ok(new Set(colours[0].map(String)).size > 1, 'one colour is no picture');
    for (const [at, colour] of colours[0].entries()) {
      for (const byte of [0, 1, 2]) assert.ok(Math.abs(colour[byte] - colours[1][at][byte]) <= 2, `${colour} is not ${colours[1][at]}`);
    }
    return null;
  },

  async 'everything by keys'() {
    const page = await open(`#trace=${A}&site=3`);
    await settled(page);
    const choice = async label => page.locator(`select[aria-label="${label}"]`).evaluate(select => select.selectedOptions[0].text);
    await page.keyboard.press('[');
    assert.equal(await choice('Layer'), '1');
    await page.keyboard.press(']');
    await page.keyboard.press(']');
    assert.equal(await choice('Layer'), '3');
    for (const key of ['.', '.', '.', ',']) await page.keyboard.press(key);
    assert.equal(await choice('Head'), 'head 2');
    await page.keyboard.press('p');
    await page.keyboard.press('l');
    assert.deepEqual([await choice('Pixels'), await choice('Colours')], ['mean weight', 'logarithmic']);
    await page.locator('.plane').focus();
    await page.keyboard.press('ArrowDown');
    await page.waitForFunction(() => !document.querySelector('.tip').hidden);
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction(() => /to .*: /.test(document.getElementById('spoken').textContent));
    await page.keyboard.press('/');
    await page.keyboard.type('GARDEN');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => /1 of 1, at 7/.test(document.querySelector('.find .note').textContent));
    await page.keyboard.press('Escape');
    await page.keyboard.press('?');
    assert.ok(await page.locator('#help').isVisible());
    await accessible(page, 'help');
    await page.keyboard.press('Escape');
    for (const [key, view] of [['2', 'lines'], ['3', 'heads'], ['4', 'text'], ['5', 'compare'], ['6', 'image'], ['7', 'type'], ['1', 'map']]) {
      await page.keyboard.press(key);
      assert.equal(await page.locator('#stage').getAttribute('data-view'), view);
    }
    await page.keyboard.press('+');
    await page.keyboard.press('Home');
    return page;
  },

  async 'a link leads to the same view'() {
    const hash = `#view=map&trace=${LONG}&site=1&head=2&x=4321&y=5000&zoom=16&scale=log`;
    const page = await open(hash);
    await settled(page);
    await page.locator('.plane').focus();
    await page.keyboard.press('ArrowUp');
    await page.waitForTimeout(400);
    const now = await at(page);
    assert.deepEqual([now.trace, now.site, now.head, now.scale, now.zoom], [String(LONG), '1', '2', 'log', '16']);
    const again = await open(`#${new URLSearchParams(now)}`);
    await settled(again);
    assert.equal(await again.locator('.rows').innerText(), await page.locator('.rows').innerText());
    await again.context().close();
    for (const nonsense of ['#view=nothing&trace=99&site=-4&head=1e9&x=NaN&zoom=Infinity', '#%%%', '#view=%ff', '#query=-5&key=99999']) {
      const page = await open(nonsense);
      await settled(page);
      await page.context().close();
    }
    return page;
  },

  async 'tokens that are markup, scripts or right-to-left text stay text'() {
    for (const view of ['map', 'lines', 'heads', 'text', 'compare', 'image']) {
      const page = await open(`#trace=${BAD}&view=${view}&query=3`);
      await page.waitForTimeout(700);
      const strange = await page.evaluate(() => [window.stolen, document.querySelectorAll('main script, main img, main b:not(.tip b):not(.note b), main i').length]);
      assert.deepEqual(strange, [undefined, 0], view);
      if (view === 'text') {
        const texts = await page.locator('.running').first().locator('bdi').allTextContents();
        assert.equal(texts[0], HOSTILE[0]);
        assert.equal(texts[4], 'שלום');
        assert.deepEqual([texts[8], texts[10], texts[11]], ['↵', '∅', '␣']);
      }
      await accessible(page, `hostile ${view}`);
      if (view === 'map') await shot(page, 'hostile');
      await page.context().close();
    }
    return null;
  },

  async 'the head view draws lines and tells the greatest'() {
    const page = await open(`#trace=${A}&site=1&head=0&view=lines`);
    await page.waitForSelector('.lines line');
    await page.locator('.tokens.left button').nth(2).hover();
    assert.match(await page.locator('.head-view > .note').innerText(), /query 2: the greatest attention weight here is [\d.]+, key 2/);
    assert.equal(await page.locator('.lines line.on').first().isVisible(), true);
    return page;
  },

  async 'all heads are ranked and filtered'() {
    const page = await open(`#trace=${A}&view=heads&rank=first`);
    await page.waitForFunction(() => document.querySelectorAll('.grid td button').length === 24);
    assert.match(await page.locator('.ranking li').first().innerText(), /layer 3, head [34] /);
    await page.waitForFunction(() => /--site decoder.cross --layer 3 --head 4 /.test(document.getElementById('command').textContent));
    await shot(page, 'all-heads');
    await page.locator('input[aria-label="Show heads of at least"]').fill('0.5');
    assert.ok((await page.locator('.grid td button').count()) < 24);
    await page.locator('.ranking button').first().click();
    assert.equal(await page.locator('#stage').getAttribute('data-view'), 'map');
    return page;
  },

  async 'text takes the colours of a token'() {
    const page = await open(`#trace=${A}&site=1&head=0&view=text`);
    await page.waitForSelector('.running span');
    await page.locator('.running').first().locator('button').nth(3).click();
    await page.waitForFunction(() => document.querySelector('.running button.on')?.textContent === 'jouaient');
    const shown = await page.locator('.text-view b').innerText();
    const row = await api(page, `weights?trace=${A}&site=1&head=0&query=3&queries=1&key=0&keys=${source.length}`);
    assert.equal(Math.fround(Number(shown)), Math.max(...row));
    return page;
  },

  async 'two traces side by side, and their difference'() {
    const page = await open(`#trace=${A}&site=1&head=0&view=compare&withTrace=${B}`);
    await settled(page);
    assert.equal(await page.locator('.plane:visible').count(), 2);
    await shot(page, 'side-by-side');
    await page.locator('.check input').check();
    await page.waitForFunction(() => /difference/.test(document.getElementById('bar').innerText));
    await settled(page);
    const box = await page.locator('.plane:visible').boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.waitForFunction(() => [...document.querySelectorAll('.tip')].some(tip => !tip.hidden));
    const tip = page.locator('.tip:visible');
    const [query, key] = (await tip.getAttribute('data-pair')).split(',').map(Number);
    const [a, b] = [await weight(page, A, 1, 0, query, key), await weight(page, B, 1, 0, query, key)];
    assert.equal(Math.fround(Number(await tip.locator('b').textContent())), Math.fround(a - b));
    assert.equal(
      await page.locator('#command code').textContent(),
      'regard view a.trace b.trace --site decoder.cross --layer 1 --head 1 --with-head 1 --difference -o figure.svg',
    );
    return page;
  },

  async 'patches lie over a picture that stays here'() {
    const page = await open(`#trace=${PATCHES}&view=image&query=10&head=0`);
    await page.locator('input[type="file"]').setInputFiles({ name: 'picture.png', mimeType: 'image/png', buffer: png(64, 64) });
    await page.waitForFunction(() => /row 2, column 3/.test(document.querySelector('.image-view .note').textContent));
    assert.deepEqual(await page.locator('.image-view input[type="number"]').evaluateAll(all => all.map(one => one.value)), ['7', '7', '1']);
    return page;
  },

  async 'typed text is read, shown, cancelled and explained'() {
    const page = await open('#view=type');
    await page.locator('textarea').fill('hello <b>you</b>');
    await page.locator('button.main').click();
    await page.waitForSelector('progress:visible');
    await page.waitForFunction(() => document.getElementById('stage').dataset.view === 'map');
    assert.equal(await page.locator('#title').innerText(), 'hello <b>you</b>');
    assert.equal(await page.locator('#command a').getAttribute('download'), 'typed.trace');
    await settled(page);
    await page.keyboard.press('7');
    await page.locator('textarea').fill('a long text '.repeat(60));
    await page.locator('button.main').click();
    await page.locator('button', { hasText: 'Cancel' }).click();
    await page.waitForFunction(() => /Cancelled/.test(document.querySelector('.type-view .note').textContent));
    await page.locator('select[aria-label="Show"]').selectOption('rare letters');
    await page.locator('textarea').fill('attention');
    await page.locator('button.main').click();
    await page.waitForSelector('.trust');
    assert.match(await page.locator('.trust').innerText(), /sufficiency\s+not measured/);
    return page;
  },
};

/** A picture of one colour. */
function png(width, height) {
  const chunk = (name, data) => {
    const body = Buffer.concat([Buffer.from(name), data]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([8, 2, 0, 0, 0], 8);
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, 0x7a)]);
  const pixels = deflateSync(Buffer.concat(Array.from({ length: height }, () => row)));
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), chunk('IHDR', head), chunk('IDAT', pixels), chunk('IEND', Buffer.alloc(0))]);
}

let failed = 0;
try {
  for (const [name, check] of Object.entries(checks)) {
    try {
      errors.length = 0;
      const page = await check();
      if (page) {
        const file = name.replace(/[^a-z0-9]+/gi, '-').slice(0, 30);
        for (const colorScheme of ['light', 'dark']) {
          await page.emulateMedia({ colorScheme });
          await accessible(page, `${name}, ${colorScheme}`);
          await shot(page, `${file}-${colorScheme}`);
        }
        const [light, dark] = [await background(page, 'light'), await background(page, 'dark')];
        assert.notEqual(light, dark, 'the page follows the system');
        await page.setViewportSize({ width: 400, height: 800 });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= 400), 'nothing sticks out of a narrow window');
        await page.context().close();
      }
      assert.deepEqual(errors, []);
      console.log(`ok   ${name}`);
    } catch (error) {
      failed++;
      console.error(`FAIL ${name}\n${error.stack}\n${errors.join('\n')}`);
    }
  }
  assert.deepEqual(elsewhere, [], 'the page talks to its server and to nobody else');
} finally {
  await browser.close();
  server.kill();
  rmSync(folder, { recursive: true });
}
process.exit(failed ? 1 : 0);

async function background(page, colorScheme) {
  await page.emulateMedia({ colorScheme });
  return page.evaluate(() => getComputedStyle(document.body).backgroundColor);
}
