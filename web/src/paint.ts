// Maps of numbers as pictures: nothing is the ground, what is positive turns blue and what is negative red.

export type Theme = 'light' | 'dark';
type Colour = [red: number, green: number, blue: number];

const GROUND: Record<Theme, Colour> = { light: [247, 249, 251], dark: [24, 31, 39] };
const MORE: Record<Theme, Colour> = { light: [23, 78, 158], dark: [126, 178, 255] };
const LESS: Record<Theme, Colour> = { light: [178, 48, 38], dark: [255, 138, 118] };

export function colourOf(value: number, most: number, theme: Theme): Colour {
  const share = most > 0 ? Math.min(1, Math.abs(value) / most) : 0;
  const to = (value < 0 ? LESS : MORE)[theme];
  return GROUND[theme].map((from, part) => Math.round(from + (to[part] - from) * share)) as Colour;
}

export const css = ([red, green, blue]: Colour) => `rgb(${red} ${green} ${blue})`;

export const most = (values: ArrayLike<number>, from = 0, to = values.length): number => {
  let largest = 0;
  for (let place = from; place < to; place++) largest = Math.max(largest, Math.abs(values[place]));
  return largest;
};

// One map as an image of as many pixels as it has cells.
export function imageOf(rows: number, columns: number, colour: (cell: number) => Colour | [...Colour, number]): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext('2d')!;
  const image = context.createImageData(columns, rows);
  for (let cell = 0; cell < rows * columns; cell++) {
    const [red, green, blue, alpha = 255] = colour(cell);
    image.data.set([red, green, blue, alpha], 4 * cell);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

export function pictureOf({ shape: [channels, rows, columns], values }: { shape: number[]; values: Uint8Array }): HTMLCanvasElement {
  const plane = rows * columns;
  return imageOf(rows, columns, (cell) => (channels === 3 ? [values[cell], values[plane + cell], values[2 * plane + cell]] : [values[cell], values[cell], values[cell]]));
}

// Makes a canvas as sharp as the screen, and gives what draws on it in CSS pixels.
export function sharp(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.ceil(width * ratio);
  canvas.height = Math.ceil(height * ratio);
  const context = canvas.getContext('2d')!;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.imageSmoothingEnabled = false;
  return context;
}
