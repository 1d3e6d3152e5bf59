/** Rates of a model, dollars for a million model tokens as decimal text; what has no rate of its own is absent or `null`. */
export type Rates = { readonly [name: string]: string | null | undefined };

/** A provider that serves a model, as far as prices go. */
export interface Offer {
  price: Rates | null;
}

/** What the rates are called, in the order in which they are shown. */
export const RATE_NAMES: readonly [key: string, label: string][] = [
  ['input', 'Input'],
  ['output', 'Output'],
  ['cache_read', 'Cache read'],
  ['cache_write_5m', 'Cache write, 5 min'],
  ['cache_write_1h', 'Cache write, 1 h'],
  ['reasoning', 'Reasoning'],
  ['audio_input', 'Audio in'],
  ['audio_output', 'Audio out'],
  ['image_input', 'Images in'],
  ['image_output', 'Images out'],
];

/** The number behind a decimal text; `null` if there is none. Only to compare and to sort: what is shown is the text. */
export function rateNumber(text: string | undefined | null): number | null {
  if (text === undefined || text === null || text.trim() === '') return null;
  const value = Number(text);
  return Number.isFinite(value) && value >= 0 ? value : null;
}

/** A rate as it is shown: `$3`, `$0.30`, `$0.0375`: exact, with cents where there are any. */
export function showRate(text: string | undefined | null): string | null {
  if (rateNumber(text) === null || text === undefined || text === null) return null;
  const [whole = '0', part = ''] = text.trim().split('.');
  const short = part.replace(/0+$/, '');
  return short === '' ? `$${whole}` : `$${whole}.${short.padEnd(2, '0')}`;
}

export type PriceState = 'priced' | 'partly' | 'unpriced' | 'unserved';

/** Whether calls of a model have a price, at all of its providers, some, or none. */
export function priceState(offers: readonly Offer[]): PriceState {
  if (offers.length === 0) return 'unserved';
  const priced = offers.filter(offer => offer.price !== null).length;
  if (priced === offers.length) return 'priced';
  return priced > 0 ? 'partly' : 'unpriced';
}

/** Whether providers differ in the price of the same model. */
export function pricesDiffer(offers: readonly Offer[]): boolean {
  const seen = new Set(
    offers.map(offer => JSON.stringify(RATE_NAMES.map(([key]) => rateNumber(offer.price?.[key])))),
  );
  return seen.size > 1;
}
