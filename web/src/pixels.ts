// Pixels as a network reads them: what `cnnspec/images.py` and `cnnspec/intake.py` do, to the last bit of a byte.

export interface Plane {
  width: number;
  height: number;
  values: Uint8Array;
}

// How an image becomes the network's input: what `cnnspec/pages/in_browser.py` writes.
export interface Intake {
  fit: 'stretch' | 'crop';
  resize: number | null;
  scale: number[]; // of each channel: value * scale + shift
  shift: number[];
}

const BITS = 22; // of the weights of a window, which are integers so that every machine gives the same

// An image of RGBA as one grey plane or three, with transparency over white.
export function planes(rgba: ArrayLike<number>, width: number, height: number, channels: number): Plane[] {
  const found = Array.from({ length: channels }, () => new Uint8Array(width * height));
  for (let cell = 0; cell < width * height; cell++) {
    const alpha = rgba[4 * cell + 3];
    const [red, green, blue] = [0, 1, 2].map((part) => overWhite(rgba[4 * cell + part], alpha));
    if (channels === 1) found[0][cell] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
    else [red, green, blue].forEach((value, part) => (found[part][cell] = value));
  }
  return found.map((values) => ({ width, height, values }));
}

// A plane at another size, as Pillow's bilinear `resize` has it: each axis by a triangle as wide as a cell comes from.
// Bytes are rounded between the axes, so their order counts: Pillow 13 shrinks a height first of which most goes away.
export function resized(plane: Plane, width: number, height: number): Plane {
  const across = (from: Plane) => (from.width === width ? from : along(from, width));
  const down = (from: Plane) => (from.height === height ? from : turned(along(turned(from), height)));
  const isTall = height < plane.height && plane.height - height > 2 * (plane.width - width);
  return isTall ? across(down(plane)) : down(across(plane));
}

// Where an image comes to lie in a network's input: it is resized, and of that a box is taken.
export function placed({ fit, resize }: Intake, [width, height]: number[], [wide, high]: number[]): { size: [number, number]; left: number; top: number } {
  if (fit === 'stretch') return { size: [wide, high], left: 0, top: 0 };
  let size: [number, number];
  if (resize !== null) {
    const longer = Math.max(1, Math.trunc((resize * Math.max(width, height)) / Math.min(width, height)));
    size = width <= height ? [resize, longer] : [longer, resize];
  } else if (wide * height >= high * width) size = [wide, Math.max(high, Math.trunc((wide * height) / width))];
  else size = [Math.max(wide, Math.trunc((high * width) / height)), high];
  return { size, left: toEven((size[0] - wide) / 2), top: toEven((size[1] - high) / 2) };
}

// The bytes that a network of this input sees of an image, channel by channel.
export function prepared(image: Plane[], intake: Intake, [, high, wide]: number[], invert: boolean): Uint8Array {
  const { size, left, top } = placed(intake, [image[0].width, image[0].height], [wide, high]);
  const found = new Uint8Array(image.length * high * wide);
  for (const [channel, plane] of image.entries()) {
    const { width, values } = resized(plane, ...size);
    for (let row = 0; row < high; row++)
      for (let column = 0; column < wide; column++) {
        const byte = values[(row + top) * width + column + left];
        found[(channel * high + row) * wide + column] = invert ? 255 - byte : byte;
      }
  }
  return found;
}

// Bytes in the units of the network, in the float32 that it computes in.
export function normalized(bytes: Uint8Array, { scale, shift }: Intake): Float32Array {
  const each = bytes.length / scale.length;
  return Float32Array.from(bytes, (byte, place) => {
    const channel = Math.floor(place / each);
    return Math.fround(byte * scale[channel]) + shift[channel];
  });
}

// In the integers of Pillow's `alpha_composite`.
function overWhite(value: number, alpha: number): number {
  const sum = 128 * (value * alpha + 255 * (255 - alpha)) + (128 << 7);
  return (((sum >> 8) + sum) >> 8) >> 7;
}

function along({ width, height, values }: Plane, wanted: number): Plane {
  const found = new Uint8Array(wanted * height);
  const scale = width / wanted;
  const support = Math.max(scale, 1);
  for (let column = 0; column < wanted; column++) {
    const centre = (column + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(width, Math.trunc(centre + support + 0.5));
    const shares = Array.from({ length: last - first }, (_, cell) => Math.max(0, 1 - Math.abs((cell + first - centre + 0.5) * (1 / support))));
    const total = shares.reduce((sum, share) => sum + share, 0);
    const weights = shares.map((share) => Math.trunc((share / total) * (1 << BITS) + 0.5));
    for (let row = 0; row < height; row++) {
      let sum = 1 << (BITS - 1);
      for (const [cell, weight] of weights.entries()) sum += values[row * width + first + cell] * weight;
      found[row * wanted + column] = Math.min(255, sum >> BITS);
    }
  }
  return { width: wanted, height, values: found };
}

function turned({ width, height, values }: Plane): Plane {
  const found = new Uint8Array(values.length);
  for (let row = 0; row < height; row++) for (let column = 0; column < width; column++) found[column * height + row] = values[row * width + column];
  return { width: height, height: width, values: found };
}

// As Python rounds: a half goes to the even neighbour.
function toEven(value: number): number {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}
