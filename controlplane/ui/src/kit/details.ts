/** A part of a text that was cut, or what stands in a title. */
export interface Detail {
  /** What it is of: the head of its column, the name of its fact. */
  label: string;
  text: string;
}

/** Details as one line each, those of one thing together, each once. */
export function detailLines(details: readonly Detail[]): string[] {
  const by = new Map<string, Set<string>>();
  for (const { label, text } of details) {
    const clean = text.trim().replaceAll(/\s*\n\s*/g, '; ');
    if (clean === '' || clean === label) continue;
    by.set(label, (by.get(label) ?? new Set()).add(clean));
  }
  return [...by].map(([label, texts]) => (label === '' ? '' : `${label}: `) + [...texts].join('; '));
}
