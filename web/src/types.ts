// What a page is given: the data that `cnnspec/drawing/page_data.py` writes.

import type { Intake } from './pixels';

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
  do?: 'concat' | 'join' | 'permute' | 'flatten' | 'shuffle' | 'regroup' | 'reduce';
  along?: number;
  w?: number[];
  whole?: number[];
  order?: number[];
  merged?: [number, number];
  factor?: number;
  groups?: [first: number, stop: number, outFirst: number, outStop: number][]; // of axes that become others
  gone?: number[]; // axes that a reduction takes away
  kept?: number[]; // its shape if they stayed, with size 1
  axis: number;
  parts: Part[];
  carriers: number[];
  lost: boolean;
}

export type Window =
  | { kind: 'sliding'; kernel: number; stride: number; dilation: number; before: number; after: number; border?: 'reflect' | 'replicate' | 'circular' }
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

export interface Rule {
  by: 'conv' | 'transposed' | 'linear' | 'max' | 'mean' | 'norm' | 'affine' | 'join' | 'concat' | 'same' | 'function';
  groups?: number;
  padded?: boolean;
  divisor?: number | null;
  eps?: number;
  scale?: number;
  shift?: number;
  sign?: string;
  known?: 'ReLU' | 'Tanh' | 'Sigmoid'; // which function
}

export interface Maps {
  shape: number[]; // classes, rows, columns
  range: [low: number, high: number];
}

export interface Sample {
  name: string;
  label: number | null;
  picture?: number[]; // channels, rows, columns
  ranges: [low: number, high: number][]; // of the tensors in eight bits
  strong?: Record<string, { unit: number; bias: number; terms: [place: number, x: number, w: number][] }[]>;
  why?: { classes: number[]; cam?: Maps; occlusion?: Maps };
  data: string;
}

export interface Computed {
  origin: string;
  trained: boolean;
  classes: string[];
  softmax: boolean;
  tensors: { layer: number; shape: number[]; exact: boolean; follows: boolean }[]; // `follows`: from what it reads, and is worked out here
  rules: Record<string, Rule>;
  weights: { layers: { layer: number; tensors: [name: string, shape: number[]][] }[]; data: string };
  camLayer: number | null;
  samples: Sample[];
  live?: { intake: Intake; layers: number[]; model: string }; // the network itself, to be run in the page
}

export interface Epoch {
  epoch: number;
  lr: number;
  train_loss: number | null;
  val_loss: number | null;
  [figure: `train_${string}` | `val_${string}`]: number | null | undefined; // each of the task's figures
  seconds: number;
  images_per_second: number;
}

export interface Judged {
  data: string;
  split: string;
  images: number;
  inputs: string; // what they are called
  loss: number;
  accuracy: number;
  top5: number | null;
  calibrationError: number;
  classes: [name: string, images: number, precision: number, recall: number, f1: number][];
  confusion: number[][] | null;
  worst: number[];
  bins: ([images: number, right: number, sure: number] | null)[];
  pictures: { row: number; true: number; predicted: number; probability: number; shape: number[] }[];
  pixels: string;
}

export interface RunData {
  name: string;
  network: string;
  variant: string | null;
  params: Record<string, string>;
  size: number;
  trained: number;
  classes: string[];
  epochs: number;
  figures: { key: string; title: string; share: boolean }[]; // of the task, the first of which chooses the best epoch
  metrics: Epoch[];
  best: number | null;
  result: Record<string, unknown> | null;
  config: Record<string, unknown>;
  environment: Record<string, unknown>;
  judged?: Judged;
}

export interface Side {
  name: string;
  call: string;
  output_shape: Shape;
  params: number;
  macs: number;
}

export interface Difference {
  before: { name: string; input: Shape };
  after: { name: string; input: Shape };
  equal: boolean;
  outputs_moved: boolean;
  training_differs: boolean;
  same: number;
  renamed: number;
  changes: { kind: 'added' | 'removed' | 'changed' | 'resized'; reads_changed: boolean; before: Side | null; after: Side | null }[];
  totals: Record<string, { before: number | null; after: number | null; ratio: number | null }>;
}

// Two networks side by side.
export interface DiffData {
  difference: Difference;
  names: [string, string];
  networks: [PageData, PageData];
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
  computed?: Computed;
  runs?: RunData[]; // one, or two side by side
}

export const INPUT = -1; // the number of the network's input among what layers read
