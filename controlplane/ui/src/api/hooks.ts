import {
  type InfiniteData,
  keepPreviousData,
  type UseInfiniteQueryResult,
  type UseMutationResult,
  type UseQueryResult,
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
} from '@tanstack/react-query';
import type { paths } from '#schema';
import { client, serializeQuery } from './client';
import { type ApiProblem, asProblem } from './problem';
import { filled } from './segment';
import type { DataOf, Input, Method, Operation, Output, PathOf, WithInput } from './types';

export interface ApiOptions {
  /** Ask at all; for what depends on something that is not known yet. */
  enabled?: boolean;
  /** Milliseconds between repetitions while the page is looked at. */
  refetchInterval?: number | false;
  /** How long an answer counts as fresh, in milliseconds (default 10,000). */
  staleTime?: number;
  /** Keep showing the last answer while another is fetched (default true): filters do not flicker. */
  keepPrevious?: boolean;
  /** How the body is to be read (default `json`); say `text` for parts that are not JSON. */
  parseAs?: 'json' | 'text';
}

interface AnyInput {
  path?: Record<string, unknown>;
  query?: Record<string, unknown>;
  header?: Record<string, unknown>;
  body?: unknown;
}

/** Asks once, without a cache: `await fetchApi('get', '/api/explain', { query })`. */
export async function fetchApi<M extends Method, P extends PathOf<M>>(
  method: M,
  path: P,
  input?: Input<Operation<P & keyof paths, M>>,
  init: { signal?: AbortSignal; parseAs?: 'json' | 'text' } = {},
): Promise<Output<Operation<P & keyof paths, M>>> {
  const { path: inPath, query, header, body } = (input ?? {}) as AnyInput;
  try {
    const { data } = await client.request(
      method as never,
      path as never,
      { params: { path: inPath, query, header }, body, ...init } as never,
    );
    return data as Output<Operation<P & keyof paths, M>>;
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw asProblem(error);
  }
}

/** The key that an answer is kept under; `queryClient.invalidateQueries({ queryKey: ['/api/quotas'] })` drops all of a path. */
export function apiKey(path: string, input?: unknown): readonly unknown[] {
  return input === undefined ? [path] : [path, input];
}

/** `GET path`, cached: `useApi('/api/usage', { query: { by: 'model' } })`. */
export function useApi<P extends PathOf<'get'>>(
  path: P,
  ...[input, options = {}]: WithInput<Operation<P, 'get'>, ApiOptions>
): UseQueryResult<DataOf<P>, ApiProblem> {
  const { keepPrevious = true, parseAs, ...rest } = options;
  return useQuery<DataOf<P>, ApiProblem>({
    queryKey: apiKey(path, input),
    queryFn: async ({ signal }) =>
      (await fetchApi('get', path, input as never, { signal, parseAs })) as DataOf<P>,
    placeholderData: keepPrevious ? (keepPreviousData as never) : undefined,
    ...rest,
  });
}

/** Of a list's answer: its rows, and where it goes on. */
export interface ListPage<Row> {
  rows: readonly Row[];
  next: string | null | undefined;
}

export type InfiniteApi<Data, Row> = UseInfiniteQueryResult<InfiniteData<Data, string | null>, ApiProblem> & {
  /** The rows of all pages so far. */
  rows: readonly Row[];
};

/**
 * `GET path` page by page, by its `cursor`:
 * `useInfiniteApi('/api/requests', { query: { user } }, page => ({ rows: page.requests, next: page.next_cursor }))`.
 */
export function useInfiniteApi<P extends PathOf<'get'>, Row>(
  path: P,
  input: Input<Operation<P, 'get'>>,
  read: (page: DataOf<P>) => ListPage<Row>,
  options: ApiOptions = {},
): InfiniteApi<DataOf<P>, Row> {
  const { keepPrevious = true, parseAs, ...rest } = options;
  const query = useInfiniteQuery<
    DataOf<P>,
    ApiProblem,
    InfiniteData<DataOf<P>, string | null>,
    readonly unknown[],
    string | null
  >({
    queryKey: [...apiKey(path, input), 'pages'],
    queryFn: async ({ signal, pageParam }) => {
      const { query: asked, ...others } = input as AnyInput;
      const paged = { ...others, query: { ...asked, cursor: pageParam ?? undefined } };
      return (await fetchApi('get', path, paged as never, { signal, parseAs })) as DataOf<P>;
    },
    initialPageParam: null,
    getNextPageParam: page => read(page).next ?? undefined,
    placeholderData: keepPrevious ? (keepPreviousData as never) : undefined,
    ...rest,
  });
  const rows = query.data?.pages.flatMap(page => read(page).rows) ?? [];
  return Object.assign(query, { rows });
}

export interface MutationOptions<Data> {
  /** Paths whose answers are out of date afterwards: `['/api/quotas']`. */
  invalidates?: readonly PathOf<'get'>[];
  onSuccess?: (data: Data) => void;
  onError?: (problem: ApiProblem) => void;
}

/** A change: `const refill = useMutationApi('post', '/api/quotas/refill', { invalidates: ['/api/quotas'] })`, then `refill.mutate({ body })`. */
export function useMutationApi<M extends 'post' | 'put' | 'delete', P extends PathOf<M>>(
  method: M,
  path: P,
  options: MutationOptions<Output<Operation<P & keyof paths, M>>> = {},
): UseMutationResult<
  Output<Operation<P & keyof paths, M>>,
  ApiProblem,
  Input<Operation<P & keyof paths, M>>
> {
  const cache = useQueryClient();
  return useMutation({
    mutationFn: input => fetchApi(method, path, input),
    onSuccess: data => {
      for (const changed of options.invalidates ?? []) void cache.invalidateQueries({ queryKey: [changed] });
      options.onSuccess?.(data);
    },
    onError: options.onError,
  });
}

/** The address of a resource, for links and downloads: `apiUrl('/api/export', { query: { kind: 'requests' } })`. */
export function apiUrl<P extends PathOf<'get'>>(
  path: P,
  ...[input]: WithInput<Operation<P, 'get'>, never>
): string {
  const { path: inPath = {}, query = {} } = (input ?? {}) as AnyInput;
  const target = filled(String(path), inPath);
  const search = serializeQuery(query);
  return search === '' ? target : `${target}?${search}`;
}
