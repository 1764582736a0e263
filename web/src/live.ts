// The live editor.

import { mount } from 'svelte';
import Live from './Live.svelte';
import './page.css';

const nonce = document.querySelector<HTMLMetaElement>('meta[name=nonce]')!.content;
mount(Live, { target: document.getElementById('app')!, props: { nonce } });
