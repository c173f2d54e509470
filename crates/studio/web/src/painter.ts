// Draws tiles into a canvas: by WebGL2, or, where there is none, pixel by pixel.

import { colour, cividis, DECADES, diverging, type Scale } from './colour.ts';
import { SIDE, type Tile } from './tiles.ts';

/** A tile, or two to be subtracted, and the part of the map that is drawn of it: positions of keys and queries. */
export interface Quad { tile: Tile; minus: Tile | null; left: number; top: number; right: number; bottom: number }

/** Device pixels a position, and the position at the canvas's corner. */
export interface Camera { scale: number; left: number; top: number }

export interface Painter {
  readonly kind: string;
  draw(quads: Quad[], camera: Camera, scale: Scale): void;
}

export function painter(canvas: HTMLCanvasElement): Painter {
  const wish = new URLSearchParams(location.search).get('paint');
  const gl = wish === 'canvas' ? null : canvas.getContext('webgl2', { antialias: false, alpha: true });
  return gl ? new Shader(gl, canvas) : new Plain(canvas);
}

const VERTEX = `#version 300 es
in vec2 corner; uniform vec4 box; uniform vec4 part; uniform vec4 other; out vec2 at; out vec2 there;
void main() { at = mix(part.xy, part.zw, corner); there = mix(other.xy, other.zw, corner);
  gl_Position = vec4(mix(box.xy, box.zw, corner), 0, 1); }`;
const FRAGMENT = `#version 300 es
precision highp float; precision highp sampler2D;
in vec2 at; in vec2 there; uniform sampler2D values; uniform sampler2D minus; uniform sampler2D colours;
uniform float top; uniform bool logarithmic; uniform bool both; out vec4 colour;
void main() {
  float value = texture(values, at).r; if (both) value -= texture(minus, there).r;
  float size = abs(value) / top;
  float share = logarithmic ? (size > 0.0 ? max(0.0, 1.0 + log(size) / ${(Math.LN10 * DECADES).toFixed(6)}) : 0.0) : size;
  float place = both ? 0.5 + 0.5 * sign(value) * share : share;
  colour = texture(colours, vec2((clamp(place, 0.0, 1.0) * 255.0 + 0.5) / 256.0, 0.5)); }`;

class Shader implements Painter {
  readonly kind = 'WebGL2';
  private textures = new Map<Tile, WebGLTexture>();
  private program!: WebGLProgram;
  private colours: WebGLTexture[] = [];

  constructor(private readonly gl: WebGL2RenderingContext, private readonly canvas: HTMLCanvasElement) {
    this.start();
    canvas.addEventListener('webglcontextlost', event => event.preventDefault());
    canvas.addEventListener('webglcontextrestored', () => this.start());
  }

  private start(): void {
    const { gl } = this;
    this.textures.clear();
    this.program = gl.createProgram()!;
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
      const shader = gl.createShader(kind)!;
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
    }
    gl.bindAttribLocation(this.program, 0, 'corner');
    gl.linkProgram(this.program);
    gl.useProgram(this.program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    ['values', 'minus', 'colours'].forEach((name, unit) => gl.uniform1i(gl.getUniformLocation(this.program, name), unit));
    this.colours = [cividis, diverging].map(table => {
      const texture = this.texture();
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, table);
      return texture;
    });
  }

  private texture(): WebGLTexture {
    const { gl } = this;
    const texture = gl.createTexture()!;
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const name of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, name, gl.NEAREST);
    for (const name of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, name, gl.CLAMP_TO_EDGE);
    return texture;
  }

  private values(tile: Tile, unit: number): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    const found = this.textures.get(tile);
    if (found) {
      this.textures.delete(tile);
      this.textures.set(tile, found);
      gl.bindTexture(gl.TEXTURE_2D, found);
      return;
    }
    const texture = this.texture();
    const { rows, columns, data } = tile.pixels;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, columns, rows, 0, gl.RED, gl.FLOAT, data);
    this.textures.set(tile, texture);
    if (this.textures.size > 240) {
      const [oldest, old] = this.textures.entries().next().value as [Tile, WebGLTexture];
      this.textures.delete(oldest);
      gl.deleteTexture(old);
    }
  }

  draw(quads: Quad[], camera: Camera, scale: Scale): void {
    const { gl, program, canvas } = this;
    const uniform = (name: string) => gl.getUniformLocation(program, name);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform1f(uniform('top'), scale.top);
    gl.uniform1i(uniform('logarithmic'), Number(scale.log));
    gl.uniform1i(uniform('both'), Number(scale.diverging));
    gl.activeTexture(gl.TEXTURE2);
    gl.bindTexture(gl.TEXTURE_2D, this.colours[Number(scale.diverging)]!);
    for (const quad of quads) {
      this.values(quad.tile, 0);
      this.values(quad.minus ?? quad.tile, 1);
      const x = (at: number) => (at - camera.left) * camera.scale * 2 / canvas.width - 1;
      const y = (at: number) => 1 - (at - camera.top) * camera.scale * 2 / canvas.height;
      gl.uniform4f(uniform('box'), x(quad.left), y(quad.top), x(quad.right), y(quad.bottom));
      gl.uniform4f(uniform('part'), ...part(quad, quad.tile));
      gl.uniform4f(uniform('other'), ...part(quad, quad.minus ?? quad.tile));
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
  }
}

/** Which part of a tile's pixels a quad shows, 0 to 1. */
function part(quad: Quad, tile: Tile): [number, number, number, number] {
  const stride = 2 ** tile.zoom;
  const across = (at: number) => (at / stride - tile.x * SIDE) / tile.pixels.columns;
  const down = (at: number) => (at / stride - tile.y * SIDE) / tile.pixels.rows;
  return [across(quad.left), down(quad.top), across(quad.right), down(quad.bottom)];
}

class Plain implements Painter {
  readonly kind = 'canvas';
  private readonly context: CanvasRenderingContext2D;
  private pictures = new Map<string, HTMLCanvasElement>();
  private numbers = new WeakMap<Tile, number>();
  private count = 0;

  constructor(private readonly canvas: HTMLCanvasElement) {
    this.context = canvas.getContext('2d')!;
  }

  draw(quads: Quad[], camera: Camera, scale: Scale): void {
    const { context, canvas } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = false;
    for (const quad of quads) {
      const picture = this.picture(quad, scale);
      const [left, top, right, bottom] = part(quad, quad.tile);
      const { rows, columns } = quad.tile.pixels;
      context.drawImage(picture, left * columns, top * rows, (right - left) * columns, (bottom - top) * rows,
        (quad.left - camera.left) * camera.scale, (quad.top - camera.top) * camera.scale,
        (quad.right - quad.left) * camera.scale, (quad.bottom - quad.top) * camera.scale);
    }
  }

  private number(tile: Tile): number {
    const found = this.numbers.get(tile) ?? ++this.count;
    this.numbers.set(tile, found);
    return found;
  }

  private picture({ tile, minus }: Quad, scale: Scale): HTMLCanvasElement {
    const name = `${this.number(tile)} ${minus ? this.number(minus) : 0} ${scale.top} ${scale.log} ${scale.diverging}`;
    const found = this.pictures.get(name);
    if (found) return found;
    const { rows, columns, data } = tile.pixels;
    const image = new ImageData(columns, rows);
    for (let at = 0; at < data.length; at++) {
      const [row, column] = [Math.floor(at / columns), at % columns];
      const other = minus ? under(minus, (tile.y * SIDE + row + 0.5) * 2 ** tile.zoom, (tile.x * SIDE + column + 0.5) * 2 ** tile.zoom) : 0;
      image.data.set([...colour(data[at]! - other, scale), 255], at * 4);
    }
    const picture = document.createElement('canvas');
    [picture.width, picture.height] = [columns, rows];
    picture.getContext('2d')!.putImageData(image, 0, 0);
    this.pictures.set(name, picture);
    if (this.pictures.size > 200) this.pictures.delete(this.pictures.keys().next().value as string);
    return picture;
  }
}

/** A tile's number at a query and a key. */
export function under(tile: Tile, query: number, key: number): number {
  const stride = 2 ** tile.zoom;
  const [row, column] = [Math.floor(query / stride) - tile.y * SIDE, Math.floor(key / stride) - tile.x * SIDE];
  return tile.pixels.data[row * tile.pixels.columns + column] ?? 0;
}
