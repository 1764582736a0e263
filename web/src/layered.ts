// Where the boxes of one group stand. The rules are those of `cnnspec/drawing/layered.py`, to which a test holds
// this file, so that a page shows a network as `cnnspec draw` draws it: boxes below all that they read, few crossings,
// each place at the middle of its neighbours as far as the others of its layer let it.

export interface Point {
  x: number;
  y: number;
}

export interface Spacing {
  across: number;
  bends: number;
  down: number;
}

export interface Arrangement {
  tops: Point[];
  routes: Point[][];
  width: number;
  height: number;
}

export type Pair = [number, number];

const SWEEPS = 8;
const PASSES = 12;
const STRAIGHT = [1, 2, 8];
const SPINE = 10_000;

interface Net {
  widths: number[];
  heights: number[];
  ranks: number[];
  paths: number[][];
  boxes: number;
}

interface Link {
  one: number;
  other: number;
  shift: number;
  weight: number;
}

interface End {
  vertex: number;
  shift: number;
  weight: number;
}

export function arrange(
  sizes: Pair[],
  edges: Pair[],
  spacing: Spacing,
  anchors: Pair[] = edges.map(() => [0, 0]),
  last: number[] = [],
): Arrangement {
  const net: Net = {
    widths: sizes.map(([width]) => width),
    heights: sizes.map(([, height]) => height),
    ranks: ranksOf(sizes.length, edges, last),
    paths: [],
    boxes: sizes.length,
  };
  for (const [source, target] of edges) {
    const isDown = net.ranks[source] <= net.ranks[target];
    const [low, high] = isDown ? [source, target] : [target, source];
    const path = [low];
    for (let rank = net.ranks[low] + 1; rank < net.ranks[high]; rank++) path.push(bend(net, rank));
    path.push(high);
    net.paths.push(isDown ? path : path.reverse());
  }
  const spine = spineOf(net, edges);
  const links = net.paths.flatMap((path, number) => linksOf(net, path, anchors[number], spine));
  const layers = ordered(net, links);
  const xs = across(net, links, layers, spacing);
  const tops = new Array<number>(xs.length).fill(0);
  const bands: Pair[] = [];
  let y = 0;
  for (const layer of layers) {
    const height = Math.max(0, ...layer.map((vertex) => net.heights[vertex]));
    for (const vertex of layer) tops[vertex] = isBend(net, vertex) ? y : y + (height - net.heights[vertex]) / 2;
    bands.push([y, y + height]);
    y += height + spacing.down;
  }
  let left = Infinity;
  let right = -Infinity;
  xs.forEach((x, vertex) => {
    left = Math.min(left, x - net.widths[vertex] / 2);
    right = Math.max(right, x + net.widths[vertex] / 2);
  });
  if (!xs.length) left = right = 0;
  const points = xs.map((x, vertex) => ({ x: x - left, y: tops[vertex] }));
  const routes = net.paths.map((path, number) => routeOf(net, path, points, bands, anchors[number]));
  return { tops: points.slice(0, net.boxes), routes, width: right - left, height: y - spacing.down };
}

function bend(net: Net, rank: number): number {
  net.widths.push(0);
  net.heights.push(0);
  net.ranks.push(rank);
  return net.widths.length - 1;
}

const isBend = (net: Net, vertex: number) => vertex >= net.boxes;

function spineOf(net: Net, edges: Pair[]): Set<string> {
  const longest = net.heights.slice();
  const before = new Map<number, number>();
  const sorted = edges.map((edge, number) => ({ edge, number }));
  sorted.sort((a, b) => net.ranks[a.edge[0]] - net.ranks[b.edge[0]] || a.number - b.number);
  for (const { edge: [source, target] } of sorted) {
    const length = longest[source] + net.heights[target] + 1;
    if (net.ranks[source] < net.ranks[target] && length > longest[target]) {
      longest[target] = length;
      before.set(target, source);
    }
  }
  let vertex = 0;
  longest.forEach((length, number) => {
    if (length > longest[vertex]) vertex = number;
  });
  const spine = new Set<string>();
  for (let source = before.get(vertex); source !== undefined; source = before.get(vertex)) {
    spine.add(`${source} ${vertex}`);
    vertex = source;
  }
  return spine;
}

function linksOf(net: Net, path: number[], anchor: Pair, spine: Set<string>): Link[] {
  const isSpine = spine.has(`${path[0]} ${path[path.length - 1]}`);
  return path.slice(1).map((other, number) => {
    const one = path[number];
    const leaves = number === 0 ? anchor[0] : 0;
    const enters = number === path.length - 2 ? anchor[1] : 0;
    const bends = Number(isBend(net, one)) + Number(isBend(net, other));
    return { one, other, shift: leaves - enters, weight: isSpine ? SPINE : STRAIGHT[bends] };
  });
}

function routeOf(net: Net, path: number[], points: Point[], bands: Pair[], anchor: Pair): Point[] {
  const route: Point[] = [];
  const isUp = net.ranks[path[0]] > net.ranks[path[path.length - 1]];
  path.forEach((vertex, number) => {
    let x = points[vertex].x;
    const top = points[vertex].y;
    const bottom = top + net.heights[vertex];
    const [above, below] = bands[net.ranks[vertex]];
    let [enters, leaves] = isUp ? [below, above] : [above, below];
    if (number === 0) {
      x += anchor[0];
      enters = isUp ? top : bottom;
    }
    if (number === path.length - 1) {
      x += anchor[1];
      leaves = isUp ? bottom : top;
    }
    route.push({ x, y: enters });
    if (leaves !== enters) route.push({ x, y: leaves });
  });
  return route;
}

function ranksOf(count: number, edges: Pair[], last: number[]): number[] {
  let ranks = new Array<number>(count).fill(0);
  const forward = edges.filter(([source, target]) => source < target).sort((a, b) => a[1] - b[1]);
  for (const [source, target] of forward) ranks[target] = Math.max(ranks[target], ranks[source] + 1);
  const lowest = Math.max(0, ...ranks);
  for (const vertex of last) ranks[vertex] = lowest;
  for (const [source, target] of edges) {
    if (ranks[source] === ranks[target] && source !== target) {
      const limit = ranks[target];
      ranks = ranks.map((rank, vertex) => rank + Number(rank >= limit && vertex !== source));
    }
  }
  return ranks;
}

function neighbours(net: Net, links: Link[]): [End[][], End[][]] {
  const above: End[][] = net.ranks.map(() => []);
  const below: End[][] = net.ranks.map(() => []);
  for (const { one, other, shift, weight } of links) {
    if (net.ranks[one] < net.ranks[other]) {
      below[one].push({ vertex: other, shift: -shift, weight });
      above[other].push({ vertex: one, shift, weight });
    } else {
      below[other].push({ vertex: one, shift, weight });
      above[one].push({ vertex: other, shift: -shift, weight });
    }
  }
  return [above, below];
}

function ordered(net: Net, links: Link[]): number[][] {
  const [above, below] = neighbours(net, links);
  const layers: number[][] = Array.from({ length: Math.max(-1, ...net.ranks) + 1 }, () => []);
  for (const vertex of byDepth(net, below, above)) layers[net.ranks[vertex]].push(vertex);
  let best = layers.map((layer) => layer.slice());
  let fewest = crossings(layers, below);
  const places = new Array<number>(net.ranks.length).fill(0);
  const middles = new Array<number>(net.ranks.length).fill(0);
  for (let turn = 0; turn < SWEEPS && fewest; turn++) {
    const isDown = turn % 2 === 0;
    const near = isDown ? above : below;
    for (let step = 1; step < layers.length; step++) {
      const number = isDown ? step : layers.length - 1 - step;
      layers[isDown ? number - 1 : number + 1].forEach((vertex, place) => (places[vertex] = place));
      layers[number].forEach((vertex, place) => {
        const ends = near[vertex];
        middles[vertex] = ends.length ? ends.reduce((sum, end) => sum + places[end.vertex], 0) / ends.length : place;
      });
      layers[number].sort((a, b) => middles[a] - middles[b]);
    }
    const found = crossings(layers, below);
    if (found < fewest) {
      best = layers.map((layer) => layer.slice());
      fewest = found;
    }
  }
  return best;
}

function byDepth(net: Net, below: End[][], above: End[][]): number[] {
  const seen = new Set<number>();
  for (let start = 0; start < net.ranks.length; start++) {
    if (above[start].length && start < net.boxes) continue;
    const waiting = [start];
    while (waiting.length) {
      const vertex = waiting.pop()!;
      if (seen.has(vertex)) continue;
      seen.add(vertex);
      waiting.push(...below[vertex].map((end) => end.vertex).sort((a, b) => b - a));
    }
  }
  return [...seen];
}

function crossings(layers: number[][], below: End[][]): number {
  let count = 0;
  const places = new Map<number, number>();
  for (let number = 0; number + 1 < layers.length; number++) {
    places.clear();
    layers[number + 1].forEach((vertex, place) => places.set(vertex, place));
    const ends: number[] = []; // sorted
    for (const vertex of layers[number]) {
      const targets = below[vertex].map((end) => places.get(end.vertex)!).sort((a, b) => a - b);
      for (const target of targets) count += ends.length - firstBeyond(ends, target);
      for (const target of targets) ends.splice(firstBeyond(ends, target), 0, target);
    }
  }
  return count;
}

function firstBeyond(sorted: number[], value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

function across(net: Net, links: Link[], layers: number[][], spacing: Spacing): number[] {
  const [above, below] = neighbours(net, links);
  const xs = new Array<number>(net.ranks.length).fill(0);
  const gaps = layers.map((layer) => gapsOf(net, layer, spacing));
  layers.forEach((layer, number) => {
    let x = 0;
    layer.forEach((vertex, place) => (xs[vertex] = x += gaps[number][place]));
    const middle = layer.length ? (xs[layer[0]] + xs[layer[layer.length - 1]]) / 2 : 0;
    for (const vertex of layer) xs[vertex] -= middle;
  });
  for (let turn = 0; turn < PASSES; turn++) {
    const isDown = turn % 2 === 0;
    const near = isDown ? above : below;
    for (let step = 0; step < layers.length; step++) {
      const number = isDown ? step : layers.length - 1 - step;
      const layer = layers[number];
      const wanted = layer.map((vertex) => middleOf(vertex, near[vertex], xs));
      fitted(wanted, gaps[number]).forEach((x, place) => (xs[layer[place]] = x));
    }
  }
  return xs;
}

function gapsOf(net: Net, layer: number[], spacing: Spacing): number[] {
  return layer.map((vertex, place) => {
    if (!place) return 0;
    const before = layer[place - 1];
    const room = isBend(net, before) || isBend(net, vertex) ? spacing.bends : spacing.across;
    return (net.widths[before] + net.widths[vertex]) / 2 + room;
  });
}

function middleOf(vertex: number, near: End[], xs: number[]): Pair {
  if (!near.length) return [xs[vertex], 0.1];
  const pairs = near.map((end): Pair => [xs[end.vertex] + end.shift, end.weight]);
  pairs.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const total = pairs.reduce((sum, [, weight]) => sum + weight, 0);
  let reached = 0;
  for (const [number, [x, weight]] of pairs.entries()) {
    reached += weight;
    if (reached === total / 2) return [(x + pairs[number + 1][0]) / 2, total];
    if (reached > total / 2) return [x, total];
  }
  return [pairs[pairs.length - 1][0], total];
}

function fitted(wanted: Pair[], gaps: number[]): number[] {
  const blocks: [place: number, weight: number, many: number][] = [];
  const offsets: number[] = [];
  let offset = 0;
  wanted.forEach(([place, weight], number) => {
    offset += gaps[number];
    offsets.push(offset);
    let block: [number, number, number] = [place - offset, weight, 1];
    while (blocks.length && blocks[blocks.length - 1][0] > block[0]) {
      const before = blocks.pop()!;
      const both = before[1] + block[1];
      block = [(before[0] * before[1] + block[0] * block[1]) / both, both, before[2] + block[2]];
    }
    blocks.push(block);
  });
  const places = blocks.flatMap(([place, , many]) => new Array<number>(many).fill(place));
  return places.map((place, number) => place + offsets[number]);
}
