/** Something that somebody should look at, and the page that resolves it. */
export interface Matter {
  id: string;
  /** `bad`: requests fail or records are lost. `warn`: they will. */
  tone: 'bad' | 'warn';
  title: string;
  detail?: string;
  link?: { to: string; search?: Record<string, string>; label: string };
}

/** What it is read from; what is not known yet, or not the viewer's, is left out. */
export interface Situation {
  health?: {
    config?: { rejected?: unknown; warnings?: readonly unknown[] } | undefined;
    data_planes?: number | undefined;
    ingest?: { error: string | null; lag_ms: number; damaged: number } | undefined;
    captures?:
      | { dropped: number; lost: number; damaged: number; error: string | null; care_error: string | null }
      | undefined;
  };
  providers?: readonly {
    id: string;
    name: string;
    health?: { state: string; requests: number; errors: number; window_s: number } | null | undefined;
  }[];
  budgets?: readonly BudgetState[];
  /** Requests without a price in the range, by model. */
  unpriced?: readonly { model: string; requests: number }[];
  deadEvents?: number;
}

export interface BudgetState {
  id: string;
  bucket: string;
  quota: string;
  percent_used: number;
  empty_at?: string | null | undefined;
}

/** Records that wait longer than this are worth a word, in milliseconds. */
const LAG_MS = 10_000;
/** A budget is nearly empty from this part used, in percent. */
export const NEARLY_EMPTY = 90;
/** Or if it runs out within this time, in milliseconds. */
const SOON_MS = 2 * 3_600_000;
/** Named one by one up to this number. */
const NAMED = 3;

const many = (count: number, one: string, more: string) =>
  `${count.toLocaleString('en')} ${count === 1 ? one : more}`;

/** What needs attention, the worst first; empty if nothing does. */
export function attention(now: Situation, nowMs: number): Matter[] {
  const found = [
    ...ofHealth(now.health ?? {}),
    ...ofProviders(now.providers ?? []),
    ...ofBudgets(now.budgets ?? [], nowMs),
    ...ofPrices(now.unpriced ?? []),
    ...ofEvents(now.deadEvents ?? 0),
  ];
  return [
    ...found.filter(matter => matter.tone === 'bad'),
    ...found.filter(matter => matter.tone === 'warn'),
  ];
}

function* ofHealth({
  config,
  data_planes,
  ingest,
  captures,
}: NonNullable<Situation['health']>): Iterable<Matter> {
  if (config?.rejected !== undefined && config.rejected !== null) {
    yield {
      id: 'rejected',
      tone: 'bad',
      title: 'The configuration on disk was refused',
      detail: 'The last one that was valid is still in use.',
      link: { to: '/settings', search: { tab: 'document' }, label: 'See what is wrong' },
    };
  }
  if (data_planes === 0) {
    yield {
      id: 'data-plane',
      tone: 'bad',
      title: 'No data plane is connected',
      detail: 'Figures stand still until it is back; its records are kept and arrive then.',
    };
  }
  if (ingest !== undefined && ingest.error !== null) {
    yield {
      id: 'ingest',
      tone: 'bad',
      title: 'Records cannot be stored',
      detail: `They wait in the journal. ${ingest.error}`,
    };
  } else if (ingest !== undefined && ingest.lag_ms > LAG_MS) {
    yield {
      id: 'lag',
      tone: 'warn',
      title: `Figures are ${Math.round(ingest.lag_ms / 1_000)} s behind`,
      detail: 'Records arrive faster than they are stored.',
    };
  }
  if (ingest !== undefined && ingest.damaged > 0) {
    yield {
      id: 'damaged',
      tone: 'bad',
      title: `${many(ingest.damaged, 'place', 'places')} of the journal could not be read`,
      detail: 'Usage that stood there is missing in all sums. Look at the disk.',
    };
  }
  if (captures === undefined) return;
  const kept = { to: '/settings', search: { section: 'captures' }, label: 'Settings of captures' };
  const error = captures.error ?? captures.care_error;
  if (error !== null) {
    yield { id: 'captures', tone: 'bad', title: 'Captures cannot be kept', detail: error, link: kept };
  }
  const missing = captures.dropped + captures.lost;
  if (missing > 0) {
    yield {
      id: 'dropped',
      tone: 'warn',
      title: `${many(missing, 'capture was', 'captures were')} dropped since the start`,
      detail: 'The disk space or the queue for them was full. Usage and cost are counted all the same.',
      link: kept,
    };
  }
}

function* ofProviders(providers: NonNullable<Situation['providers']>): Iterable<Matter> {
  for (const { id, name, health } of providers) {
    if (health?.state !== 'failing' && health?.state !== 'degraded') continue;
    const minutes = Math.max(1, Math.round(health.window_s / 60));
    yield {
      id: `provider ${id}`,
      tone: health.state === 'failing' ? 'bad' : 'warn',
      title: `${name || id} ${health.state === 'failing' ? 'is failing' : 'has trouble'}`,
      detail: `${health.errors.toLocaleString('en')} of ${many(health.requests, 'request', 'requests')} failed in the last ${minutes} min.`,
      link: { to: '/providers', search: { provider: id }, label: 'See its errors' },
    };
  }
}

/** Whether a budget belongs to those that need attention. */
export function nearlyEmpty(budget: BudgetState, nowMs: number): boolean {
  const empty =
    budget.empty_at === null || budget.empty_at === undefined ? Number.NaN : Date.parse(budget.empty_at);
  return budget.percent_used >= NEARLY_EMPTY || empty - nowMs < SOON_MS;
}

function* ofBudgets(budgets: readonly BudgetState[], nowMs: number): Iterable<Matter> {
  const near = budgets
    .filter(budget => nearlyEmpty(budget, nowMs))
    .sort((a, b) => b.percent_used - a.percent_used);
  for (const budget of near.slice(0, NAMED)) {
    yield {
      id: `budget ${budget.id}`,
      tone: budget.percent_used >= 100 ? 'bad' : 'warn',
      title:
        budget.percent_used >= 100
          ? `Budget ${budget.bucket} is used up`
          : `Budget ${budget.bucket} is ${budget.percent_used} % used`,
      detail:
        budget.percent_used >= 100 ? 'Calls that it counts for are refused until it is refilled.' : undefined,
      link: { to: '/quotas', search: { q: budget.bucket }, label: 'Open the budget' },
    };
  }
  if (near.length > NAMED) {
    yield {
      id: 'budgets',
      tone: 'warn',
      title: `${many(near.length - NAMED, 'more budget is', 'more budgets are')} nearly empty`,
      link: { to: '/quotas', label: 'Open budgets' },
    };
  }
}

function* ofPrices(unpriced: NonNullable<Situation['unpriced']>): Iterable<Matter> {
  const models = unpriced.filter(({ requests }) => requests > 0).sort((a, b) => b.requests - a.requests);
  if (models.length === 0) return;
  const requests = models.reduce((sum, model) => sum + model.requests, 0);
  const names = models.slice(0, NAMED).map(({ model }) => model || 'unnamed');
  const rest = models.length - names.length;
  yield {
    id: 'unpriced',
    tone: 'warn',
    title: `${many(requests, 'request has', 'requests have')} no known price`,
    detail: `Sums of cost do not hold them: ${names.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}.`,
    link: { to: '/models', search: { show: 'unpriced' }, label: 'See unpriced models' },
  };
}

function* ofEvents(dead: number): Iterable<Matter> {
  if (dead > 0) {
    yield {
      id: 'dead',
      tone: 'warn',
      title: `${many(dead, 'event', 'events')} could not be delivered to hooks`,
      link: { to: '/settings', search: { tab: 'hooks' }, label: 'Deliver or drop them' },
    };
  }
}
