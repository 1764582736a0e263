// The page of one network, or of two side by side: the data stand in the document.

import { mount } from 'svelte';
import App from './App.svelte';
import Diff from './Diff.svelte';
import './page.css';
import { unitField, unitReads } from './fields';
import { arrange } from './layered';
import { markChanges } from './marks';
import type { DiffData, PageData } from './types';
import { View } from './view.svelte';

const data = JSON.parse(document.getElementById('data')!.textContent!) as PageData | DiffData;
const target = document.getElementById('app')!;

if ('networks' in data) {
  document.title = data.names.join(' → ');
  const views = data.networks.map((network) => new View(network)) as [View, View];
  markChanges(data.difference, views);
  mount(Diff, { target, props: { data, views } });
  Object.assign(globalThis, { cnnspec: { data, views } });
} else {
  document.title = data.name;
  const view = new View(data);
  mount(App, { target, props: { view } });
  // For who wants to ask the page itself.
  Object.assign(globalThis, { cnnspec: { data, view, arrange, unitField, unitReads } });
}
