// The size arithmetic of one axis, as `cnnspec calc` has it.

export interface Asked {
  input: number;
  kernel: number;
  stride: number;
  padding: number;
  dilation: number;
}

export interface Worked {
  output: number; // 0 or less where the window does not fit
  formula: string;
  unread: number; // units at the end of the padded input that no window reads
}

export function worked({ input, kernel, stride, padding, dilation }: Asked): Worked {
  const reach = dilation * (kernel - 1) + 1;
  const room = input + 2 * padding - reach;
  const output = Math.floor(room / stride) + 1;
  const formula = `⌊(${input} + 2·${padding} − ${dilation}·(${kernel} − 1) − 1) / ${stride}⌋ + 1 = ⌊${room} / ${stride}⌋ + 1 = ${output}`;
  return { output, formula, unread: room >= 0 ? room - (output - 1) * stride : 0 };
}
