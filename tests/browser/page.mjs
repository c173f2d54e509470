// The interactive page in a real browser: `node page.mjs FILE.html [FOLDER]`, FILE from the example `page` of
// regard-explain. With a FOLDER, screenshots in light and dark, 1280 and 400 pixels wide, are left there.
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const [file, folder] = process.argv.slice(2);
if (!file) {
  console.error('usage: node page.mjs FILE.html [FOLDER]');
  process.exit(2);
}
const address = pathToFileURL(resolve(file)).href;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const requests = [];
const errors = [];

/** Opens the page offline and notes all that it asks for and complains about. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, offline: true, ...options });
  const page = await context.newPage();
  page.on('request', request => requests.push(request.url()));
  page.on('pageerror', error => errors.push(error.message));
  page.on('console', message => { if (message.type() === 'error') errors.push(message.text()); });
  await page.goto(address);
  return page;
}

const text = (page, id) => page.locator(`#${id}`).innerText();
const chosen = async (page, id) => page.locator(`#${id} input:checked`).inputValue();

/** The weight that the page should show, computed from the data in the page. */
const expected = (page, { trace, site, layer, head, row, column }) => page.evaluate(at => {
  const { traces } = JSON.parse(document.getElementById('data').textContent);
  const found = traces[at.trace].sites.find(other => other.name === at.site && other.layer === at.layer);
  const axes = traces[at.trace].axes;
  const bytes = Uint8Array.from(atob(found.weights), c => c.charCodeAt(0));
  const weights = new Float32Array(bytes.buffer);
  const [rows, columns] = [axes[found.queries].tokens.length, axes[found.keys].tokens.length];
  const one = head => weights[(head * rows + at.row) * columns + at.column];
  if (at.head >= 0) return one(at.head);
  let sum = 0;
  for (let head = 0; head < found.heads; head++) sum += one(head);
  return Math.fround(sum / found.heads);
}, { trace, site, layer, head, row, column });

/** Points at a cell of the map. */
async function hover(page, row, column) {
  const size = await page.evaluate(() => [map.rows, map.columns]);
  const map = page.locator('#map');
  await map.scrollIntoViewIfNeeded();
  const box = await map.boundingBox();
  const position = { x: (column + 0.5) * box.width / size[1], y: (row + 0.5) * box.height / size[0] };
  await map.hover({ position });
}

async function shows(page, at) {
  const weight = await expected(page, at);
  const shown = await page.locator('#tip b').textContent();
  assert.equal(Math.fround(Number(shown)), weight, `tooltip at ${JSON.stringify(at)}`);
  assert.equal(await text(page, 'weight'), weight.toFixed(4));
}

const checks = {
  async 'hover shows the exact weight and both tokens'() {
    const page = await open();
    await hover(page, 2, 3);
    assert.equal(await page.locator('#tip').isVisible(), true);
    assert.match(await text(page, 'tip'), /comment → are/);
    const at = { trace: 0, site: 'decoder.cross', layer: 3, head: -1, row: 2, column: 3 };
    await shows(page, at);
    assert.deepEqual(await page.locator('#rows .on').allInnerTexts(), ['comment']);
    assert.deepEqual(await page.locator('#columns .on').allInnerTexts(), ['are']);
    assert.equal(await page.locator('#strongest li').count(), 5);
    return page;
  },

  async 'choosers change layer, head and site'() {
    const page = await open();
    await page.locator('#layer label').nth(1).click();
    await page.locator('#head label').nth(3).click();
    await page.locator('#site label').nth(0).click();
    await hover(page, 1, 4);
    await shows(page, { trace: 0, site: 'encoder.self', layer: 1, head: 2, row: 1, column: 4 });
    assert.match(await text(page, 'map-heading'), /Encoder self, layer 2, head 3/);
    await page.locator('#everywhere button').nth(4 * 3 + 1).click();
    assert.deepEqual([await chosen(page, 'layer'), await chosen(page, 'head')], ['3', '1']);
    await page.locator('#scale label').nth(1).click();
    assert.notEqual(await text(page, 'top'), '1');
    return page;
  },

  async 'keys move the layer, the head and the cell'() {
    const page = await open();
    await page.keyboard.press('[');
    assert.equal(await chosen(page, 'layer'), '2');
    await page.keyboard.press(']');
    await page.keyboard.press(']');
    assert.equal(await chosen(page, 'layer'), '3');
    await page.keyboard.press(',');
    assert.equal(await chosen(page, 'head'), '-1');
    await page.keyboard.press('.');
    await page.keyboard.press('.');
    assert.equal(await chosen(page, 'head'), '1');
    await page.locator('#map').focus();
    for (const key of ['ArrowUp', 'ArrowLeft', 'ArrowLeft', 'ArrowLeft', 'ArrowDown', 'ArrowRight', 'ArrowRight']) {
      await page.keyboard.press(key);
    }
    assert.equal(await page.locator('#tip').isVisible(), true, 'the focused map shows its tooltip');
    await shows(page, { trace: 0, site: 'decoder.cross', layer: 3, head: 1, row: 1, column: 2 });
    assert.match(await page.locator('#spoken').textContent(), /^, to how: 0\.\d+\. Layer 4, head 2\.$/);
    return page;
  },

  async 'everything can be reached with the tabulator'() {
    const page = await open();
    const reached = new Set();
    for (let press = 0; press < 60; press++) {
      await page.keyboard.press('Tab');
      reached.add(await page.evaluate(() => document.activeElement.closest('[id]')?.id));
    }
    for (const id of ['theme', 'sentence', 'site', 'layer', 'head', 'scale', 'map', 'everywhere', 'queries']) {
      assert.ok(reached.has(id), `${id} is not reached: ${[...reached]}`);
    }
    return page;
  },

  async 'the text takes the colours of the weights'() {
    const page = await open();
    const shades = () => page.locator('#keys span').evaluateAll(all => all.map(one => getComputedStyle(one).backgroundColor));
    await page.locator('#queries button').first().hover();
    const first = await shades();
    await page.locator('#queries button').last().focus();
    assert.notDeepEqual(await shades(), first);
    assert.equal(await page.locator('#queries .on').innerText(), '?');
    return page;
  },

  async '60 tokens, and tokens that look like markup'() {
    const page = await open();
    await page.selectOption('#sentence', '3');
    assert.equal(await page.locator('#rows span').count(), 61);
    assert.deepEqual(await page.locator('#columns span').last().textContent(), '</script>');
    assert.deepEqual(await page.locator('#queries button').last().textContent(), '<b>&amp;');
    await hover(page, 60, 62);
    await shows(page, { trace: 3, site: 'decoder.cross', layer: 3, head: -1, row: 60, column: 62 });
    await page.locator('#map').focus();
    for (let press = 0; press < 70; press++) await page.keyboard.press('ArrowLeft');
    assert.equal(await page.evaluate(() => document.querySelector('#scroll').scrollLeft), 0);
    return page;
  },

  async 'light and dark, by the system and by the button'() {
    const background = page => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [light, dark] = [await open({ colorScheme: 'light' }), await open({ colorScheme: 'dark' })];
    const [bright, dim] = [await background(light), await background(dark)];
    assert.notEqual(bright, dim);
    await dark.locator('#theme').click();
    assert.equal(await background(dark), bright);
    await dark.locator('#theme').click();
    assert.equal(await background(dark), dim);
    await light.emulateMedia({ colorScheme: 'dark' });
    assert.equal(await background(light), dim);
    return light;
  },

  async 'nothing sticks out of a narrow screen'() {
    const page = await open({ viewport: { width: 400, height: 800 } });
    for (const sentence of ['0', '3']) {
      await page.selectOption('#sentence', sentence);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 400);
    }
    return page;
  },

  async 'the page asks for nothing but itself'() {
    const page = await open();
    const complaint = page.waitForEvent('console');
    await page.evaluate(() => fetch('https://example.org/').catch(() => {}));
    assert.match((await complaint).text(), /Content Security Policy/);
    errors.length = 0;
    assert.deepEqual(requests.filter(url => url !== address && !url.startsWith('https://example.org')), []);
    return page;
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    const page = await check();
    assert.deepEqual(errors, [], 'errors in the console');
    await page.context().close();
    console.log(`ok   ${name}`);
  } catch (error) {
    failed += 1;
    errors.length = 0;
    console.error(`FAIL ${name}\n     ${error.message}`);
  }
}

if (folder) {
  for (const width of [1280, 400]) {
    for (const colorScheme of ['light', 'dark']) {
      for (const sentence of ['0', '3']) {
        const page = await open({ viewport: { width, height: 900 }, colorScheme });
        await page.selectOption('#sentence', sentence);
        await page.locator('#map').focus();
        await page.screenshot({ path: `${folder}/page-${width}-${colorScheme}-${sentence}.png`, fullPage: true });
        await page.context().close();
      }
    }
  }
}
await browser.close();
process.exit(failed ? 1 : 0);
