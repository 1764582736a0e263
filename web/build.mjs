// Builds each page as one file with its script and style inside, and the rule that nothing else may run or be loaded.
// The same sources give the same bytes.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { build } from 'vite';

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, '..', 'cnnspec', 'web');
// Of each page: what is said where no script runs, and what stands in it for the program that writes or serves it.
const DATA = '<script type="application/json" id="data">null</script>\n    ';
const PAGES = {
  page: { without: 'This page draws the network with a script, which it holds itself.', data: DATA, meta: '' },
  live: { without: 'The editor needs its script.', data: '', meta: '<meta name="nonce" content="">\n    ' },
  search: { without: 'This page draws the search with a script, which it holds itself.', data: DATA, meta: '' },
  step: { without: 'This page goes through the step with a script, which it holds itself.', data: DATA, meta: '' },
  runs: { without: 'This page shows runs with a script, which it holds itself.', data: '', meta: '' },
};

// Put into a page beside its own script: what runs a network there. It is no page, and its policy is the page's to say.
const PARTS = ['pad'];

const digest = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

// The script and the style of one entry.
async function bundled(name) {
  const result = await build({
    root: here,
    configFile: false,
    logLevel: 'warn',
    resolve: { alias: { 'd3-transition': join(here, 'src', 'still.ts') } },
    plugins: [svelte({ configFile: false, emitCss: true })],
    build: {
      write: false,
      target: 'es2022',
      modulePreload: false,
      cssCodeSplit: false,
      rollupOptions: {
        input: join(here, `src/${name}.ts`),
        output: { format: 'iife', entryFileNames: `${name}.js` },
        transform: { define: { 'import.meta': '{}' } }, // the engine asks where it lies, to load from there what it is given
      },
    },
  });
  const { output } = Array.isArray(result) ? result[0] : result;
  const script = output.find((file) => file.type === 'chunk').code.replaceAll('</script', '<\\/script').trim();
  const style = output.find((file) => file.fileName.endsWith('.css')).source.toString().trim();
  return { script, style };
}

function write(name, html) {
  writeFileSync(join(target, `${name}.html`), html);
  console.log(`cnnspec/web/${name}.html: ${html.length.toLocaleString('en')} letters`);
}

mkdirSync(target, { recursive: true });
for (const [page, { without, data, meta }] of Object.entries(PAGES)) {
  const { script, style } = await bundled(page);
  const policy = `default-src 'none'; script-src ${digest(script)}; style-src ${digest(style)}; base-uri 'none'; form-action 'none'`;
  const html = readFileSync(join(here, 'frame.html'), 'utf8')
    .replace('<title>', () => `${meta}<meta http-equiv="Content-Security-Policy" content="${policy}" />\n    <title>`)
    .replace('</head>', () => `<style>${style}</style>\n  </head>`)
    .replace('<noscript>', () => `<noscript>${without}`)
    .replace('<script></script>', () => `${data}<script>${script}</script>`);
  write(page, html);
}
for (const part of PARTS) {
  const { script, style } = await bundled(part);
  write(part, `<style>${style}</style>\n    <script>${script}</script>\n`);
}
