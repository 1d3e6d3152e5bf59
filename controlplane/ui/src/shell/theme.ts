import { useSyncExternalStore } from 'react';

/** What somebody chose. The script before the first paint (`theme.js`) reads the same key. */
export type ThemeChoice = 'system' | 'light' | 'dark';
export type Theme = 'light' | 'dark';

const KEY = 'sluice.theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();

function stored(): ThemeChoice {
  try {
    const value = localStorage.getItem(KEY);
    return value === 'light' || value === 'dark' ? value : 'system';
  } catch {
    return 'system';
  }
}

let choice = stored();

const shown = (): Theme => (choice === 'dark' || (choice === 'system' && system.matches) ? 'dark' : 'light');

function apply(): void {
  document.documentElement.dataset.theme = shown();
  for (const listener of listeners) listener();
}

system.addEventListener('change', apply);
window.addEventListener('storage', event => {
  if (event.key !== KEY) return;
  choice = stored();
  apply();
});

export function setTheme(next: ThemeChoice): void {
  choice = next;
  try {
    if (next === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // Holds until the page is closed, then.
  }
  apply();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The theme that is shown; canvases redraw with it. */
export const useTheme = (): Theme => useSyncExternalStore(subscribe, shown);

/** What was chosen. */
export const useThemeChoice = (): ThemeChoice => useSyncExternalStore(subscribe, () => choice);
