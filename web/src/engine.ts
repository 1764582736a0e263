// onnxruntime in the page: one thread, no worker, and nothing that is loaded.

import { env, InferenceSession, Tensor } from 'onnxruntime-web/wasm';
import { unpacked } from './numbers';

export class Engine {
  private constructor(
    private session: InferenceSession,
    private shape: number[],
  ) {}

  // `wasm` is the engine and `model` the network in ONNX, both deflated, in base64; `shape` is its input's.
  static async open(wasm: string, model: string, shape: number[]): Promise<Engine> {
    env.wasm.numThreads = 1;
    env.wasm.wasmBinary = await unpacked(wasm);
    return new Engine(await InferenceSession.create(await unpacked(model), { executionProviders: ['wasm'] }), shape);
  }

  // The values of each of its outputs, in their order.
  async run(input: Float32Array): Promise<Float32Array[]> {
    const { inputNames, outputNames } = this.session;
    const found = await this.session.run({ [inputNames[0]]: new Tensor('float32', input, [1, ...this.shape]) });
    return outputNames.map((name) => found[name].data as Float32Array);
  }
}
