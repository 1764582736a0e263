// A search as it is looked at: its trials, the axes that they are drawn on, and what is chosen of them.

import { bytes, short } from './format';

export type Value = number | string | boolean | null | Value[];
export type Unit = 'count' | 'bytes' | 'pixels' | 'seconds';
export type Status = 'complete' | 'pruned' | 'failed' | 'running';

export interface Trial {
  trial: string;
  status: Status;
  values: Record<string, Value>;
  figures: Record<string, number | null>;
  score: number | null; // of validation inputs
  test_score: number | null;
  epochs: number;
  seconds: number | null;
  run: string;
  failure: string | null;
}

export interface SearchData {
  name: string;
  network: string;
  wanted: number;
  done: number;
  best: string | null;
  cost: string;
  figure: { title: string; share: boolean }; // of the scores
  units: Record<string, Unit>; // of each figure, in the order in which they are shown
  logarithmic: string[]; // what varies by orders of magnitude
  trials: Trial[];
}

export const shown = (unit: Unit, value: number): string => {
  if (unit === 'bytes') return bytes(value);
  if (unit === 'seconds') return `${(1000 * value).toPrecision(3)} ms`;
  return unit === 'pixels' ? `${value} px` : short(value);
};

export const written = (value: Value): string =>
  typeof value === 'number' ? String(Number(value.toPrecision(4))) : typeof value === 'string' ? value : JSON.stringify(value);

// One upright line of the parallel coordinates: where a trial crosses it, from 0 at its foot to 1.
export class Axis {
  readonly marks: { at: number; text: string }[];
  private readonly places: Map<string, number> | null;
  private readonly ends: [number, number] = [0, 1];

  constructor(
    readonly name: string,
    readonly value: (trial: Trial) => Value,
    trials: Trial[],
    private readonly logarithmic: boolean,
    show: (value: number) => string,
  ) {
    const values = trials.map(value).filter((each) => each !== null && each !== undefined);
    if (values.length > 0 && values.every((each) => typeof each === 'number')) {
      const scaled = (values as number[]).map((each) => this.scale(each));
      this.places = null;
      this.ends = [Math.min(...scaled), Math.max(...scaled)];
      const [least, most] = this.ends;
      const among = new Set(values as number[]);
      const told = among.size <= 6 ? [...among] : [0, 0.5, 1].map((part) => this.unscale(least + part * (most - least)));
      this.marks = told.map((each) => ({ at: this.at(each)!, text: show(each) }));
    } else {
      const words = [...new Set(values.map(written))].sort();
      this.places = new Map(words.map((word, place) => [word, words.length > 1 ? place / (words.length - 1) : 0.5]));
      this.marks = words.map((text) => ({ at: this.places!.get(text)!, text }));
    }
  }

  private scale = (value: number) => (this.logarithmic && value > 0 ? Math.log(value) : value);
  private unscale = (value: number) => (this.logarithmic ? Math.exp(value) : value);

  at(value: Value): number | null {
    if (value === null || value === undefined) return null;
    if (this.places) return this.places.get(written(value)) ?? null;
    const [least, most] = this.ends;
    return most > least ? (this.scale(value as number) - least) / (most - least) : 0.5;
  }
}

export class Looked {
  cost = $state('');
  hovered = $state<string | null>(null);
  ranges = $state.raw<ReadonlyMap<string, [number, number]>>(new Map()); // what is kept of each axis, where not all of it

  readonly data = $state.raw<SearchData>() as SearchData;
  readonly axes: Axis[];
  readonly costs: string[];

  front = $derived.by(() => this.frontOf(this.cost));
  kept = $derived(new Set(this.data.trials.filter((trial) => this.keeps(trial)).map((trial) => trial.trial)));

  constructor(data: SearchData) {
    this.data = data;
    this.cost = data.cost;
    const { trials } = data;
    this.costs = Object.keys(data.units).filter((name) => trials.some((trial) => trial.figures[name] !== null));
    const keys = [...new Set(trials.flatMap((trial) => Object.keys(trial.values)))];
    const varied = keys.map(
      (key) => new Axis(key, (trial) => trial.values[key] ?? null, trials, data.logarithmic.includes(key), written),
    );
    const figures = this.costs.map(
      (name) =>
        new Axis(name, (trial) => trial.figures[name], trials, false, (value) => shown(data.units[name], value)),
    );
    const seen = trials.filter((trial) => trial.score !== null);
    this.axes = [...varied, ...figures.filter((axis) => axis.marks.length > 1)];
    this.axes.push(new Axis(data.figure.title, (trial) => trial.score, seen, false, this.scored));
  }

  // A score as people read it: of a share in percent.
  scored = (value: number | null, digits = 2): string => {
    if (value === null) return '–';
    return this.data.figure.share ? `${(100 * value).toFixed(digits)} %` : value.toFixed(digits + 2).replace('-', '−');
  };

  // The trained trials that no other beats in both score and cost, the cheapest first.
  private frontOf(cost: string): Trial[] {
    const front: Trial[] = [];
    const costing = (trial: Trial) => trial.figures[cost] ?? Infinity;
    const trained = this.data.trials.filter((trial) => trial.status === 'complete' && trial.score !== null);
    trained.sort((a, b) => costing(a) - costing(b) || b.score! - a.score! || a.trial.localeCompare(b.trial));
    for (const trial of trained) if (!front.length || trial.score! > front.at(-1)!.score!) front.push(trial);
    return front;
  }

  private keeps(trial: Trial): boolean {
    for (const axis of this.axes) {
      const range = this.ranges.get(axis.name);
      const at = range && axis.at(axis.value(trial));
      if (range && (at === null || at! < range[0] - 1e-9 || at! > range[1] + 1e-9)) return false;
    }
    return true;
  }

  keep(axis: string, range: [number, number] | null): void {
    const ranges = new Map(this.ranges);
    if (range) ranges.set(axis, range);
    else ranges.delete(axis);
    this.ranges = ranges;
  }
}
