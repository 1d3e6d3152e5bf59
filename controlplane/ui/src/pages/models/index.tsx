import { Link } from '@tanstack/react-router';
import { useApi, useMe } from '@/api';
import { EmptyState, ErrorState, Input, Page } from '@/kit';
import { useSearchState } from '@/kit/search';
import { ModelTable } from './ModelTable';
import { Patterns } from './Patterns';
import { byUse, matches, modelRow, SHOWS, type Show } from './rows';
import type { Search } from './search';
import './models.css';

const LABELS: Record<Show, string> = {
  all: 'All',
  used: 'Used',
  unpriced: 'Unpriced',
  denied: 'Not granted',
};

/** Which models there are, who serves them at what price, and how they do. */
export default function ModelsPage() {
  const [search, set] = useSearchState<Search>();
  const me = useMe();
  const admin = me.data?.role === 'admin';
  const models = useApi('/api/models', undefined, { refetchInterval: 30_000 });
  const show = search.show ?? 'all';
  const rows = models.data?.models.map(modelRow);
  const shown = rows?.filter(row => matches(row, show, search.q ?? '')).sort(byUse);
  const kinds = SHOWS.filter(kind => admin || kind !== 'denied');
  if (models.isError && models.data === undefined) {
    return (
      <Page title="Models">
        <ErrorState problem={models.error} onRetry={() => void models.refetch()} />
      </Page>
    );
  }
  return (
    <Page
      title="Models"
      description={`What can be called, what it costs, and how it did in the last seven days${admin ? '' : ' for you'}. Prices are in dollars for a million model tokens.`}
    >
      <ModelTable
        rows={shown}
        admin={admin}
        toolbar={
          <>
            <Input
              type="search"
              className="models-search"
              aria-label="Search models"
              placeholder="Search models and providers"
              value={search.q ?? ''}
              onChange={event => set({ q: event.target.value || undefined }, { replace: true })}
            />
            <fieldset className="segments" aria-label="Show">
              {kinds.map(kind => (
                <button
                  key={kind}
                  type="button"
                  className="segment"
                  aria-pressed={kind === show}
                  onClick={() => set({ show: kind === 'all' ? undefined : kind })}
                >
                  {LABELS[kind]}
                  {rows !== undefined && (
                    <span className="faint"> {rows.filter(row => matches(row, kind, '')).length}</span>
                  )}
                </button>
              ))}
            </fieldset>
          </>
        }
        empty={
          rows?.length === 0 ? (
            <EmptyState title="No model is named yet" action={<Link to="/connect">Connect a client</Link>}>
              {admin
                ? 'Models appear here when the configuration names them, or once they are called. Patterns below say what else is served.'
                : 'You are granted no model by name. What your patterns allow appears here once you call it.'}
            </EmptyState>
          ) : (
            <EmptyState title="No model fits" compact>
              Nothing here is called that{show === 'all' ? '' : ` among those shown under “${LABELS[show]}”`}.
            </EmptyState>
          )
        }
      />
      {models.data?.truncated === true && (
        <p className="muted">There are more models than one answer holds; the least used are left out.</p>
      )}
      {models.data !== undefined && models.data.patterns.length > 0 && (
        <Patterns patterns={models.data.patterns} />
      )}
    </Page>
  );
}
