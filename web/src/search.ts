// The page of a search: its data stands in the document.

import { mount } from 'svelte';
import SearchPage from './SearchPage.svelte';
import './page.css';
import { Looked, type SearchData } from './trials.svelte';

const data = JSON.parse(document.getElementById('data')!.textContent!) as SearchData;
document.title = `search ${data.name}`;
document.documentElement.dataset.theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
const looked = new Looked(data);
mount(SearchPage, { target: document.getElementById('app')!, props: { looked } });

// For who wants to ask the page itself.
Object.assign(globalThis, { cnnspec: { data, looked } });
