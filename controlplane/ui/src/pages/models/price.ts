/** Rates of a model, dollars for a million model tokens as decimal text; what does not apply is absent. */
export type Rates = { readonly [name: string]: string | undefined };

/** A provider that serves a model, as far as prices go. */
export interface Offer {
  price: Rates | null;
  preference: number;
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

/** The offer that a call gets first: the highest preference; of equals the first. */
export function firstOffer<O extends Offer>(offers: readonly O[]): O | null {
  return offers.reduce<O | null>(
    (best, offer) => (best === null || offer.preference > best.preference ? offer : best),
    null,
  );
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
