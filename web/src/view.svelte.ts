// What is looked at: one value that graph, table, source and inspector share.

import { Layouts, copiesOf } from './layout';
import { INPUT, type Box, type PageData } from './types';
import { Values } from './values.svelte';

export type Shading = 'kind' | 'params' | 'macs' | 'bytes';
export type Pane = 'graph' | 'table' | 'layer' | 'walk' | 'run' | 'calc' | 'source' | 'findings';
export type About = 'arithmetic' | 'field' | 'values';
export type Selected = { layer: number } | { group: string } | null;

const FITTING = 48; // boxes that are seen at first, at most

export class View {
  data = $state.raw<PageData>() as PageData;
  open = $state.raw<ReadonlySet<string>>(new Set());
  selected = $state.raw<Selected>(null);
  shading = $state<Shading>('kind');
  pane = $state<Pane>('graph');
  theme = $state<'light' | 'dark'>('light');
  hovered = $state<number | null>(null); // a layer whose row or box the pointer is on
  wanted = $state<About>('arithmetic'); // what is said of the layer that is selected
  sought = $state(0); // how often something was asked to be brought into sight

  marks: ReadonlyMap<number, string> | null = null; // of layers that differ from another network's: how
  values: Values | null = null; // what it computes, where that was recorded

  layouts = $derived(new Layouts(this.data));
  scene = $derived(this.layouts.scene(this.open));
  index = $derived(new Index(this.data));

  constructor(data: PageData) {
    this.data = data;
    this.open = firstOpen(data.root);
    if (data.computed) {
      this.values = new Values(data);
      this.wanted = 'values';
      this.pane = 'walk';
    }
    if (data.runs && !data.computed?.live) this.pane = 'run';
  }

  // Another state of the same network, as while it is edited: what is open and selected stays, where it is still there.
  update(data: PageData): void {
    const name = this.selected && 'layer' in this.selected ? this.data.layers[this.selected.layer]?.name : null;
    const wasKnown = this.index.groups;
    this.data = data;
    const fresh = [...firstOpen(data.root)].filter((group) => !wasKnown.has(group));
    this.open = new Set([...this.open, ...fresh].filter((group) => this.index.groups.has(group)));
    if (name !== null) {
      const layer = data.layers.findIndex((each) => each.name === name);
      this.selected = layer < 0 ? null : { layer };
    } else if (this.selected && 'group' in this.selected && !this.index.groups.has(this.selected.group)) this.selected = null;
    this.hovered = null;
  }

  toggle(group: string): void {
    const open = new Set(this.open);
    if (!open.delete(group)) open.add(group);
    this.open = open;
  }

  openAll(): void {
    this.open = new Set(this.index.groups.keys());
  }

  closeAll(): void {
    this.open = new Set();
  }

  // Select a layer and bring it into sight in graph and table.
  reveal(layer: number): void {
    const open = new Set(this.open);
    for (const group of this.index.around(layer)) open.add(group);
    if (open.size !== this.open.size) this.open = open;
    this.selected = { layer };
    this.sought++;
  }

  select(selected: Selected): void {
    this.selected = selected;
  }

  get layer(): number | null {
    return this.selected && 'layer' in this.selected ? this.selected.layer : null;
  }

  get group(): string | null {
    return this.selected && 'group' in this.selected ? this.selected.group : null;
  }
}

// Which box shows a layer, and what the groups come to.
export class Index {
  groups = new Map<string, Box>();
  parents = new Map<string, string>(); // of groups
  sums = new Map<Box, { params: number; macs: number; bytes: number; layers: number[] }>();
  private cards = new Map<number, { box: Box; parent: string }>();
  private byName = new Map<string, number>();
  private shown = new Map<number, number>();
  private copied: [copy: string, first: string][] = [];

  constructor(private data: PageData) {
    data.layers.forEach((layer, number) => this.byName.set(layer.name, number));
    this.visit(data.root, '');
  }

  private visit(box: Box, parent: string): { params: number; macs: number; bytes: number; layers: number[] } {
    for (const copy of box.copies?.slice(1) ?? []) this.copied.push([copy, box.copies![0]]);
    const sum = { params: 0, macs: 0, bytes: 0, layers: [] as number[] };
    if (box.layers) {
      for (const number of box.layers) {
        const { params, macs, bytes } = this.data.layers[number];
        this.cards.set(number, { box, parent });
        sum.params += params;
        sum.macs += macs;
        sum.bytes += bytes;
        sum.layers.push(number);
      }
    } else {
      if (box !== this.data.root) {
        this.groups.set(box.name, box);
        this.parents.set(box.name, parent);
      }
      for (const child of box.children!) {
        const inner = this.visit(child, box === this.data.root ? '' : box.name);
        sum.params += inner.params;
        sum.macs += inner.macs;
        sum.bytes += inner.bytes;
        sum.layers.push(...inner.layers);
      }
    }
    const copies = copiesOf(box);
    sum.params *= copies;
    sum.macs *= copies;
    sum.bytes *= copies;
    this.sums.set(box, sum);
    return sum;
  }

  // The layer that stands for one: in the first of the copies of each group around it.
  standsFor(layer: number): number {
    if (layer === INPUT) return INPUT;
    let found = this.shown.get(layer);
    if (found === undefined) {
      let name = this.data.layers[layer].name;
      for (const [copy, first] of this.copied)
        if (name === copy || name.startsWith(`${copy}.`)) name = first + name.slice(copy.length);
      found = this.byName.get(name) ?? layer;
      this.shown.set(layer, found);
    }
    return found;
  }

  // All layers that are drawn where this one is.
  copies(layer: number): number[] {
    const shown = this.standsFor(layer);
    return this.data.layers.map((_, number) => number).filter((number) => this.standsFor(number) === shown);
  }

  around(layer: number): string[] {
    const names = [];
    let name = this.cards.get(this.standsFor(layer))?.parent ?? '';
    while (name) {
      names.push(name);
      name = this.parents.get(name) ?? '';
    }
    return names;
  }

  card(layer: number): Box | undefined {
    return this.cards.get(this.standsFor(layer))?.box;
  }

  number(name: string): number | undefined {
    return this.byName.get(name);
  }
}

// The groups that are open at first: level by level, as long as not too much is seen.
function firstOpen(root: Box): Set<string> {
  const open = new Set<string>();
  let level = root.children ?? [];
  let seen = level.length;
  while (level.length) {
    const groups = level.filter((box) => box.children);
    const next = groups.flatMap((box) => box.children!);
    seen += next.length - groups.length;
    if (seen > FITTING || !groups.length) break;
    for (const box of groups) open.add(box.name);
    level = next;
  }
  return open;
}
