// Which sample is looked at, and what was recorded of it.

import type { Attachment } from 'svelte/attachments';
import { Reader, size, unpacked } from './numbers';
import { Recorded, type Tensor } from './sums';
import type { Computed, Maps, PageData } from './types';

export interface Reason {
  classes: number[];
  cam?: { shape: number[]; values: Float32Array };
  occlusion?: { shape: number[]; values: Float32Array };
}

export class Seen {
  why: Reason | null = null;
  probabilities: number[] | null = null;

  constructor(
    public recorded: Recorded,
    public picture: { shape: number[]; values: Uint8Array } | null,
  ) {}
}

const NONE = -1; // of the samples that were recorded

export class Values {
  sample = $state(0);
  seen = $state.raw<Seen | null>(null);
  channel = $state(0);
  unit = $state.raw<number[] | null>(null); // along the spatial axes of the layer that is selected
  reason = $state<number | null>(null); // the class that is asked about
  guest = $state.raw<Attachment<HTMLElement> | null>(null); // what stands above the answer and makes samples of its own
  private weights: Promise<Map<number, Map<string, Tensor>>>;
  private known = new Map<number, Promise<Seen>>();

  constructor(private data: PageData) {
    this.weights = this.readWeights();
    this.show(0);
  }

  get computed(): Computed {
    return this.data.computed!;
  }

  show(sample: number): void {
    this.sample = sample;
    if (!this.known.has(sample)) this.known.set(sample, this.read(sample));
    void this.known.get(sample)!.then((seen) => {
      if (this.sample === sample) this.seen = seen;
    });
  }

  // Show what was not recorded: a picture and what the layers make of it.
  async take(name: string, picture: Seen['picture'], tensors: Map<number, Tensor>): Promise<void> {
    const recorded = new Recorded(this.data, { name, label: null, ranges: [], data: '' }, await this.weights);
    recorded.tensors = tensors;
    this.sample = NONE;
    this.seen = this.answered(new Seen(recorded, picture));
  }

  // Of a sample that is shown: which class is the most probable.
  async answer(sample: number): Promise<number | null> {
    if (!this.known.has(sample)) this.known.set(sample, this.read(sample));
    const { probabilities } = await this.known.get(sample)!;
    return probabilities && probabilities.indexOf(Math.max(...probabilities));
  }

  private async readWeights(): Promise<Map<number, Map<string, Tensor>>> {
    const { layers, data } = this.computed.weights;
    const reader = new Reader(await unpacked(data));
    return new Map(
      layers.map(({ layer, tensors }) => [
        layer,
        new Map(tensors.map(([name, shape]) => [name, { shape, values: reader.floats(size(shape)), exact: true }])),
      ]),
    );
  }

  private async read(number: number): Promise<Seen> {
    const { tensors, samples } = this.computed;
    const sample = samples[number];
    const reader = new Reader(await unpacked(sample.data));
    const recorded = new Recorded(this.data, sample, await this.weights);
    for (const { layer, shape, exact, follows } of tensors)
      if (follows) recorded.derive(layer, shape);
      else if (exact) recorded.tensors.set(layer, { shape, values: reader.floats(size(shape)), exact });
    let range = 0;
    for (const { layer, shape, exact } of tensors)
      if (!exact) recorded.tensors.set(layer, { shape, values: reader.values(size(shape), sample.ranges[range++]), exact });
    const seen = new Seen(recorded, sample.picture ? { shape: sample.picture, values: reader.bytes(size(sample.picture)) } : null);
    if (sample.why) {
      const maps = (each?: Maps) => each && { shape: each.shape, values: reader.values(size(each.shape), each.range) };
      seen.why = { classes: sample.why.classes, cam: maps(sample.why.cam), occlusion: maps(sample.why.occlusion) };
    }
    return this.answered(seen);
  }

  private answered(seen: Seen): Seen {
    const { softmax, classes } = this.computed;
    const output = seen.recorded.tensor(this.data.outputs[0]);
    if (classes.length && output?.exact) {
      const scores = Array.from(output.values);
      const most = Math.max(...scores);
      const powers = scores.map((score) => Math.exp(score - most));
      const total = powers.reduce((sum, power) => sum + power, 0);
      seen.probabilities = softmax ? powers.map((power) => power / total) : scores;
    }
    return seen;
  }
}
