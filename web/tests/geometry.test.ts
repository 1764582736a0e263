// What the page works out by itself is what Python works out: fields of units, places of boxes, sizes of windows.
// `python tests/pages/figures.py` writes the figures that it is held to.

import { describe, expect, test } from 'vitest';
import { unitField } from '../src/fields';
import { arrange } from '../src/layered';
import { worked } from '../src/sizes';
import { Layouts } from '../src/layout';
import type { PageData } from '../src/types';
import text from './figures.json?raw';

interface Figures {
  networks: { name: string; data: PageData; units: [layer: number, unit: number[], unclipped: number[][] | null, clipped: number[][] | null, pixels: number[], context: boolean][] }[];
  layouts: { given: Parameters<typeof arrange>; points: number[][] }[];
  sizes: [input: number, kernel: number, stride: number, padding: number, dilation: number, output: number][];
}

const figures = JSON.parse(text) as Figures;

describe.each(figures.networks)('$name', ({ data, units }) => {
  test('the field of every unit', () => {
    expect(units.length).toBeGreaterThan(8);
    for (const [layer, unit, unclipped, clipped, pixels, context] of units) {
      const field = unitField(data, layer, unit)!;
      const where = `${data.layers[layer].name} ${unit}`;
      if (unclipped) expect(field.unclipped, where).toEqual(unclipped);
      expect(field.clipped, where).toEqual(clipped);
      if (clipped) expect(field.pixels, where).toEqual(pixels);
      expect(field.context, where).toBe(context);
    }
  }, 120_000);

  test('boxes of one group lie beside each other', () => {
    const scene = new Layouts(data).scene(new Set());
    const boxes = scene.boxes.filter((box) => box.depth === 1);
    for (const [place, one] of boxes.entries())
      for (const other of boxes.slice(place + 1)) {
        const across = Math.min(one.x + one.width, other.x + other.width) - Math.max(one.x, other.x);
        const down = Math.min(one.y + one.height, other.y + other.height) - Math.max(one.y, other.y);
        expect(Math.min(across, down), `${one.box.name} and ${other.box.name}`).toBeLessThanOrEqual(0.001);
      }
  });
});

test('boxes stand where Python puts them', () => {
  expect(figures.layouts.length).toBeGreaterThan(20);
  for (const { given, points } of figures.layouts) {
    const { tops, routes, width, height } = arrange(...given);
    const found = [...tops, ...routes.flat(), { x: width, y: height }].map(({ x, y }) => [x, y]);
    expect(found.length).toBe(points.length);
    found.forEach((point, place) => point.forEach((each, axis) => expect(each).toBeCloseTo(points[place][axis], 6)));
  }
});

test('sizes are those of calc', () => {
  expect(figures.sizes.length).toBeGreaterThan(50);
  for (const [input, kernel, stride, padding, dilation, output] of figures.sizes)
    expect(Math.max(0, worked({ input, kernel, stride, padding, dilation }).output)).toBe(output);
});
