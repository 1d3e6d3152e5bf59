import { ScrollText, ShieldCheck } from 'lucide-react';
import { useState } from 'react';
import { type Schema, useApi, useInfiniteApi, useMe } from '@/api';
import {
  Button,
  Callout,
  Code,
  DataTable,
  Dialog,
  EmptyState,
  KeyValue,
  Page,
  Text,
  Time,
  TimeRangePicker,
} from '@/kit';
import { count } from '@/kit/format';
import { useTimeRange } from '@/kit/range';
import { useSearchState } from '@/kit/search';
import type { Search } from './search';

type Entry = Schema<'AuditEntry'>;

export default function AuditPage() {
  const me = useMe();
  if (me.data !== undefined && me.data.role !== 'admin') {
    return (
      <Page title="Audit">
        <EmptyState icon={ShieldCheck} title="The audit is for administrators">
          It lists what administrators did: saved configurations, refills, tokens, views of other people’s
          captures.
        </EmptyState>
      </Page>
    );
  }
  return <Audit />;
}

function Audit() {
  const [search, setSearch] = useSearchState<Search>();
  const span = useTimeRange(search, '30d');
  const [open, setOpen] = useState<Entry | null>(null);
  const [verifying, setVerifying] = useState(false);
  const { actor, action } = search;
  const list = useInfiniteApi(
    '/api/audit',
    { query: { actor, action, since: span.since, until: span.until } },
    page => ({ rows: page.entries, next: page.next_cursor }),
  );
  return (
    <Page
      title="Audit"
      description="What administrators did, each act tied to the one before by a hash, so that none can be changed or taken out unnoticed."
      actions={
        <Button icon={ShieldCheck} onClick={() => setVerifying(true)}>
          Verify
        </Button>
      }
    >
      {verifying && <Verified />}
      <DataTable<Entry>
        label="Audit"
        rows={list.data === undefined ? undefined : list.rows}
        rowId={entry => String(entry.seq)}
        loading={list.isPending}
        problem={list.error}
        onRetry={() => void list.refetch()}
        onOpen={setOpen}
        more={{
          has: list.hasNextPage,
          loading: list.isFetchingNextPage,
          load: () => void list.fetchNextPage(),
        }}
        toolbar={
          <>
            <TimeRangePicker value={search} onChange={setSearch} fallback="30d" />
            <Words label="Actor" value={actor} onChange={value => setSearch({ actor: value })} />
            <Words label="Action" value={action} onChange={value => setSearch({ action: value })} />
          </>
        }
        columns={[
          { id: 'seq', header: 'No.', rank: 1, value: entry => entry.seq, align: 'end' },
          {
            id: 'time',
            header: 'Time',
            value: entry => entry.time,
            cell: entry => <Time time={entry.time} />,
          },
          {
            id: 'actor',
            header: 'Who',
            cut: true,
            value: entry => entry.actor,
            cell: entry => <Text text={entry.actor} clamp={60} />,
          },
          {
            id: 'action',
            header: 'What',
            value: entry => entry.action,
            cell: entry => <code>{entry.action}</code>,
          },
          {
            id: 'subject',
            header: 'Of what',
            grow: true,
            value: entry => entry.subject,
            cell: entry => <Text text={entry.subject} clamp={100} mono />,
          },
          {
            id: 'node',
            header: 'From',
            hidden: true,
            value: entry => entry.node,
            cell: entry => <Text text={entry.node} clamp={60} mono />,
          },
        ]}
        empty={
          <EmptyState icon={ScrollText} title="Nothing was done in this time">
            Saved configurations, refills, tokens and views of other people’s captures appear here. Choose a
            longer time, or other words.
          </EmptyState>
        }
      />
      <Dialog
        open={open !== null}
        onOpenChange={shown => !shown && setOpen(null)}
        title={`Act ${open?.seq ?? ''}`}
        size="wide"
      >
        {open !== null && (
          <div className="stack">
            <KeyValue
              rows={[
                ['Time', <Time key="time" time={open.time} />],
                ['Who', <Text key="actor" text={open.actor} />],
                ['From', <Text key="node" text={open.node} mono />],
                ['What', <code key="action">{open.action}</code>],
                ['Of what', <Text key="subject" text={open.subject} mono />],
                ['Hash', <Text key="hash" text={open.hash} mono clamp={80} />],
              ]}
            />
            <Code title="Detail" text={JSON.stringify(open.detail, null, 2)} />
          </div>
        )}
      </Dialog>
    </Page>
  );
}

/** A filter that is taken over when it is left or Enter is pressed. */
function Words({
  label,
  value,
  onChange,
}: {
  label: string;
  value: string | undefined;
  onChange: (value: string | undefined) => void;
}) {
  const [text, setText] = useState(value ?? '');
  const take = () => text.trim() !== (value ?? '') && onChange(text.trim() || undefined);
  return (
    <input
      className="input"
      type="search"
      aria-label={label}
      placeholder={label}
      value={text}
      onChange={event => setText(event.target.value)}
      onBlur={take}
      onKeyDown={event => event.key === 'Enter' && take()}
    />
  );
}

/** The chain, walked from its first entry to its last. */
function Verified() {
  const result = useApi('/api/audit/verify', {}, { staleTime: 0 });
  const { data } = result;
  if (result.isPending) return <Callout>Walking the chain …</Callout>;
  if (data === undefined) {
    return (
      <Callout tone="bad" title="The chain could not be walked">
        {result.error?.detail}
      </Callout>
    );
  }
  if (data.ok) {
    return (
      <Callout tone="good" title={`All ${count(data.entries)} acts are as they were written`}>
        The last is number {data.head.seq}, its hash <Text text={data.head.hash} mono clamp={80} />. Keep both
        elsewhere: they prove later that nothing before was changed.
      </Callout>
    );
  }
  return (
    <Callout
      tone="bad"
      title={`The chain is broken at ${count(data.broken)} ${data.broken === 1 ? 'place' : 'places'}`}
    >
      <ul>
        {data.breaks.map(gap => (
          <li key={`${gap.what} ${gap.seq}`}>
            {gap.what} at {gap.seq === gap.last ? gap.seq : `${gap.seq} to ${gap.last}`}, noted by the{' '}
            {gap.noted_by}
          </li>
        ))}
      </ul>
    </Callout>
  );
}
