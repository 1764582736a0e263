// Which layers of two networks differ, and how. Where equal groups are drawn once, the one that is drawn has the marks of all.

import type { Difference } from './types';
import type { View } from './view.svelte';

export function markChanges(difference: Difference, views: [View, View]): void {
  for (const [place, side] of (['before', 'after'] as const).entries()) {
    const { index } = views[place];
    const marks = new Map<number, string>();
    for (const change of difference.changes) {
      const layer = change[side] ? index.number(change[side].name) : undefined;
      if (layer !== undefined) marks.set(index.standsFor(layer), change.kind).set(layer, change.kind);
    }
    views[place].marks = marks;
  }
}
