// In place of d3-transition, of which d3-zoom wants no more than this: the page moves by itself, in Graph.svelte.

import { selection } from 'd3-selection';

export const interrupt = (): void => {};

Object.assign(selection.prototype, {
  interrupt(this: unknown) {
    return this;
  },
});
