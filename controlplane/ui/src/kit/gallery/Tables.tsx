import { ApiProblem } from '@/api';
import { Card, type Column, DataTable, EmptyState, Money, StatusBadge, Text, Tokens } from '@/kit';

interface Row {
  id: string;
  user: string;
  model: string;
  status: number;
  tokens: number | null;
  cost: number | null;
}

const rows = (count: number): Row[] =>
  Array.from({ length: count }, (_, index) => ({
    id: String(index),
    user: ['alice@example.com', 'bob@example.com', 'tag:ci', '\u202emoc.elpmaxe@live'][index % 4] ?? '',
    model: ['claude-opus-5', 'gpt-5.5', 'm'.repeat(90)][index % 3] ?? '',
    status: [200, 200, 200, 429, 502, 0][index % 6] ?? 0,
    tokens: index % 5 === 0 ? null : index * 977,
    cost: index % 7 === 0 ? null : index * 1_234_567,
  }));

const columns: Column<Row>[] = [
  { id: 'user', header: 'User', value: row => row.user, cell: row => <Text text={row.user} /> },
  {
    id: 'model',
    header: 'Model',
    value: row => row.model,
    cell: row => <Text text={row.model} clamp={40} />,
    grow: true,
  },
  {
    id: 'status',
    header: 'Status',
    value: row => row.status,
    cell: row => <StatusBadge status={row.status} />,
  },
  {
    id: 'tokens',
    header: 'Tokens',
    align: 'end',
    value: row => row.tokens,
    cell: row => <Tokens tokens={row.tokens} />,
    hint: 'In and out',
  },
  {
    id: 'cost',
    header: 'Cost',
    align: 'end',
    value: row => row.cost,
    cell: row => <Money nanousd={row.cost} />,
  },
];

const few = rows(6);
const many = rows(2000);
const problem = new ApiProblem(
  503,
  'store',
  'Service Unavailable',
  'the store could not answer; the log says why',
);

export function Tables() {
  const common = { columns, rowId: (row: Row) => row.id };
  return (
    <>
      <Card title="A table" flush>
        <DataTable
          {...common}
          label="A few requests"
          rows={few}
          href={() => ({ to: '/' })}
          more={{ has: true, loading: false, load: () => undefined }}
        />
      </Card>
      <DataTable
        {...common}
        label="Many requests"
        rows={many}
        sort={{ id: 'cost', descending: true }}
        href={() => ({ to: '/' })}
      />
      <DataTable {...common} label="Loading requests" rows={undefined} loading />
      <DataTable
        {...common}
        label="No requests"
        rows={[]}
        empty={<EmptyState title="No requests yet">They appear with the first call.</EmptyState>}
      />
      <DataTable
        {...common}
        label="Failed requests"
        rows={undefined}
        problem={problem}
        onRetry={() => undefined}
      />
    </>
  );
}
