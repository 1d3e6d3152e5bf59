import { useQueries } from '@tanstack/react-query';
import { apiKey, fetchApi, type Schema, useApi } from '@/api';
import { attention, type Matter, type Situation } from './attention';
import { divided, fullestFirst } from './budgets';

/** The fullest buckets that are asked for; where there are more, those of the viewer by name. */
const BUCKETS = 100;
const BY_NAME = 12;
const EVERY_MS = 15_000;

type Bucket = Schema<'Bucket'>;

/** Budgets of the viewer and, for admins, the fullest ones of others. */
export function useBudgets(login: string | undefined, admin: boolean) {
  const first = useApi(
    '/api/quotas',
    { query: { sort: 'used', limit: BUCKETS } },
    { refetchInterval: EVERY_MS },
  );
  const cut = first.data !== undefined && first.data.next !== null;
  // Models name the buckets that the viewer's calls of them are charged to.
  const models = useApi('/api/models', undefined, { enabled: cut, staleTime: 60_000 });
  const listed = first.data?.quotas ?? [];
  const charged = models.data?.models.flatMap(({ quotas }) => quotas.map(({ bucket }) => bucket)) ?? [];
  const wanted = cut
    ? [...new Set(charged)].filter(name => !listed.some(({ bucket }) => bucket === name))
    : [];
  const more = useQueries({
    queries: wanted.slice(0, BY_NAME).map(bucket => {
      const input = { query: { bucket } };
      return {
        queryKey: apiKey('/api/quotas', input),
        queryFn: ({ signal }: { signal: AbortSignal }) => fetchApi('get', '/api/quotas', input, { signal }),
        refetchInterval: EVERY_MS,
      };
    }),
  });
  const all: Bucket[] = fullestFirst([...listed, ...more.flatMap(query => query.data?.quotas ?? [])]);
  const { own, others } = divided(all, login ?? '');
  return { query: first, all, own, others: admin ? others : [] };
}

type AdminHealth = Schema<'Health'>;
type AdminProvider = Schema<'Provider'>;

/** What is wrong, for whoever looks: users learn of their budgets only. */
export function useMatters(
  admin: boolean,
  budgets: readonly Bucket[],
  unpriced: Situation['unpriced'],
): { matters: readonly Matter[]; pending: boolean } {
  const options = { enabled: admin, refetchInterval: EVERY_MS };
  const health = useApi('/api/health', undefined, options);
  const providers = useApi('/api/providers', undefined, options);
  const hooks = useApi('/api/hooks', undefined, { ...options, refetchInterval: 4 * EVERY_MS });
  const matters = attention(
    {
      health:
        admin && health.data !== undefined && 'ingest' in health.data
          ? (health.data as AdminHealth)
          : undefined,
      providers: admin
        ? providers.data?.providers.filter((provider): provider is AdminProvider => 'health' in provider)
        : undefined,
      budgets: budgets.map(budget => ({ ...budget, id: String(budget.id) })),
      unpriced: admin ? unpriced : undefined,
      deadEvents: hooks.data?.hooks.reduce((sum, hook) => sum + hook.dead, 0),
    },
    Date.now(),
  );
  return { matters, pending: admin && (health.isPending || providers.isPending) };
}
