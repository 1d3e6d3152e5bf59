import type { LucideIcon } from 'lucide-react';
import { useEffect } from 'react';

/** Something that the palette offers. */
export interface PaletteItem {
  id: string;
  label: string;
  /** Faint text at the end: what kind of thing it is, or more about it. */
  hint?: string;
  icon?: LucideIcon;
  /** Other words that it is found by. */
  words?: string;
  /** Where it leads, as a route of the dashboard; or what it does. */
  to?: string;
  params?: Record<string, string>;
  search?: Record<string, unknown>;
  run?: () => void;
}

/** A group of the palette. */
export interface PaletteSource {
  id: string;
  /** Heading of the group. */
  label: string;
  /** Items that match what was typed; asked after a pause of typing, with text of at least one letter. */
  search(query: string, signal: AbortSignal): Promise<readonly PaletteItem[]> | readonly PaletteItem[];
}

const sources = new Map<string, PaletteSource>();

/** Adds a group for as long as the dashboard is open; a later one of the same id takes its place. Returns how to take it away. */
export function registerPaletteSource(source: PaletteSource): () => void {
  sources.set(source.id, source);
  return () => {
    if (sources.get(source.id) === source) sources.delete(source.id);
  };
}

/** Adds a group while a page is shown. Hand in something that keeps its identity (a constant, or from `useMemo`). */
export function usePaletteSource(source: PaletteSource): void {
  useEffect(() => registerPaletteSource(source), [source]);
}

export const paletteSources = (): readonly PaletteSource[] => [...sources.values()];
