// What a page is given beside its own script where the network runs in it: a pad to draw on, and the engine.

import { mount, unmount } from 'svelte';
import Pad from './Pad.svelte';
import type { View } from './view.svelte';

const { view } = (globalThis as unknown as { cnnspec: { view: View } }).cnnspec;
const wasm = document.getElementById('engine')!.textContent!;

view.values!.guest = (target) => {
  const pad = mount(Pad, { target, props: { values: view.values!, data: view.data, wasm } });
  return () => void unmount(pad);
};
