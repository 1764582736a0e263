// A training step as scenes, in the order in which it happens.

export interface ClassTerm {
  name: string;
  score: number;
  probability: number;
  target: number;
  error: number;
  probability_after: number;
}

export interface LayerGradient {
  layer: string;
  operator: string;
  shape: number[];
  signal: number | null;
  gradient: number | null;
  weights: number | null;
  update: number | null;
  blocked: number | null;
  blocked_channels: number | null;
}

export interface MovedWeight {
  tensor: string;
  index: number[];
  before: number;
  gradient: number;
  after: number;
  arithmetic: string[];
}

export interface StepData {
  network: string;
  start: string;
  image: string;
  label: string;
  loss: string;
  rule: string;
  classes: ClassTerm[];
  error: number;
  error_after: number;
  layers: LayerGradient[];
  moved: MovedWeight[];
  remarks: string[];
  picture: { shape: number[]; values: string } | null;
}

export const STAGES = ['The image', 'Forward', 'The error', 'Backward', 'The update', 'The same image again'] as const;
export type Stage = (typeof STAGES)[number];

// `layer` and `weight` are places in the lists of the data.
export type Scene = { stage: Stage; layer?: number; weight?: number };

const MOST_BACKWARD = 40; // scenes; of a deeper network only layers with weights have one

export function scenesOf(data: StepData): Scene[] {
  const reached = data.layers.flatMap(({ signal }, layer) => (signal === null ? [] : [layer])).reverse();
  const weighted = reached.filter((layer) => data.layers[layer].gradient !== null);
  return [
    { stage: 'The image' },
    { stage: 'Forward' },
    { stage: 'The error' },
    ...(reached.length > MOST_BACKWARD ? weighted : reached).map((layer): Scene => ({ stage: 'Backward', layer })),
    ...data.moved.map(({ tensor }, weight): Scene => ({ stage: 'The update', weight, layer: ownerOf(data, tensor) })),
    { stage: 'The same image again' },
  ];
}

// The layer whose tensor it is: the one with the longest name that begins it.
function ownerOf(data: StepData, tensor: string): number | undefined {
  let found: number | undefined;
  for (const [place, { layer }] of data.layers.entries())
    if ((tensor === layer || tensor.startsWith(`${layer}.`)) && (found === undefined || layer.length > data.layers[found].layer.length)) found = place;
  return found;
}

export interface Row extends ClassTerm {
  count: number; // classes that the row stands for
}

const MOST_ROWS = 12;

// The classes that are shown, in their order: of many those with the largest figures, and the others as one.
export function rowsOf(data: StepData): Row[] {
  const rows = data.classes.map((term) => ({ ...term, count: 1 }));
  if (rows.length <= MOST_ROWS) return rows;
  const weight = (row: Row) => row.target * 10 + Math.max(row.probability, row.probability_after, row.error);
  const kept = new Set([...rows].sort((a, b) => weight(b) - weight(a)).slice(0, MOST_ROWS - 1));
  const others = rows.filter((row) => !kept.has(row));
  const sum = (key: 'probability' | 'target' | 'error' | 'probability_after') => others.reduce((total, row) => total + row[key], 0);
  const rest: Row = {
    name: `${others.length} others`, score: NaN, probability: sum('probability'), target: sum('target'), error: sum('error'),
    probability_after: sum('probability_after'), count: others.length,
  };
  return [...rows.filter((row) => kept.has(row)), rest];
}

// Terms in print, so that they add up to the sum in print: what rounding leaves goes where it changes least.
export function rounded(terms: number[], total: number, digits = 6): string[] {
  const unit = 10 ** digits;
  const scaled = terms.map((term) => term * unit);
  const whole = scaled.map(Math.floor);
  const order = scaled.map((value, place) => [value - whole[place], place]).sort((a, b) => b[0] - a[0]);
  let left = Math.round(total * unit) - whole.reduce((sum, value) => sum + value, 0);
  for (const [, place] of order) if (left-- > 0) whole[place]++;
  return whole.map((value) => (value / unit).toFixed(digits));
}
