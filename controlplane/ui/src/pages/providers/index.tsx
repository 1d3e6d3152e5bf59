import { type Schema, useApi, useMe } from '@/api';
import { EmptyState, ErrorState, Page, Skeleton } from '@/kit';
import { useSearchState } from '@/kit/search';
import { ForUsers } from './ForUsers';
import { ProviderPanel } from './ProviderPanel';
import { ProviderTable } from './ProviderTable';
import type { Search } from './search';
import './providers.css';

export type Provider = Schema<'Provider'>;

/** Providers and how they do; users see which there are and what they serve. */
export default function ProvidersPage() {
  const [search, set] = useSearchState<Search>();
  const me = useMe();
  const admin = me.data?.role === 'admin';
  const providers = useApi('/api/providers', undefined, { refetchInterval: admin ? 5_000 : false });
  const list = providers.data?.providers;
  const healthy = list?.filter((provider): provider is Provider => 'health' in provider);
  const description = admin
    ? 'What stands behind the gateway, and how it has done in the last five minutes.'
    : 'What stands behind the gateway, and which models it serves.';
  return (
    <Page title="Providers" description={description}>
      {list === undefined || me.data === undefined ? (
        providers.isError ? (
          <ErrorState problem={providers.error} onRetry={() => void providers.refetch()} />
        ) : (
          <div className="stack" aria-busy="true">
            {[1, 2, 3, 4].map(row => (
              <Skeleton key={row} height={42} />
            ))}
          </div>
        )
      ) : list.length === 0 ? (
        <EmptyState
          title="No provider is configured"
          snippet={`"providers": {\n  "openai": { "baseurl": "https://api.openai.com/v1", "apikey": "\${env:OPENAI_API_KEY}", "models": ["gpt-*"] },\n}`}
        >
          Providers are the services that answer calls. They stand in the configuration; a saved one is in use
          at once.
        </EmptyState>
      ) : admin && healthy !== undefined ? (
        <>
          <ProviderTable
            providers={healthy}
            selected={search.provider}
            onOpen={provider => set({ provider: provider === search.provider ? undefined : provider })}
          />
          {search.provider !== undefined && (
            <ProviderPanel
              key={search.provider}
              id={search.provider}
              onClose={() => set({ provider: undefined })}
            />
          )}
        </>
      ) : (
        <ForUsers providers={list} />
      )}
    </Page>
  );
}
