// Trace files for the tests, in the layout of TRACE.md.
import { writeFileSync } from 'node:fs';

/** Writes weights `[head][query][key]` of one attention of `tokens` over themselves, for each layer. */
export function write(path, title, axes, sites) {
  const tensors = {};
  const chunks = [];
  let offset = 0;
  sites.forEach((site, index) => {
    const bytes = Buffer.from(Float32Array.from(site.weights).buffer);
    const shape = [site.heads, axes[site.queries].tokens.length, axes[site.keys].tokens.length];
    tensors[`${index}.weights`] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
    chunks.push(bytes);
  });
  const trace = {
    version: 2, title, model: 'made up', axes,
    sites: sites.map(({ name, layer, queries, keys, heads }) => ({ name, layer, queries, keys, heads, evidence: { weights: {} } })),
  };
  let header = JSON.stringify({ __metadata__: { 'regard.trace': JSON.stringify(trace) }, ...tensors });
  header += ' '.repeat((8 - (Buffer.byteLength(header) % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  writeFileSync(path, Buffer.concat([length, Buffer.from(header), ...chunks]));
}

/** Rows of softmax weights that favour one key of each query. */
export function heads(count, queries, keys, favourite, sharp = 3) {
  const weights = [];
  for (let head = 0; head < count; head++) {
    for (let query = 0; query < queries; query++) {
      const row = Array.from({ length: keys }, (_, key) =>
        Math.exp((sharp * (1 + head)) / (1 + Math.abs(key - favourite(query, head))) + 0.3 * Math.sin(key * 7 + query)));
      const sum = row.reduce((a, b) => a + b, 0);
      weights.push(...row.map(weight => weight / sum));
    }
  }
  return weights;
}

export const HOSTILE = [
  '<script>window.stolen = 1</script>', '<img src=x onerror="window.stolen = 2">', '</script>', '\u202eright to left',
  'שלום', 'مرحبا', '&amp;', '"><b>bold</b>', '\n', '\t', '', ' ', '😀', 'a'.repeat(400), '\u0000', '\u2028', '{{x}}', 'javascript:stolen()',
];
