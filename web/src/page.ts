// The page of one network: its data stands in the document.

import { mount } from 'svelte';
import App from './App.svelte';
import './page.css';
import { unitField, unitReads } from './fields';
import { arrange } from './layered';
import type { PageData } from './types';
import { View } from './view.svelte';

const data = JSON.parse(document.getElementById('data')!.textContent!) as PageData;
document.title = data.name;
const view = new View(data);
mount(App, { target: document.getElementById('app')!, props: { view } });

// For who wants to ask the page itself.
Object.assign(globalThis, { cnnspec: { data, view, arrange, unitField, unitReads } });
