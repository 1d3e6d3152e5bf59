import { Link } from '@tanstack/react-router';
import type { Schema } from '@/api';
import { type Column, DataTable, Text } from '@/kit';

type Provider = Schema<'ProviderForUsers'>;

const columns: readonly Column<Provider>[] = [
  {
    id: 'name',
    header: 'Provider',
    value: provider => provider.name || provider.id,
    cell: provider => <Text text={provider.name || provider.id} />,
  },
  {
    id: 'description',
    header: 'About',
    value: provider => provider.description,
    cell: provider => <Text text={provider.description} />,
  },
  {
    id: 'models',
    header: 'Models',
    value: provider => provider.models.join(' '),
    cell: provider => <Models models={provider.models} />,
    grow: true,
  },
];

/** What users see of providers. */
export function ForUsers({ providers }: { providers: readonly Provider[] }) {
  return <DataTable label="Providers" columns={columns} rows={providers} rowId={provider => provider.id} />;
}

const SHOWN = 12;

/** Names lead to the model; patterns are only shown. */
export function Models({ models }: { models: readonly string[] }) {
  const rest = models.length - SHOWN;
  return (
    <span className="provider-models">
      {models.slice(0, SHOWN).map(model =>
        /[*?[\]{}]/.test(model) ? (
          <code key={model} title="A pattern: every model that fits it">
            <Text text={model} />
          </code>
        ) : (
          <Link key={model} to="/models/$" params={{ _splat: model }}>
            <Text text={model} mono />
          </Link>
        ),
      )}
      {rest > 0 && (
        <span className="faint" title={models.slice(SHOWN).join('\n')}>
          and {rest} more
        </span>
      )}
    </span>
  );
}
