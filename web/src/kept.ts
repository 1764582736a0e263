// What is kept of a layer's values, as `cnnspec/pages/computed.py` keeps it: all, or the first maps at a small size.

import { size } from './numbers';

// `values` of the shape `whole` in the shape `kept`: first channels, of volumes the plane in the middle, means of cells.
export function kept(values: Float32Array, whole: number[], kept: number[]): Float32Array {
  if (size(whole) === size(kept)) return values.slice();
  if (whole.length === 1) return values.slice(0, kept[0]);
  const [rows, columns] = whole.length === 2 ? [1, whole[1]] : whole.slice(-2);
  const [down, across] = kept.length === 2 ? [1, kept[1]] : kept.slice(-2);
  const planes = whole.length === 4 ? whole[1] : 1;
  const found = new Float32Array(size(kept));
  for (let channel = 0; channel < kept[0]; channel++) {
    const start = (channel * planes + Math.floor(planes / 2)) * rows * columns;
    for (let row = 0; row < down; row++)
      for (let column = 0; column < across; column++) {
        const [top, bottom] = cell(row, rows, down);
        const [left, right] = cell(column, columns, across);
        let sum = 0;
        for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) sum += values[start + y * columns + x];
        found[(channel * down + row) * across + column] = sum / ((bottom - top) * (right - left));
      }
  }
  return found;
}

const cell = (place: number, length: number, cells: number): [number, number] => [Math.floor((place * length) / cells), Math.floor(((place + 1) * length) / cells)];
