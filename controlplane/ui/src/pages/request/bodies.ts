/**
 * The bodies of a capture. Small ones are read whole, once somebody looks; of big ones only a piece, until somebody asks for
 * all of it.
 */

import { useQuery } from '@tanstack/react-query';
import { type ApiProblem, apiUrl } from '@/api';
import { asProblem, problemOf } from '@/api/problem';

export type Part = 'request' | 'answer' | 'assembled' | 'events';

/** Bytes up to which a body is read without being asked for. */
export const READ_MAX = 4_000_000;
/** Bytes of a piece of a raw body. */
export const PIECE = 65_536;

export const partUrl = (id: string, part: Part): string =>
  apiUrl('/api/captures/{id}/{part}', { path: { id, part } } as never);

export interface Body {
  bytes: Uint8Array;
  /** Bytes of the whole part. */
  whole: number;
}

/** Reads a part, or the bytes from `from` to before `to`. */
export async function readPart(
  id: string,
  part: Part,
  range: { from: number; to: number } | null,
  signal?: AbortSignal,
): Promise<Body> {
  try {
    const headers: HeadersInit = range === null ? {} : { range: `bytes=${range.from}-${range.to - 1}` };
    const response = await fetch(partUrl(id, part), { headers, signal });
    if (response.status === 416) return { bytes: new Uint8Array(), whole: 0 };
    if (!response.ok) throw await problemOf(response);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
    return { bytes, whole: total === undefined ? bytes.length : Number(total) };
  } catch (error) {
    if (signal?.aborted) throw error;
    throw asProblem(error);
  }
}

/** A part as JSON; `undefined` if it is none. */
export interface ReadJson {
  value: unknown;
  text: string;
  isJson: boolean;
}

export function parseBody(bytes: Uint8Array): ReadJson {
  const text = new TextDecoder().decode(bytes);
  try {
    return { value: JSON.parse(text), text, isJson: true };
  } catch {
    return { value: undefined, text, isJson: false };
  }
}

/** A part, read and parsed. A capture does not change, so that it is read once. */
export function useBody(id: string, part: Part, enabled: boolean) {
  return useQuery<ReadJson, ApiProblem>({
    queryKey: ['/api/captures/{id}/{part}', id, part],
    queryFn: async ({ signal }) => parseBody((await readPart(id, part, null, signal)).bytes),
    enabled,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 120_000,
    retry: (failures, problem) => problem.passing && failures < 2,
  });
}
