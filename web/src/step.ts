// The page of one training step: its data stands in the document.

import { mount } from 'svelte';
import StepPage from './StepPage.svelte';
import './page.css';
import { scenesOf, type StepData } from './scenes';

const data = JSON.parse(document.getElementById('data')!.textContent!) as StepData;
document.title = `one step of ${data.network}`;
document.documentElement.dataset.theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
mount(StepPage, { target: document.getElementById('app')!, props: { data } });

// For who wants to ask the page itself.
Object.assign(globalThis, { cnnspec: { data, scenes: scenesOf(data) } });
