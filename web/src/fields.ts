// Which pixels of the input a unit reads, exactly, as `cnnspec/analysis/unit_field.py` works it out: backwards from the
// unit, with the units that each layer needs of the one before as bits, one set for each axis. Units in the padding do
// not exist and are dropped where they would be.

import { INPUT, type Layer, type PageData, type Part, type Window } from './types';

export type Range = [first: number, last: number];
type Product = bigint[]; // for each axis of a tensor the units needed, as bits

export interface UnitField {
  unclipped: (Range | null)[]; // by arithmetic, padding included
  clipped: Range[] | null; // the hull of the pixels that are really read
  pixels: number[];
  products: Product[]; // of the input
  context: boolean;
  everything: boolean;
}

export interface Reads {
  layer: number; // the layer that is read, or the input
  taps: (number[] | null)[]; // on each spatial axis, not clipped; null for all of them
  sizes: number[];
}

const ALL = -1n;
const GONE = 9; // the axis of the input that had one unit when it was flattened away
const MOST_WORK = 1 << 21;
const bit = (place: number) => 1n << BigInt(place);
const full = (size: number) => bit(size) - 1n;

function within(bits: bigint, size: number): bigint {
  return bits & full(size);
}

function* units(bits: bigint, size: number): Generator<number> {
  const text = within(bits, size).toString(2);
  for (let place = text.length - 1; place >= 0; place--) if (text[place] === '1') yield text.length - 1 - place;
}

// The first and the last of the units, where they lie side by side.
function runOf(bits: bigint, size: number): Range | null {
  const text = within(bits, size).toString(2);
  return /^1+0*$/.test(text) ? [text.length - 1 - text.lastIndexOf('1'), text.length - 1] : null;
}

const areAll = (bits: bigint, size: number) => bits === ALL || within(bits, size) === full(size);

const floorDivide = (a: number, b: number) => Math.floor(a / b);

// What unit `i` reads along an axis, not clipped to it; null for all of the axis.
export function reads(window: Window, i: number): number[] | null {
  switch (window.kind) {
    case 'sliding': {
      const first = i * window.stride - window.before;
      return Array.from({ length: window.kernel }, (_, tap) => first + tap * window.dilation);
    }
    case 'transposed': {
      const taps = [];
      for (let tap = window.kernel - 1; tap >= 0; tap--) {
        const place = i + window.padding - tap * window.dilation;
        if (place % window.stride === 0) taps.push(place / window.stride);
      }
      return taps;
    }
    case 'adaptive': {
      const first = floorDivide(i * window.size, window.out);
      const end = -floorDivide(-(i + 1) * window.size, window.out);
      return Array.from({ length: end - first }, (_, tap) => first + tap);
    }
    case 'grouped': {
      const first = floorDivide(i, window.out) * window.size;
      return Array.from({ length: window.size }, (_, tap) => first + tap);
    }
    case 'shuffled':
      return [(i % window.groups) * (window.size / window.groups) + floorDivide(i, window.groups)];
    case 'listed': {
      const [first, count] = window.reads[i];
      return Array.from({ length: count }, (_, tap) => first + tap);
    }
    case 'global':
      return null;
  }
}

// The input that stands at a place beyond the axis.
function copied({ border, before, after }: Window & { kind: 'sliding' }, tap: number, size: number): number {
  if (tap >= 0 && tap < size) return tap;
  if (border === 'reflect') return tap < 0 ? -tap : 2 * (size - 1) - tap;
  if (border === 'replicate') return tap < 0 ? 0 : size - 1;
  const first = Math.max(0, -before);
  const around = size - first - Math.max(0, -after);
  return first + ((((tap - first) % around) + around) % around);
}

const isPoint = (window: Window) =>
  window.kind === 'sliding' && window.kernel === 1 && window.stride === 1 && !window.before && !window.after;

class TooMuch extends Error {}

class Backwards {
  private work = 0;

  constructor(
    private data: PageData,
    private everything: boolean,
  ) {}

  fromUnit(target: number, start: Product): Product[] {
    const wanted = new Map<number, Product[]>([[target, [start]]]);
    for (let number = target; number >= 0; number--) {
      const popped = wanted.get(number);
      if (!popped) continue;
      wanted.delete(number);
      for (const needed of popped) {
        for (const [name, before] of this.before(number, needed)) {
          if (before.some((bits) => bits === 0n)) continue;
          if (!wanted.has(name)) wanted.set(name, []);
          add(wanted.get(name)!, before);
          this.charge(1 + wanted.get(name)!.length);
        }
      }
    }
    return wanted.get(INPUT) ?? [];
  }

  private charge(work: number): void {
    this.work += work;
    if (this.work > MOST_WORK) throw new TooMuch();
  }

  private *before(number: number, needed: Product): Generator<[number, Product]> {
    const layer = this.data.layers[number];
    const shape = layer.shapes[0];
    if (layer.do === 'concat') {
      let start = 0;
      for (const [place, name] of layer.reads.entries()) {
        const size = layer.shapes[place][layer.along!];
        const part = needed.slice();
        part[layer.along!] = (needed[layer.along!] >> BigInt(start)) & full(size);
        yield [name, part];
        start += size;
      }
    } else if (layer.do === 'regroup') {
      let whole: Product[] = [[]];
      for (const [first, stop, outFirst, outStop] of layer.groups!) {
        const flat = this.flattened(needed.slice(outFirst, outStop), layer.shape.slice(outFirst, outStop));
        const parts = [...this.unflattened(flat, shape.slice(first, stop))];
        whole = whole.flatMap((start) => parts.map((part) => [...start, ...part]));
        this.charge(whole.length);
      }
      for (const part of whole) yield [layer.reads[0], this.local(layer.reads[0], part)];
    } else if (layer.do === 'join') {
      yield* this.beforeJoin(layer, needed);
    } else if (layer.do === 'permute') {
      yield [layer.reads[0], shape.map((_, axis) => needed[layer.order!.indexOf(axis)])];
    } else if (layer.do === 'flatten') {
      const [first, last] = layer.merged!;
      for (const part of this.unflattened(needed[first], shape.slice(first, last + 1)))
        yield [layer.reads[0], [...needed.slice(0, first), ...part, ...needed.slice(first + 1)]];
    } else {
      const numbers = this.everything && layer.whole ? layer.whole : layer.w!;
      const windows = numbers.map((each) => this.data.windows[each]);
      const own = layer.kept ?? layer.shape;
      const rest = needed.values();
      const every = layer.gone ? shape.map((_, axis) => (layer.gone!.includes(axis) ? 1n : rest.next().value!)) : needed;
      for (const part of this.apart(layer, own, windows, every)) {
        const befores =
          layer.do === 'shuffle'
            ? [...this.beforeShuffle(layer.factor!, shape, part)]
            : [windows.map((window, axis) => this.through(window, part[axis], shape[axis], own[axis]))];
        for (const before of befores) yield [layer.reads[0], this.local(layer.reads[0], before)];
      }
    }
  }

  private *beforeJoin(layer: Layer, needed: Product): Generator<[number, Product]> {
    const fields = layer.reads.map((name) => fieldOf(this.data, name));
    const axis = fields[0].axis;
    const isAll = this.isAll;
    const here = fields.map((field) => field.parts.every(isAll));
    let cuts: [bigint, boolean[]][];
    if (this.everything || !fields.some((field) => field.parts.some(isAll))) cuts = [[ALL, here.map(() => false)]];
    else if (fields.some((field) => field.axis !== axis)) cuts = [[ALL, here]];
    else {
      cuts = [[ALL, []]];
      for (const field of fields)
        cuts = cuts.flatMap(([channels, others]) =>
          field.parts
            .filter((part) => channels & channelsOf(part))
            .map((part): [bigint, boolean[]] => [channels & channelsOf(part), [...others, isAll(part)]]),
        );
    }
    for (const [channels, global] of cuts) {
      const part = needed.slice();
      part[axis] &= channels;
      for (const [place, name] of layer.reads.entries())
        if (!global[place] || global.every(Boolean))
          yield [name, part.map((bits, each) => (layer.shapes[place][each] === 1 && bits ? 1n : bits))];
    }
  }

  private isAll = (part: Part): boolean => part.state !== INPUT && this.data.states[part.state].all;

  private *apart(layer: Layer, own: number[], windows: Window[], needed: Product): Generator<Product> {
    const field = fieldOf(this.data, layer.reads[0]);
    const kinds = new Set(field.parts.map(this.isAll));
    const window = windows[field.axis];
    const size = layer.shapes[0][field.axis];
    if (this.everything || kinds.size === 1 || window.kind === 'global' || isPoint(window)) {
      yield needed;
      return;
    }
    const local = this.localChannels(field);
    const groups = new Map<number, bigint>();
    for (const unit of units(needed[field.axis], own[field.axis])) {
      this.charge(1);
      const group =
        layer.do === 'shuffle' ? unit : Number((asBits(inside(reads(window, unit)!, size)) & local) !== 0n);
      groups.set(group, (groups.get(group) ?? 0n) | bit(unit));
    }
    for (const channels of groups.values()) {
      const part = needed.slice();
      part[field.axis] = channels;
      yield part;
    }
  }

  local(name: number, needed: Product): Product {
    const field = fieldOf(this.data, name);
    if (this.everything || !field.parts.some(this.isAll)) return needed;
    const part = needed.slice();
    part[field.axis] = needed[field.axis] & this.localChannels(field) || needed[field.axis];
    return part;
  }

  private localChannels(field: Field): bigint {
    return field.parts
      .filter((part) => !this.isAll(part))
      .reduce((bits, part) => bits | channelsOf(part), 0n);
  }

  private through(window: Window, bits: bigint, size: number, own: number): bigint {
    if (isPoint(window) || !bits) return bits;
    const whole = size > 1 ? ALL : 1n;
    if (window.kind === 'global') return whole;
    if (window.kind === 'sliding' && window.border) return this.withCopies(window, bits, size, own);
    if (window.kind === 'sliding' && window.kernel === 1 && window.stride === 1) {
      const moved =
        window.before > 0 ? within(bits, own) >> BigInt(window.before) : within(bits, own) << BigInt(-window.before);
      return within(moved, size);
    }
    if (areAll(bits, own) && ['grouped', 'shuffled', 'adaptive'].includes(window.kind)) return whole;
    const run = window.kind === 'sliding' && window.dilation === 1 && window.stride <= window.kernel && runOf(bits, own);
    if (run) {
      this.charge(1);
      const low = Math.max(0, run[0] * window.stride - window.before);
      const high = Math.min(size, run[1] * window.stride - window.before + window.kernel);
      return high - low === size ? whole : high > low ? full(high - low) << BigInt(low) : 0n;
    }
    let read = 0n;
    for (const unit of units(bits, own)) {
      this.charge(1);
      const taps = inside(reads(window, unit)!, size);
      if (taps.length === size) return whole;
      read |= asBits(taps);
    }
    return read;
  }

  // The same for a window whose padding is copies of the axis: of units in it, the inputs that are copied.
  private withCopies(window: Window & { kind: 'sliding' }, bits: bigint, size: number, own: number): bigint {
    let read = 0n;
    for (const unit of units(bits, own)) {
      this.charge(1);
      for (const tap of reads(window, unit)!) {
        const place = copied(window, tap, size);
        if (place >= 0 && place < size) read |= bit(place);
      }
    }
    return read === full(size) ? (size > 1 ? ALL : 1n) : read;
  }

  // A product over some axes as units of the flat axis that they make.
  private flattened(needed: Product, shape: number[]): bigint {
    const count = shape.reduce((product, size) => product * size, 1);
    if (needed.every((bits, axis) => areAll(bits, shape[axis]))) return count > 1 ? ALL : 1n;
    let bits = within(needed[needed.length - 1], shape[shape.length - 1]);
    let each = shape[shape.length - 1];
    for (let axis = shape.length - 2; axis >= 0; axis--) {
      let rows = 0n;
      for (const unit of units(needed[axis], shape[axis])) {
        this.charge(1);
        rows |= bits << BigInt(unit * each);
      }
      [bits, each] = [rows, each * shape[axis]];
    }
    return bits;
  }

  private *unflattened(bits: bigint, shape: number[]): Generator<Product> {
    if (bits === ALL) {
      yield shape.map((size) => (size > 1 ? ALL : 1n));
      return;
    }
    if (shape.length === 1) {
      yield [bits];
      return;
    }
    const each = shape.slice(1).reduce((product, size) => product * size, 1);
    const parts = new Map<bigint, bigint>();
    for (let unit = 0; unit < shape[0]; unit++) {
      const needed = (bits >> BigInt(unit * each)) & full(each);
      if (needed) parts.set(needed, (parts.get(needed) ?? 0n) | bit(unit));
      this.charge(1);
    }
    for (const [needed, first] of parts) for (const rest of this.unflattened(needed, shape.slice(1))) yield [first, ...rest];
  }

  // Unit (y, x) of channel c is unit (y//r, x//r) of channel `c*r*r + (y%r)*r + x%r`.
  private *beforeShuffle(factor: number, shape: number[], [channels, ...places]: Product): Generator<Product> {
    const axes = places.map((bits, axis) => {
      const phases = new Array<bigint>(factor).fill(0n);
      for (const unit of units(bits, shape[axis + 1] * factor)) phases[unit % factor] |= bit(floorDivide(unit, factor));
      return phases;
    });
    let kept = 0n;
    for (const channel of units(channels, shape[0] / factor ** 2)) kept |= bit(channel * factor ** 2);
    for (let y = 0; y < factor; y++)
      for (let x = 0; x < factor; x++)
        if (axes[0][y] && axes[1][x]) {
          this.charge(1);
          yield [kept << BigInt(y * factor + x), axes[0][y], axes[1][x]];
        }
  }
}

type Field = Pick<Layer, 'axis' | 'parts' | 'carriers' | 'lost'>;

const PIXELS: Part[] = [{ state: INPUT }]; // each sees itself

function fieldOf(data: PageData, number: number): Field {
  if (number !== INPUT) return data.layers[number];
  return { axis: 0, parts: PIXELS, carriers: data.input.slice(1).map((_, axis) => axis + 1), lost: false };
}

const channelsCache = new WeakMap<Part, bigint>();

function channelsOf(part: Part): bigint {
  if (!part.channels) return ALL;
  let bits = channelsCache.get(part);
  if (bits === undefined) {
    bits = 0n;
    for (const [start, stop, step] of part.channels)
      for (let channel = start; channel < stop; channel += step) bits |= bit(channel);
    channelsCache.set(part, bits);
  }
  return bits;
}

const inside = (taps: number[], size: number) => taps.filter((tap) => tap >= 0 && tap < size);

function asBits(taps: number[]): bigint {
  return taps.reduce((bits, tap) => bits | bit(tap), 0n);
}

const contains = (outer: Product, inner: Product) => inner.every((bits, axis) => (bits & outer[axis]) === bits);

function add(products: Product[], fresh: Product): void {
  if (products.some((old) => contains(old, fresh))) return;
  for (let place = products.length - 1; place >= 0; place--)
    if (contains(fresh, products[place])) products.splice(place, 1);
  products.push(fresh);
}

// How many units a layer has on each axis of its own that lies on one of the input; null where none has a place.
export function unitSizes(data: PageData, number: number): number[] | null {
  const layer = data.layers[number];
  if (!layer.carriers.length || layer.lost) return null;
  return ownOrder(layer).map((axis) => (layer.carriers[axis] === GONE ? 1 : layer.shape[layer.carriers[axis]]));
}

function ownOrder(field: Field): number[] {
  return field.carriers.map((_, axis) => axis).sort((a, b) => field.carriers[a] - field.carriers[b]);
}

// The field of a unit, given by its place along each axis of the layer. Null where it is too irregular to be worked out.
export function unitField(data: PageData, number: number, unit: number[]): UnitField | null {
  const layer = data.layers[number];
  const order = ownOrder(layer);
  const places = order.map((_, axis) => unit[order.indexOf(axis)]);
  const states = layer.parts.map((part) => data.states[part.state]);
  const everything = states.every((state) => state.all);
  const seen = states.filter((state) => state.all === everything);
  const start: Product = layer.shape.map((size) => (size > 1 ? ALL : 1n));
  layer.carriers.forEach((carrier, axis) => {
    if (carrier !== GONE) start[carrier] = bit(places[axis]);
  });
  const walk = new Backwards(data, everything);
  let products: Product[];
  try {
    products = walk.fromUnit(number, walk.local(number, start));
  } catch (error) {
    if (error instanceof TooMuch) return null;
    throw error;
  }
  const sizes = data.input.slice(1);
  const extents = sizes.map((size, axis) => {
    const bits = products.reduce((all, product) => all | product[axis + 1], 0n);
    const own = [...units(bits, size)];
    return { range: [own[0], own[own.length - 1]] as Range, count: own.length };
  });
  const unclipped = sizes.map((size, axis): Range | null => {
    if (everything) return [0, size - 1];
    let range: Range | null = null;
    for (const state of seen)
      for (const band of state.bands[axis]) {
        const period = band.phases.length;
        const phase = period ? band.phases[places[axis] % period] : null;
        if (!phase) continue;
        const shift = floorDivide(places[axis], period) * band.step;
        const [low, high] = [phase[0] + shift, phase[1] + shift];
        range = range ? [Math.min(range[0], low), Math.max(range[1], high)] : [low, high];
      }
    return range;
  });
  return {
    unclipped,
    clipped: products.length ? extents.map(({ range }) => range) : null,
    pixels: extents.map(({ count }) => count),
    products,
    context: states.some((state) => state.context),
    everything,
  };
}

// What a unit reads of each layer that its own reads, along the spatial axes of that layer.
export function unitReads(data: PageData, number: number, unit: number[]): Reads[] {
  const layer = data.layers[number];
  return layer.reads.map((name, place) => {
    const shape = layer.shapes[place];
    const sizes = shape.slice(1);
    if (layer.do === 'concat' || layer.do === 'join')
      return { layer: name, sizes, taps: sizes.map((size, axis) => [size === 1 ? 0 : unit[axis]]) };
    if (layer.w && sizes.length === unit.length) {
      const windows = layer.w.slice(1).map((each) => data.windows[each]);
      if (layer.do === 'shuffle')
        return { layer: name, sizes, taps: unit.map((each) => [floorDivide(each, layer.factor!)]) };
      return { layer: name, sizes, taps: windows.map((window, axis) => reads(window, unit[axis])) };
    }
    return { layer: name, sizes, taps: sizes.map(() => null) };
  });
}

// The units of a layer that see a pixel of the input, as places along each axis. Null where there are too many to look
// at each.
export function unitsThatSee(data: PageData, number: number, pixel: number[]): number[][] | null {
  const sizes = unitSizes(data, number);
  if (!sizes) return null;
  const order = ownOrder(data.layers[number]);
  const middle = sizes.map((size) => floorDivide(size, 2));
  const along: number[][] = sizes.map((size, axis) => {
    const found = [];
    for (let place = 0; place < size; place++) {
      const field = unitField(data, number, middle.with(axis, place));
      const own = order[axis];
      if (field?.products.some((product) => (product[own + 1] >> BigInt(pixel[own])) & 1n)) found.push(place);
    }
    return found;
  });
  const count = along.reduce((product, places) => product * places.length, 1);
  if (count > 400) return null;
  let candidates: number[][] = [[]];
  for (const places of along) candidates = candidates.flatMap((start) => places.map((place) => [...start, place]));
  return candidates.filter((unit) => {
    const field = unitField(data, number, unit);
    return field?.products.some((product) => pixel.every((place, axis) => (product[axis + 1] >> BigInt(place)) & 1n));
  });
}
