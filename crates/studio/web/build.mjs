// Bundles src into dist. The hash of the sources goes into the bundle, and a test of the crate compares it with the sources there are:
// who changes one and forgets the other is told.
import { copyFileSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { build } from 'esbuild';

/** FNV-1a of 64 bits over names and texts, in the order of the names. */
function hash(folder) {
  let state = 0xcbf29ce484222325n;
  for (const name of readdirSync(folder).sort()) {
    for (const byte of [...Buffer.from(name), 0, ...readFileSync(`${folder}/${name}`), 0]) {
      state = ((state ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
    }
  }
  return state.toString(16).padStart(16, '0');
}

const options = { bundle: true, minify: true, charset: 'utf8', legalComments: 'none', logLevel: 'warning' };
mkdirSync('dist', { recursive: true });
await build({
  ...options,
  entryPoints: ['src/main.ts'],
  outfile: 'dist/app.js',
  format: 'iife',
  target: ['es2022'],
  banner: { js: `/* sources ${hash('src')} */` },
});
await build({ ...options, entryPoints: ['src/app.css'], outfile: 'dist/app.css' });
copyFileSync('src/index.html', 'dist/index.html');
