// Numbers that `cnnspec/pages/packed.py` wrote: all float32 first, then all bytes.

export async function unpacked(text: string): Promise<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Response(stream).arrayBuffer();
}

export const size = (shape: number[]) => shape.reduce((product, each) => product * each, 1);

// Takes arrays of known sizes one after the other.
export class Reader {
  private place = 0;

  constructor(private buffer: ArrayBuffer) {}

  floats(count: number): Float32Array {
    const taken = new Float32Array(this.buffer, this.place, count);
    this.place += 4 * count;
    return taken;
  }

  bytes(count: number): Uint8Array {
    const taken = new Uint8Array(this.buffer, this.place, count);
    this.place += count;
    return taken;
  }

  // Bytes as the values that they stand for.
  values(count: number, [low, high]: [number, number]): Float32Array {
    return Float32Array.from(this.bytes(count), (step) => low + (step / 255) * (high - low));
  }
}

// Four digits, without a tail of zeros.
export function plain(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 100_000)) return value.toExponential(2).replace('-', '−').replace('e−', 'e-');
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return value.toFixed(digits).replace(/^-(?=0\.?0*$)/, '').replace('-', '−');
}
