/** What rows are ordered and filtered by. */
export type CellValue = string | number | boolean | null | undefined;

/** Orders two values; what is not known stands last, whichever the direction. */
export function compare(a: CellValue, b: CellValue, descending: boolean): number {
  const missing = (value: CellValue) => value === null || value === undefined || value === '';
  if (missing(a) || missing(b)) return Number(missing(a)) - Number(missing(b));
  const order =
    typeof a === 'number' && typeof b === 'number'
      ? a - b
      : String(a).localeCompare(String(b), undefined, { numeric: true, sensitivity: 'base' });
  return descending ? -order : order;
}

/** Whether a row's values hold every word of a filter. */
export function holds(values: readonly CellValue[], filter: string): boolean {
  const text = values
    .map(value => String(value ?? ''))
    .join('\n')
    .toLowerCase();
  return filter
    .toLowerCase()
    .split(/\s+/)
    .every(word => text.includes(word));
}
