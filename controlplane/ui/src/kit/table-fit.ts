// Which columns of a table have room.

/** What counts of a column. */
export interface Fitted {
  id: string;
  /** How early it leaves: the largest first. Without a rank it stays. */
  rank?: number;
  /** Chosen by hand: it stays. */
  kept?: boolean;
}

export interface Fit {
  /** Columns that have no room. */
  left: ReadonlySet<string>;
  /** Even what is left would be wider: rows are drawn as cards. */
  cards: boolean;
}

export const ALL_FIT: Fit = { left: new Set(), cards: false };

/** A wider table than this is never cards: it rather scrolls. */
const CARDS_BELOW = 720;

/**
 * Columns that leave a table of some width, by the widths that each of them needs at least. What was never measured takes
 * no room until it is.
 */
export function fitting(columns: readonly Fitted[], least: ReadonlyMap<string, number>, width: number): Fit {
  const need = (some: readonly Fitted[]) =>
    some.reduce((sum, column) => sum + (least.get(column.id) ?? 0), 0);
  const bound = columns.filter(column => column.rank === undefined && column.kept !== true);
  const movable = columns
    .filter(column => column.rank !== undefined && column.kept !== true)
    .sort((a, b) => (b.rank ?? 0) - (a.rank ?? 0));
  if (width < CARDS_BELOW && need(bound) > width)
    return { left: new Set(movable.map(column => column.id)), cards: true };
  const left = new Set<string>();
  let all = need(columns);
  for (const column of movable) {
    if (all <= width) break;
    left.add(column.id);
    all -= least.get(column.id) ?? 0;
  }
  return { left, cards: false };
}

export const sameFit = (a: Fit, b: Fit): boolean =>
  a.cards === b.cards && a.left.size === b.left.size && [...a.left].every(id => b.left.has(id));
