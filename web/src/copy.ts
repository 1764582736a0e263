// The table as text for other programs.

export type Format = 'CSV' | 'Markdown' | 'LaTeX';

export function asText(format: Format, heads: string[], rows: string[][], isNumber: boolean[]): string {
  if (format === 'CSV') return [heads, ...rows].map((row) => row.map(csv).join(',')).join('\n') + '\n';
  if (format === 'Markdown') {
    const rule = ['---', ...isNumber.map((number) => (number ? '--:' : '---'))];
    return [heads.map(markdown), rule, ...rows.map((row) => row.map(markdown))].map((row) => `| ${row.join(' | ')} |`).join('\n') + '\n';
  }
  const columns = `l${isNumber.map((number) => (number ? 'r' : 'l')).join('')}`;
  const line = (row: string[]) => `  ${row.map(latex).join(' & ')} \\\\`;
  const lines = [`% needs \\usepackage{booktabs}`, `\\begin{tabular}{${columns}}`, '  \\toprule', line(heads), '  \\midrule'];
  return [...lines, ...rows.map(line), '  \\bottomrule', '\\end{tabular}'].join('\n') + '\n';
}

// A text that a spreadsheet would take for a formula gets a `'` in front.
function csv(cell: string): string {
  const harmless = !/^[=+\-@]/.test(cell) || cell === '-' || /^[+-]?[0-9.]+(e[+-]?[0-9]+)?$/i.test(cell);
  const text = harmless ? cell : `'${cell}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const markdown = (cell: string) => cell.replace(/[\\|`*_[\]<>]/g, (letter) => `\\${letter}`);

const LATEX: Record<string, string> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '×': '$\\times$',
  '…': '\\dots{}',
  '–': '--',
};

const latex = (cell: string) => cell.replace(/[\\~^×…–&%$#_{}]/g, (letter) => LATEX[letter] ?? `\\${letter}`);
