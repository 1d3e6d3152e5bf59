/** What a model read from caches. */
export interface CachedModel {
  model: string;
  cachedRead: number;
}

/** Prices of a model at one provider, dollars for a million model tokens as decimal text. */
export interface CachePrice {
  input?: string | null | undefined;
  cache_read?: string | null | undefined;
}

export interface Saving {
  nanousd: number;
  /** Model tokens that the sum counts. */
  tokens: number;
  /** Cached model tokens that no price, or more than one, is known for; not in the sum. */
  leftOut: number;
}

/** Nanodollars for one model token; `null` without a price. */
function rate(text: string | null | undefined): number | null {
  const value = text === undefined || text === null || text === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value * 1_000 : null;
}

/**
 * What cache reads cost less than input that was not cached, at present prices. Only models whose price is beyond doubt
 * count: known, and the same at each provider that serves them. `null` if nothing was read from caches, or nothing of it is priced.
 */
export function cacheSaving(
  models: readonly CachedModel[],
  prices: ReadonlyMap<string, readonly (CachePrice | null)[]>,
): Saving | null {
  let nanousd = 0;
  let tokens = 0;
  let leftOut = 0;
  for (const { model, cachedRead } of models) {
    if (cachedRead === 0) continue;
    const saved = new Set(
      (prices.get(model) ?? []).map(price => {
        const [input, cached] = [rate(price?.input), rate(price?.cache_read)];
        return input === null || cached === null ? null : input - cached;
      }),
    );
    const [one] = saved;
    if (saved.size === 1 && one !== null && one !== undefined) {
      nanousd += one * cachedRead;
      tokens += cachedRead;
    } else leftOut += cachedRead;
  }
  return tokens === 0 ? null : { nanousd: Math.round(nanousd), tokens, leftOut };
}
