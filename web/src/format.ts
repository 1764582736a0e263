// How numbers and shapes are written.

export const times = (shape: number[]) => shape.join('×');

export const grouped = (value: number) => value.toLocaleString('en');

// 11.7 M: three digits and a power of a thousand.
export function short(value: number): string {
  if (value < 1000) return String(value);
  const units = ['', 'k', 'M', 'G', 'T', 'P'];
  const power = Math.min(Math.floor(Math.log10(value) / 3), units.length - 1);
  const scaled = value / 1000 ** power;
  const digits = scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
  return `${scaled.toFixed(digits)} ${units[power]}`;
}

export const bytes = (value: number) => `${short(value)}${value < 1000 ? ' ' : ''}B`;

export function share(part: number, whole: number): string {
  const percent = whole ? (100 * part) / whole : 0;
  return percent && percent < 0.1 ? '< 0.1 %' : `${percent.toFixed(percent < 10 ? 1 : 0)} %`;
}
