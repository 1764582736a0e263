// The boxes of a network with their places, given which groups are open. What is inside a group is laid out by itself;
// groups that look alike, inside too, share one layout.

import { arrange, type Pair, type Point } from './layered';
import { times } from './format';
import { INPUT, type Box, type PageData } from './types';

const SPACING = { across: 28, bends: 16, down: 34 };
export const ROW = 23;
export const HEAD = 19;
const CLOSED = 44;
const SIDE = 18;
const STACK = 4;
export const PILL = 24;

export interface Placed {
  box: Box;
  x: number; // of the upper left corner
  y: number;
  width: number;
  height: number;
  isOpen: boolean;
  depth: number;
  parent: string; // the name of the group around it
}

export interface Line {
  points: Point[];
  hasArrow: boolean;
  tensor: number;
}

export interface Label {
  x: number;
  y: number;
  text: string;
  anchor: 'start' | 'end';
}

export interface Pill {
  x: number;
  y: number;
  width: number;
  text: string;
  tensor: number;
  isInput: boolean;
}

export interface Scene {
  boxes: Placed[];
  lines: Line[];
  labels: Label[];
  pills: Pill[];
  width: number;
  height: number;
}

interface Laid {
  width: number;
  height: number;
  inside?: Inside;
}

interface Inside {
  children: Laid[];
  tops: Point[];
  routes: Point[][];
  left: number; // of what is inside
  ports: number[]; // right of the middle
  results: number[];
}

let context: CanvasRenderingContext2D | null = null;
const widths = new Map<string, number>();
const FONT = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif";

export function textWidth(text: string, size: number, isBold = false): number {
  const key = `${size} ${isBold} ${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    context ??= globalThis.document?.createElement('canvas').getContext('2d');
    if (context) context.font = `${isBold ? 600 : 400} ${size}px ${FONT}`;
    width = context ? context.measureText(text).width : text.length * size * 0.56;
    widths.set(key, width);
  }
  return width;
}

export const copiesOf = (box: Box) => box.copies?.length ?? 1;
export const stackOf = (box: Box) => STACK * Math.min(2, copiesOf(box) - 1);
export const badgeWidth = (box: Box) => textWidth(`× ${copiesOf(box)}`, 11, true) + 12;
export const heading = (box: Box) => (box.block && box.title ? `${box.title}  ${box.block}` : box.title);

function headingWidth(box: Box): number {
  const block = box.block ? textWidth(box.block, 11.5) + 7 : 0;
  return textWidth(box.title, 11.5, true) + block + (copiesOf(box) > 1 ? badgeWidth(box) + 7 : 0);
}

export class Layouts {
  private known = new Map<string, Laid>();
  private looks = new Map<Box, string>();
  private numbers = new Map<string, number>();

  constructor(private data: PageData) {}

  scene(open: ReadonlySet<string>): Scene {
    const root = this.data.root;
    const laid = this.group(root, open, true);
    const scene: Scene = { boxes: [], lines: [], labels: [], pills: [], width: laid.width, height: laid.height };
    this.put(root, laid, 0, 0, 0, scene, open);
    return scene;
  }

  private shape(tensor: number): string {
    return times(tensor === INPUT ? this.data.input : this.data.layers[tensor].shape);
  }

  private pillText(tensor: number): string {
    if (tensor === INPUT) return `input  ${times(this.data.input)}`;
    return this.data.outputs.includes(tensor) ? 'output' : 'output in training';
  }

  private laid(box: Box, open: ReadonlySet<string>): Laid {
    if (box.layers) return this.card(box);
    if (open.has(box.name)) return this.group(box, open, false);
    const count = textWidth(`${box.count!.toLocaleString('en')} layers`, 11);
    return { width: Math.max(96, Math.max(headingWidth(box), count) + 32), height: CLOSED };
  }

  private card(box: Box): Laid {
    const rows = box.layers!.map((number) => {
      const { op, details } = this.data.layers[number];
      return textWidth(op, 12, true) + (details ? textWidth(details, 12) + 6 : 0);
    });
    const head = box.title ? textWidth(box.title, 11) + (copiesOf(box) > 1 ? badgeWidth(box) + 7 : 0) + 8 : 0;
    const width = Math.max(88, Math.max(head, ...rows) + 26);
    return { width, height: rows.length * ROW + (box.title ? HEAD : 0) };
  }

  private group(box: Box, open: ReadonlySet<string>, isRoot: boolean): Laid {
    const key = isRoot ? '' : this.look(box, open);
    const known = key && this.known.get(key);
    if (known) return known;
    const children = box.children!.map((child) => this.laid(child, open));
    const ends = (tensors: number[]): Pair[] =>
      tensors.map((tensor) => (isRoot ? [textWidth(this.pillText(tensor), 11.5) + 26, PILL] : [0, 0]));
    const results = [...new Set(box.results!.map(([, tensor]) => tensor))];
    const first = box.ports!.length;
    const behind = first + children.length;
    const sizes: Pair[] = [
      ...ends(box.ports!),
      ...children.map(({ width, height }): Pair => [width, height]),
      ...ends(results),
    ];
    const edges: Pair[] = [];
    const anchors: Pair[] = [];
    for (const [source, target, tensor] of box.edges!) {
      edges.push([source < 0 ? -1 - source : first + source, first + target]);
      const leaves = source < 0 ? 0 : resultAnchor(box.children![source], children[source], tensor);
      anchors.push([leaves, portAnchor(box.children![target], children[target], tensor)]);
    }
    for (const [child, tensor] of box.results!) {
      edges.push([first + child, behind + results.indexOf(tensor)]);
      anchors.push([resultAnchor(box.children![child], children[child], tensor), 0]);
    }
    const last = isRoot ? [] : results.map((_, number) => behind + number);
    const { tops, routes, width: inner, height } = arrange(sizes, edges, SPACING, anchors, last);
    const width = isRoot ? inner : Math.max(inner + 2 * SIDE, headingWidth(box) + 20);
    const left = (width - inner) / 2;
    const laid: Laid = {
      width,
      height,
      inside: {
        children,
        tops: tops.slice(0),
        routes,
        left,
        ports: box.ports!.map((_, number) => tops[number].x + left - width / 2),
        results: results.map((_, number) => tops[behind + number].x + left - width / 2),
      },
    };
    if (key) this.known.set(key, laid);
    return laid;
  }

  // A word that groups share which look alike, given what is open inside of them.
  private look(box: Box, open: ReadonlySet<string>): string {
    const inside = box.children!.map((child) => {
      if (child.layers) return this.cardLook(child);
      return open.has(child.name) ? `(${this.look(child, open)})` : `[${child.title} ${child.block ?? ''} ${child.count} ${copiesOf(child)}]`;
    });
    const ports = new Map(box.ports!.map((tensor, number) => [tensor, -1 - number]));
    const results = [...new Set(box.results!.map(([, tensor]) => tensor))];
    const edges = box.edges!.map(([source, target, tensor]) => `${source}>${target}${source < 0 ? '' : `#${portsOf(box.children![target], tensor)}`}`);
    const given = box.results!.map(([child, tensor]) => `${child}:${results.indexOf(tensor)}`);
    const text = `${box.title} ${box.block ?? ''} ${copiesOf(box)} ${ports.size} ${edges} ${given} ${inside.join()}`;
    let number = this.numbers.get(text);
    if (number === undefined) this.numbers.set(text, (number = this.numbers.size));
    return String(number);
  }

  private cardLook(card: Box): string {
    let look = this.looks.get(card);
    if (look === undefined) {
      const rows = card.layers!.map((number) => `${this.data.layers[number].op} ${this.data.layers[number].details}`);
      look = `${card.title} ${copiesOf(card)} ${rows.join('|')}`;
      this.looks.set(card, look);
    }
    return look;
  }

  private put(box: Box, laid: Laid, x: number, y: number, depth: number, scene: Scene, open: ReadonlySet<string>): void {
    const { children, tops, routes, left, ports } = laid.inside!;
    const isRoot = depth === 0;
    const first = ports.length;
    const place = (point: Point) => ({ x: x + left + point.x, y: y + point.y });
    const lines: [source: number, target: number, tensor: number, isEdge: boolean][] = [
      ...box.edges!.map(([source, target, tensor]): [number, number, number, boolean] => [source, target, tensor, true]),
      ...box.results!.map(([child, tensor]): [number, number, number, boolean] => [child, -1, tensor, false]),
    ];
    const leaving = new Map<string, { source: number; tensor: number; routes: Point[][] }>();
    lines.forEach(([source, target, tensor, isEdge], number) => {
      const points = routes[number].map(place);
      const hasArrow = isEdge ? !children[target].inside : isRoot;
      scene.lines.push({ points, hasArrow, tensor });
      if (source >= 0 && (isEdge || isRoot)) {
        const key = `${source} ${tensor}`;
        if (!leaving.has(key)) leaving.set(key, { source, tensor, routes: [] });
        leaving.get(key)!.routes.push(points);
      }
    });
    for (const { source, tensor, routes } of leaving.values()) {
      const start = routes[0][0];
      const ends = routes.map((route) => route[route.length - 1].x);
      const isRight = ends.some((end) => end > start.x + 1) && ends.every((end) => end > start.x - 1);
      const below = stackOf(box.children![source]);
      scene.labels.push({
        x: start.x + (isRight ? -6 : 6),
        y: start.y + 14 + below,
        text: this.shape(tensor),
        anchor: isRight ? 'end' : 'start',
      });
    }
    box.children!.forEach((child, number) => {
      const inner = children[number];
      const top = place(tops[first + number]);
      const placed = { box: child, x: top.x - inner.width / 2, y: top.y, width: inner.width, height: inner.height };
      scene.boxes.push({ ...placed, isOpen: !!inner.inside, depth: depth + 1, parent: box.name });
      if (inner.inside) this.put(child, inner, placed.x, placed.y, depth + 1, scene, open);
    });
    if (isRoot) {
      const results = [...new Set(box.results!.map(([, tensor]) => tensor))];
      const pill = (tensor: number, top: Point, isInput: boolean) => {
        const text = this.pillText(tensor);
        const width = textWidth(text, 11.5) + 26;
        scene.pills.push({ x: place(top).x - width / 2, y: place(top).y, width, text, tensor, isInput });
      };
      box.ports!.forEach((tensor, number) => pill(tensor, tops[number], true));
      results.forEach((tensor, number) => pill(tensor, tops[first + children.length + number], false));
    }
  }
}

function portsOf(box: Box, tensor: number): number {
  return box.ports ? box.ports.indexOf(tensor) : 0;
}

function portAnchor(box: Box, laid: Laid, tensor: number): number {
  return laid.inside?.ports[portsOf(box, tensor)] ?? 0;
}

function resultAnchor(box: Box, laid: Laid, tensor: number): number {
  if (!laid.inside) return 0;
  const results = [...new Set(box.results!.map(([, each]) => each))];
  return laid.inside.results[Math.max(0, results.indexOf(tensor))] ?? 0; // of several copies the last one gives it
}

export function path(points: Point[]): string {
  let words = `M${points[0].x.toFixed(1)} ${points[0].y.toFixed(1)}`;
  for (let number = 1; number < points.length; number++) {
    const [start, end] = [points[number - 1], points[number]];
    if (Math.abs(start.x - end.x) < 0.05) words += `V${end.y.toFixed(1)}`;
    else {
      const middle = ((start.y + end.y) / 2).toFixed(1);
      words += `C${start.x.toFixed(1)} ${middle} ${end.x.toFixed(1)} ${middle} ${end.x.toFixed(1)} ${end.y.toFixed(1)}`;
    }
  }
  return words;
}
