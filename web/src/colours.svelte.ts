// Light or dark: as the system has it, until somebody asks for the other.

import type { Theme } from './paint';

export class Colours {
  theme = $state<Theme>('light');

  constructor(tell: (theme: Theme) => void) {
    const system = matchMedia('(prefers-color-scheme: dark)');
    let asked: Theme | null = $state(null);
    let isDark = $state(system.matches);
    system.addEventListener('change', () => (isDark = system.matches));
    $effect(() => {
      this.theme = asked ?? (isDark ? 'dark' : 'light');
      document.documentElement.dataset.theme = this.theme;
      tell(this.theme);
    });
    this.turn = () => (asked = this.theme === 'dark' ? 'light' : 'dark');
  }

  turn: () => void;
}
