import { useNavigate, useSearch } from '@tanstack/react-router';
import { useCallback } from 'react';

/**
 * Search parameters of a page: what the address may say and how it reads as values. Whatever somebody types into the
 * address, reading never fails: what makes no sense is left out.
 */
export interface Param<T> {
  /** The value of what stands in the address; `undefined` if it makes no sense. */
  read(raw: unknown): T | undefined;
}

/** Longest text that a parameter may hold; the gateway refuses longer targets anyway. */
const TEXT_MAX = 2000;

const first = (raw: unknown): unknown => (Array.isArray(raw) ? raw[0] : raw);

/** Any text. */
export const text: Param<string> = {
  read: raw => {
    const value = first(raw);
    if (typeof value !== 'string' && typeof value !== 'number') return undefined;
    return String(value).slice(0, TEXT_MAX) || undefined;
  },
};

/** One of some words. */
export function oneOf<const T extends string>(words: readonly T[]): Param<T> {
  return { read: raw => words.find(word => word === first(raw)) };
}

/** Any number of texts: `?model=a&model=b`. */
export const texts: Param<string[]> = {
  read: raw => {
    const list = (Array.isArray(raw) ? raw : [raw]).map(text.read).filter(value => value !== undefined);
    return list.length === 0 ? undefined : list;
  },
};

/** A whole number that is not negative. */
export const count: Param<number> = {
  read: raw => {
    const value = Number(first(raw));
    return first(raw) !== '' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  },
};

/** `1` or nothing. */
export const flag: Param<boolean> = {
  read: raw => (['1', 'true', 1, true].includes(first(raw) as never) ? true : undefined),
};

/** What a validator makes of the address; every parameter may be missing. */
export type SearchOf<Shape> = { [K in keyof Shape]?: Shape[K] extends Param<infer T> ? T : never };

/** The validator of a page's parameters: `export const search = searchParams({ user: text, tab: oneOf(['a', 'b']) })`. */
export function searchParams<const Shape extends Record<string, Param<unknown>>>(
  shape: Shape,
): (raw: Record<string, unknown>) => SearchOf<Shape> {
  return raw => {
    const found: Record<string, unknown> = {};
    for (const [name, param] of Object.entries(shape)) {
      // The router lays this over what the address says: what makes no sense has to be taken away by name.
      if (raw[name] !== undefined) found[name] = param.read(raw[name]);
    }
    return found as SearchOf<Shape>;
  };
}

/** Reads `?a=1&b=2&b=3`: texts, and lists where a name stands more than once. */
export function parseSearch(search: string): Record<string, string | string[]> {
  const found: Record<string, string | string[]> = {};
  const parameters = new URLSearchParams(search);
  for (const name of new Set(parameters.keys())) {
    const values = parameters.getAll(name);
    found[name] = values.length === 1 ? (values[0] ?? '') : values;
  }
  return found;
}

/** The opposite of `parseSearch`; what is empty is left out. */
export function stringifySearch(search: Record<string, unknown>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item === undefined || item === null || item === '' || item === false) continue;
      parameters.append(name, item === true ? '1' : String(item));
    }
  }
  const text = parameters.toString().replaceAll('%3A', ':').replaceAll('%2F', '/').replaceAll('%40', '@');
  return text === '' ? '' : `?${text}`;
}

/**
 * The parameters of the present page, and how to change some of them. A change of filters replaces the entry of the
 * browser's history while somebody types (`{ replace: true }`) and else makes one, so that Back undoes it.
 */
export function useSearchState<S extends object>(): [
  S,
  (change: Partial<S>, options?: { replace?: boolean }) => void,
] {
  const search = useSearch({ strict: false } as never) as S;
  const navigate = useNavigate();
  const set = useCallback(
    (change: Partial<S>, options?: { replace?: boolean }) => {
      void navigate({
        to: '.',
        search: ((previous: object) => ({ ...previous, ...change })) as never,
        replace: options?.replace ?? false,
        resetScroll: false,
      });
    },
    [navigate],
  );
  return [search, set];
}
