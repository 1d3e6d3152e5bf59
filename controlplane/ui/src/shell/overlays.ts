import { useSyncExternalStore } from 'react';

/** What lies over the page; one thing at most. */
export type Overlay = 'palette' | 'keys' | 'nav' | null;

let open: Overlay = null;
const listeners = new Set<() => void>();

export function setOverlay(next: Overlay): void {
  open = next;
  for (const listener of listeners) listener();
}

export const openPalette = (): void => setOverlay('palette');

export function useOverlay(): Overlay {
  return useSyncExternalStore(
    listener => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => open,
  );
}
