// How a unit comes of what it reads, in numbers: what `cnnspec/pages/rules.py` says a layer does, done for one unit.

import { reads } from './fields';
import { size } from './numbers';
import { INPUT, type PageData, type Rule, type Sample, type Window } from './types';

export interface Tensor {
  shape: number[]; // of what is kept
  values: Float32Array;
  exact: boolean; // whole, and as it was computed
}

// What one unit reads of one channel: cell by cell, in the order of the kernel.
export interface Patch {
  layer: number;
  channel: number;
  shape: number[]; // of the cells
  places: number[][]; // along the spatial axes
  x: number[]; // 0 where the padding is
  inside: boolean[];
  w?: number[];
  sum: number;
}

export interface Sum {
  rule: Rule;
  value: number; // as it was recorded
  computed: number | null; // from the numbers here; null where it is a function's that the page does not know
  patches: Patch[];
  bias?: number;
  winner?: number; // which cell of the first patch a largest value is
  divisor?: number;
  terms?: { place: number; x: number; w: number }[]; // of a dense layer, strongest first
  rest?: number; // what the other terms come to
  norm?: { x: number; mean: number; variance: number; weight: number; bias: number; eps: number };
  operands?: { layer: number; x: number }[];
}

const KNOWN = { ReLU: (x: number) => Math.max(0, x), Tanh: Math.tanh, Sigmoid: (x: number) => 1 / (1 + Math.exp(-x)) };

export class Recorded {
  tensors = new Map<number, Tensor>();

  constructor(
    private data: PageData,
    public sample: Sample,
    public weights: Map<number, Map<string, Tensor>>,
  ) {}

  rule(layer: number): Rule | undefined {
    return this.data.computed!.rules[String(layer)];
  }

  shapeOf(layer: number): number[] {
    return layer === INPUT ? this.data.input : this.data.layers[layer].shape;
  }

  // What a layer gave; one that only hands on what it reads is kept there.
  tensor(layer: number): Tensor | undefined {
    const own = this.tensors.get(layer);
    if (own || layer === INPUT || this.rule(layer)?.by !== 'same') return own;
    const read = this.tensor(this.data.layers[layer].reads[0]);
    if (!read || !read.exact) return read && read.shape.length === this.shapeOf(layer).length ? read : undefined;
    return { ...read, shape: this.shapeOf(layer) };
  }

  // One value, by channel and place; undefined where it is not kept.
  at(layer: number, unit: number[]): number | undefined {
    const tensor = this.tensor(layer);
    if (!tensor) return undefined;
    let place = 0;
    for (const [axis, length] of tensor.shape.entries()) {
      if (unit[axis] >= length) return undefined;
      place = place * length + unit[axis];
    }
    return tensor.values[place];
  }

  sum(number: number, unit: number[]): Sum | null {
    const layer = this.data.layers[number];
    const rule = this.rule(number);
    const own = this.tensor(number);
    if (!rule || !own?.exact) return null;
    const value = this.at(number, unit)!;
    const found: Sum = { rule, value, computed: null, patches: [] };
    if (rule.by === 'linear') return this.dense(number, unit[0], found);
    if (!layer.reads.every((read) => this.tensor(read)?.exact)) return null;
    switch (rule.by) {
      case 'conv':
      case 'transposed':
        return this.convolved(number, unit, found);
      case 'max':
      case 'mean': {
        const patch = this.patch(number, unit, unit[0]);
        found.patches = [patch];
        if (rule.by === 'max') {
          const largest = patch.x.reduce((best, x, cell) => (patch.inside[cell] && (best < 0 || x > patch.x[best]) ? cell : best), -1);
          found.winner = largest;
          found.computed = patch.x[largest];
        } else {
          found.divisor = rule.divisor ?? (rule.padded ? patch.x.length : patch.inside.filter(Boolean).length);
          found.computed = patch.x.reduce((total, x) => total + x, 0) / found.divisor;
        }
        return found;
      }
      case 'norm': {
        const [weight, bias, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map((name) => this.weights.get(number)?.get(name)?.values[unit[0]]);
        const x = this.at(layer.reads[0], unit)!;
        if (weight === undefined || bias === undefined || mean === undefined || variance === undefined) return null;
        found.norm = { x, mean, variance, weight, bias, eps: rule.eps! };
        found.computed = ((x - mean) / Math.sqrt(variance + rule.eps!)) * weight + bias;
        return found;
      }
      case 'affine': {
        const x = this.at(layer.reads[0], unit)!;
        found.operands = [{ layer: layer.reads[0], x }];
        found.computed = x * rule.scale! + rule.shift!;
        return found;
      }
      case 'join': {
        found.operands = layer.reads.map((read, each) => ({ layer: read, x: this.at(read, unit.map((place, axis) => (layer.shapes[each][axis] === 1 ? 0 : place)))! }));
        const [first, ...others] = found.operands.map(({ x }) => x);
        const steps: Record<string, (a: number, b: number) => number> = { '+': (a, b) => a + b, '−': (a, b) => a - b, '×': (a, b) => a * b, '/': (a, b) => a / b };
        found.computed = others.reduce(steps[rule.sign!], first);
        return found;
      }
      case 'concat': {
        const axis = layer.along!;
        let start = 0;
        for (const [place, read] of layer.reads.entries()) {
          const length = layer.shapes[place][axis];
          if (unit[axis] < start + length) {
            const x = this.at(read, unit.with(axis, unit[axis] - start))!;
            found.operands = [{ layer: read, x }];
            found.computed = x;
            break;
          }
          start += length;
        }
        return found;
      }
      case 'same':
        found.operands = [{ layer: layer.reads[0], x: value }];
        found.computed = value;
        return found;
      case 'function':
        found.operands = [{ layer: layer.reads[0], x: this.at(layer.reads[0], unit)! }];
        if (rule.known) found.computed = KNOWN[rule.known](found.operands[0].x);
        return found;
    }
  }

  // A layer that was not recorded, since it follows from what it reads.
  derive(number: number, shape: number[]): void {
    const values = new Float32Array(size(shape));
    this.tensors.set(number, { shape, values, exact: true });
    if (['conv', 'transposed', 'linear'].includes(this.rule(number)!.by)) return this.weigh(number, values);
    for (let place = 0; place < values.length; place++) {
      const unit = shape.toReversed();
      let rest = place;
      for (const [axis, length] of unit.entries()) [unit[axis], rest] = [rest % length, Math.floor(rest / length)];
      values[place] = this.sum(number, unit.reverse())!.computed!;
    }
  }

  // What `convolved` and `dense` do for one unit, for all of a layer: a dense layer is a convolution without axes.
  private weigh(number: number, values: Float32Array): void {
    const layer = this.data.layers[number];
    const { by, groups = 1 } = this.rule(number)!;
    const [kernel, bias] = ['weight', 'bias'].map((name) => this.weights.get(number)!.get(name)?.values);
    const x = this.tensor(layer.reads[0])!.values;
    const [read, ...sizes] = layer.shapes[0];
    const lengths = this.weights.get(number)!.get('weight')!.shape.slice(2);
    let cells: [tap: number, place: number][][] = [[[0, 0]]]; // of each unit of a channel
    for (const [axis, length] of sizes.entries()) {
      const window = this.data.windows[layer.w![axis + 1]];
      const along = Array.from({ length: layer.shape[axis + 1] }, (_, unit) => pairs(window, unit, length).filter(([, place]) => place >= 0 && place < length));
      cells = cells.flatMap((before) => along.map((own) => before.flatMap(([tap, place]) => own.map(([cell, at]): [number, number] => [tap * lengths[axis] + cell, place * length + at]))));
    }
    const flat = cells.map((each) => Int32Array.from(each.flat()));
    const [taps, plane, reads, gives] = [size(lengths), size(sizes), read / groups, layer.shape[0] / groups];
    for (let channel = 0; channel < layer.shape[0]; channel++) {
      const first = Math.floor(channel / gives) * reads;
      for (const [unit, each] of flat.entries()) {
        let sum = bias?.[channel] ?? 0;
        for (let part = 0; part < reads; part++) {
          const start = (by === 'transposed' ? (first + part) * gives + (channel % gives) : channel * reads + part) * taps;
          const from = (first + part) * plane;
          for (let cell = 0; cell < each.length; cell += 2) sum += x[from + each[cell + 1]] * kernel![start + each[cell]];
        }
        values[channel * flat.length + unit] = sum;
      }
    }
  }

  // The cells of one channel that a unit reads, along the spatial axes.
  private patch(number: number, unit: number[], channel: number): Patch {
    const layer = this.data.layers[number];
    const sizes = layer.shapes[0].slice(1);
    const axes = layer.w!.slice(1).map((each, axis) => pairs(this.data.windows[each], unit[axis + 1], sizes[axis]));
    let cells: number[][] = [[]];
    for (const axis of axes) cells = cells.flatMap((cell) => axis.map(([, place]) => [...cell, place]));
    const inside = cells.map((cell) => cell.every((place, axis) => place >= 0 && place < sizes[axis]));
    const x = cells.map((cell, index) => (inside[index] ? this.at(layer.reads[0], [channel, ...cell])! : 0));
    return { layer: layer.reads[0], channel, shape: axes.map((axis) => axis.length), places: cells, x, inside, sum: 0 };
  }

  private convolved(number: number, unit: number[], found: Sum): Sum | null {
    const layer = this.data.layers[number];
    const kernel = this.weights.get(number)?.get('weight');
    if (!kernel) return null;
    const groups = found.rule.groups!;
    const [reads, gives] = [layer.shapes[0][0] / groups, layer.shape[0] / groups];
    const group = Math.floor(unit[0] / gives);
    const sizes = layer.shapes[0].slice(1);
    const axes = layer.w!.slice(1).map((each, axis) => pairs(this.data.windows[each], unit[axis + 1], sizes[axis]));
    let taps: number[] = [0]; // where in the kernel
    const lengths = kernel.shape.slice(2);
    for (const [axis, along] of axes.entries()) taps = taps.flatMap((tap) => along.map(([each]) => tap * lengths[axis] + each));
    const each = size(lengths);
    for (let part = 0; part < reads; part++) {
      const channel = group * reads + part;
      const patch = this.patch(number, unit, channel);
      const start = found.rule.by === 'conv' ? unit[0] * reads + part : channel * gives + (unit[0] - group * gives);
      patch.w = taps.map((tap) => kernel.values[start * each + tap]);
      patch.sum = patch.x.reduce((total, x, cell) => total + x * patch.w![cell], 0);
      found.patches.push(patch);
    }
    found.bias = this.weights.get(number)!.get('bias')?.values[unit[0]];
    found.computed = found.patches.reduce((total, patch) => total + patch.sum, found.bias ?? 0);
    return found;
  }

  private dense(number: number, unit: number, found: Sum): Sum | null {
    const layer = this.data.layers[number];
    const own = this.weights.get(number);
    const read = this.tensor(layer.reads[0]);
    if (own && read?.exact) {
      const weight = own.get('weight')!;
      const count = weight.shape[1];
      const all = Array.from(read.values, (x, place) => ({ place, x, w: weight.values[unit * count + place] }));
      found.bias = own.get('bias')?.values[unit];
      found.computed = all.reduce((total, { x, w }) => total + x * w, found.bias ?? 0);
      found.terms = all.sort((a, b) => Math.abs(b.x * b.w) - Math.abs(a.x * a.w)).slice(0, 10);
    } else {
      const strong = this.sample.strong?.[String(number)]?.find((each) => each.unit === unit);
      if (!strong) return null;
      found.bias = strong.bias;
      found.terms = strong.terms.map(([place, x, w]) => ({ place, x, w }));
    }
    found.rest = found.value - (found.bias ?? 0) - found.terms.reduce((total, { x, w }) => total + x * w, 0);
    return found;
  }
}

// What a unit reads along an axis: which cell of the window, and where.
function pairs(window: Window, unit: number, length: number): [cell: number, place: number][] {
  if (window.kind === 'transposed') {
    const found: [number, number][] = [];
    for (let cell = window.kernel - 1; cell >= 0; cell--) {
      const place = unit + window.padding - cell * window.dilation;
      if (place % window.stride === 0) found.push([cell, place / window.stride]);
    }
    return found;
  }
  const taps = reads(window, unit) ?? Array.from({ length }, (_, place) => place);
  return taps.map((place, cell) => [cell, place]);
}
