// Which layers of two networks differ, and how. Where equal groups are drawn once, what is drawn has a paler mark if only
// some of them differ.

import type { Difference } from './types';
import type { View } from './view.svelte';

export function markChanges(difference: Difference, views: [View, View]): void {
  for (const [place, side] of (['before', 'after'] as const).entries()) {
    const { index } = views[place];
    const kinds = new Map<number, string>();
    for (const change of difference.changes) {
      const layer = change[side] ? index.number(change[side].name) : undefined;
      if (layer !== undefined) kinds.set(layer, change.kind);
    }
    const marks = new Map(kinds);
    for (const [layer, kind] of kinds) {
      const copies = index.copies(layer);
      marks.set(index.standsFor(layer), copies.every((copy) => kinds.has(copy)) ? kind : `some-${kind}`);
    }
    views[place].marks = marks;
  }
}
