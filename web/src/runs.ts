// The page of the runs of a folder, which `cnnspec serve` answers.

import { mount } from 'svelte';
import RunsPage from './RunsPage.svelte';
import './page.css';

document.title = 'runs';
document.documentElement.dataset.theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
mount(RunsPage, { target: document.getElementById('app')! });
