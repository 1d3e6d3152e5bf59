/** Marks of an axis from 0: round steps, the topmost at or above the largest value, so that no bar stands over the scale. */
export function marks(most: number, pixels: number, whole: boolean): number[] {
  if (!(most > 0) || !Number.isFinite(most)) return [0, 1];
  const wanted = Math.max(2, Math.floor(pixels / 42));
  const raw = most / wanted;
  const base = 10 ** Math.floor(Math.log10(raw));
  const factor = [1, 2, 5, 10].find(nice => nice * base >= raw * 0.999999) ?? 10;
  const step = whole ? Math.max(1, Math.round(factor * base)) : factor * base;
  const count = Math.max(1, Math.ceil(most / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, at) => at * step);
}

/** Texts of marks, from 0 up: those that say the same as the mark below are left out, as amounts too small for their format do. */
export const labels = (texts: readonly string[]): string[] =>
  texts.map((text, at) => (text === texts[at - 1] ? '' : text));

/** Where a key takes the point that is looked at; `undefined`: the key means nothing here. */
export function pointAfter(at: number | null, key: string, count: number): number | null | undefined {
  const last = count - 1;
  const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[key];
  if (by !== undefined) return at === null ? (by < 0 ? last : 0) : Math.min(Math.max(at + by, 0), last);
  if (key === 'Home') return 0;
  if (key === 'End') return last;
  return key === 'Escape' && at !== null ? null : undefined;
}
