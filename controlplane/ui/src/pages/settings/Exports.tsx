import { Upload } from 'lucide-react';
import { type Schema, useApi, useMutationApi } from '@/api';
import { Badge, Button, DataTable, EmptyState, ErrorState, Text, Time, toast } from '@/kit';

type Exporter = Schema<'Export'>;

/** Exporters: how far each has got, and a run without waiting for its time. */
export function Exports() {
  const list = useApi('/api/exports', {}, { refetchInterval: 10_000 });
  const run = useMutationApi('post', '/api/exports/{name}/run', {
    invalidates: ['/api/exports'],
    onSuccess: started => toast({ title: `${started.name} runs` }),
    onError: problem => toast({ title: problem.title, text: problem.detail, tone: 'bad' }),
  });
  if (list.error !== null) return <ErrorState problem={list.error} onRetry={() => void list.refetch()} />;
  return (
    <DataTable<Exporter>
      label="Exporters"
      rows={list.data?.exports}
      rowId={row => row.name}
      loading={list.isPending}
      columns={[
        {
          id: 'name',
          header: 'Name',
          value: row => row.name,
          cell: row => <Text text={row.name} clamp={60} />,
        },
        { id: 'kind', header: 'Kind', value: row => row.kind },
        {
          id: 'place',
          header: 'Where to',
          value: row => row.place,
          cell: row => <Text text={row.place} clamp={80} />,
        },
        { id: 'records', header: 'Records', value: row => row.records, align: 'end' },
        { id: 'lag', header: 'Waiting', value: row => row.lag_records, align: 'end' },
        {
          id: 'success',
          header: 'Last success',
          value: row => row.last_success,
          cell: row =>
            row.last_success === null ? (
              <span className="faint">never</span>
            ) : (
              <Time time={row.last_success} relative />
            ),
        },
        {
          id: 'state',
          header: 'State',
          value: row => state(row),
          cell: row => (
            <div>
              <Badge tone={row.disabled ? 'neutral' : row.last_error === null ? 'good' : 'bad'}>
                {state(row)}
              </Badge>
              {row.last_error !== null && <Text text={row.last_error.text} clamp={160} />}
            </div>
          ),
        },
        {
          id: 'run',
          header: '',
          value: () => null,
          cell: row => (
            <Button
              size="small"
              disabled={row.disabled}
              aria-label={`Run ${row.name} now`}
              onClick={() => run.mutate({ path: { name: row.name } })}
            >
              Run now
            </Button>
          ),
        },
      ]}
      empty={
        <EmptyState icon={Upload} title="Nothing is exported">
          Records can be sent to a bucket, a webhook, Splunk or OpenTelemetry: add an exporter under Visual →
          Exporters. By hand, records are under Logs → Export.
        </EmptyState>
      }
    />
  );
}

const state = (row: Exporter) => (row.disabled ? 'off' : row.last_error === null ? 'ok' : 'failing');
