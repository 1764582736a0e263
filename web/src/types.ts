// What a page is given: the data that `cnnspec/drawing/page_data.py` writes.

export type Shape = number[];
export type Edge = [source: number, target: number, tensor: number];

export interface Box {
  name: string;
  title: string;
  block?: string;
  copies?: string[];
  layers?: number[]; // of a card
  count?: number; // of a group, as all that follows
  children?: Box[];
  edges?: Edge[];
  ports?: number[];
  results?: [child: number, tensor: number][];
}

export interface Part {
  state: number;
  channels?: [start: number, stop: number, step: number][];
}

export interface Layer {
  name: string;
  op: string;
  kind: string;
  call: string;
  details: string;
  reads: number[];
  shape: Shape;
  shapes: Shape[];
  params: number;
  macs: number;
  flops: number | null;
  bytes: number;
  field: string;
  size: number[];
  stride: number[];
  padding: number[];
  line: number | null;
  aux?: boolean;
  dead?: boolean;
  told: number[][];
  do?: 'concat' | 'join' | 'permute' | 'flatten' | 'shuffle';
  w?: number[];
  whole?: number[];
  order?: number[];
  merged?: [number, number];
  factor?: number;
  axis: number;
  parts: Part[];
  carriers: number[];
  lost: boolean;
}

export type Window =
  | { kind: 'sliding'; kernel: number; stride: number; dilation: number; before: number; after: number }
  | { kind: 'transposed'; kernel: number; stride: number; dilation: number; padding: number }
  | { kind: 'adaptive'; size: number; out: number }
  | { kind: 'grouped'; size: number; out: number }
  | { kind: 'shuffled'; size: number; groups: number }
  | { kind: 'listed'; reads: [first: number, count: number][] }
  | { kind: 'global' };

export interface Band {
  step: number;
  phases: ([low: number, high: number] | null)[];
}

export interface State {
  all: boolean;
  context: boolean;
  bands: Band[][];
}

export interface Finding {
  code: string;
  severity: string;
  message: string;
  line: number | null;
  help: string | null;
  notes: string[];
  layers: string[];
}

export interface Kind {
  word: string;
  light: [ground: string, mark: string];
  dark: [ground: string, mark: string];
}

export interface PageData {
  cnnspec: string;
  name: string;
  description: string | null;
  reference: string | null;
  input: Shape;
  outputs: number[];
  trained: number[];
  purpose: string;
  totals: Record<string, number | null>;
  memory: Record<string, unknown>;
  convention: string;
  kinds: Record<string, Kind>;
  layers: Layer[];
  words: string[];
  windows: Window[];
  states: State[];
  root: Box;
  source: { path: string; text: string };
  findings: Finding[];
  pages: Record<string, string>;
}

export const INPUT = -1; // the number of the network's input among what layers read
