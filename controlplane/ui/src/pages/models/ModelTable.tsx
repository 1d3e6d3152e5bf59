import type { ReactNode } from 'react';
import type { Schema } from '@/api';
import { Badge, type Column, Cost, DataTable, RowLink, Text, Time } from '@/kit';
import { compact, count, milliseconds, percent } from '@/kit/format';
import { visible } from '@/kit/visible';
import { showRate } from './price';
import type { ModelRow } from './rows';

type Row = ModelRow<Schema<'Model'>>;

const none = <span className="faint">–</span>;

function rate(row: Row, key: 'input' | 'output' | 'cache_read', value: number | null) {
  if (row.first === null) return none;
  const text = showRate(row.first.price?.[key]);
  if (text === null || value === null) {
    return key === 'input' ? (
      <span
        title={`No price is known for it at ${row.first.name || row.first.id}: its cost is unknown, not 0`}
      >
        <Badge tone="warn">unpriced</Badge>
      </span>
    ) : (
      none
    );
  }
  const where = `At ${row.first.name || row.first.id}, which is tried first.`;
  return (
    <span className="nowrap" title={row.differ ? `${where} Other providers have other prices.` : where}>
      {text}
      {row.differ && <span className="faint">*</span>}
    </span>
  );
}

const columns = (admin: boolean): readonly Column<Row>[] => [
  {
    id: 'model',
    header: 'Model',
    grow: true,
    value: row => row.model,
    cell: row => (
      <span className="model-name">
        <RowLink to="/models/$" params={{ _splat: row.model }} title={visible(row.model)}>
          <Text text={row.model} mono clamp={80} />
        </RowLink>
        {row.info.alias_of !== null && (
          <span className="faint">
            → <Text text={row.info.alias_of} mono clamp={60} />
          </span>
        )}
        {!row.info.granted && (
          <Badge title={admin ? 'You may not call it; others may' : 'You may not call it'}>not granted</Badge>
        )}
      </span>
    ),
  },
  {
    id: 'providers',
    header: 'Provider',
    cut: true,
    value: row => row.info.providers.map(provider => provider.id).join(' '),
    cell: row =>
      row.info.providers.length === 0 ? (
        <span title="It was called, and no provider of the present configuration serves it">
          <Badge tone="warn">not served</Badge>
        </span>
      ) : (
        <span
          className="model-providers"
          title={row.info.providers
            .map(({ name, id, endpoints }) => `${name || id}: ${endpoints.join(', ')}`)
            .join('\n')}
        >
          <Text text={row.info.providers[0]?.name || row.info.providers[0]?.id} clamp={30} />
          {row.info.providers.length > 1 && <span className="faint"> +{row.info.providers.length - 1}</span>}
        </span>
      ),
  },
  {
    id: 'endpoints',
    header: 'Endpoints',
    hidden: true,
    value: row => [...new Set(row.info.providers.flatMap(provider => provider.endpoints))].join(' '),
  },
  {
    id: 'input',
    header: 'Input',
    align: 'end',
    hint: 'Dollars for a million tokens in',
    value: row => row.input,
    cell: row => rate(row, 'input', row.input),
  },
  {
    id: 'cache',
    header: 'Cached',
    rank: 4,
    align: 'end',
    hint: 'Dollars for a million tokens read from a cache',
    value: row => row.cacheRead,
    cell: row => rate(row, 'cache_read', row.cacheRead),
  },
  {
    id: 'output',
    header: 'Output',
    align: 'end',
    hint: 'Dollars for a million tokens out',
    value: row => row.output,
    cell: row => rate(row, 'output', row.output),
  },
  {
    id: 'requests',
    header: 'Requests',
    align: 'end',
    hint: 'In the last seven days',
    value: row => row.requests,
    cell: row =>
      row.requests === null ? none : <span title={count(row.requests)}>{compact(row.requests)}</span>,
  },
  {
    id: 'errors',
    header: 'Errors',
    rank: 2,
    align: 'end',
    hint: 'Part of the requests of the last seven days that failed',
    value: row => row.errors,
    cell: row => (row.errors === null ? none : percent(row.errors / 100)),
  },
  {
    id: 'cost',
    header: 'Cost',
    align: 'end',
    hint: 'Known cost of the last seven days',
    value: row => row.cost,
    cell: row => (row.info.usage === null ? none : <Cost of={row.info.usage} />),
  },
  {
    id: 'p50',
    header: 'First byte',
    rank: 3,
    align: 'end',
    hint: 'Half of the answers of late began within this time',
    value: row => row.p50,
    cell: row => (row.p50 === null ? none : milliseconds(row.p50)),
  },
  {
    id: 'p95',
    header: 'p95',
    hidden: true,
    rank: 5,
    align: 'end',
    hint: '95 of 100 answers of late began within this time',
    value: row => row.p95,
    cell: row => (row.p95 === null ? none : milliseconds(row.p95)),
  },
  {
    id: 'budget',
    header: 'Budget',
    rank: 1,
    align: 'end',
    hint: 'Of the fullest of your budgets that a call is charged to',
    value: row => row.used,
    cell: row => {
      if (row.used === null) return none;
      const fullest = row.info.quotas.find(quota => quota.percent_used === row.used);
      return (
        <span className={row.used >= 90 ? 'model-tight' : undefined} title={fullest?.bucket}>
          {row.used} %
        </span>
      );
    },
  },
  {
    id: 'last',
    header: 'Last use',
    hidden: true,
    value: row => row.info.usage?.last,
    cell: row => <Time time={row.info.usage?.last} relative />,
  },
];

export interface ModelTableProps {
  rows: readonly Row[] | undefined;
  admin: boolean;
  toolbar: ReactNode;
  empty: ReactNode;
}

/** All models; a row leads to its model. */
export function ModelTable({ rows, admin, toolbar, empty }: ModelTableProps) {
  return (
    <DataTable
      label="Models"
      columns={columns(admin)}
      rows={rows}
      loading={rows === undefined}
      rowId={row => row.model}
      href={row => ({ to: '/models/$', params: { _splat: row.model } })}
      filter={false}
      toolbar={toolbar}
      empty={empty}
    />
  );
}
