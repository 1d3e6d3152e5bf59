import { Link } from '@tanstack/react-router';
import { ShieldCheck } from 'lucide-react';
import { type Schema, useApi, useMe } from '@/api';
import {
  Badge,
  Button,
  Card,
  DataTable,
  EmptyState,
  Page,
  Skeleton,
  Text,
  Time,
  TimeRangePicker,
  TimeSeries,
} from '@/kit';
import { count, micros } from '@/kit/format';
import { useTimeRange } from '@/kit/range';
import { useSearchState } from '@/kit/search';
import { Hits } from './Hits';
import type { Search } from './search';

type Rule = Schema<'GuardrailRule'>;

const snippet = `"guardrails": {
  "secrets": { "on": ["requests", "answers"], "detectors": ["secrets"], "action": "redact" },
  "addresses": { "detectors": ["email"], "action": "block", "shadow": true },
},`;

export default function GuardrailsPage() {
  const me = useMe();
  const [search, setSearch] = useSearchState<Search>();
  const span = useTimeRange(search, '7d');
  const admin = me.data?.role === 'admin';
  return (
    <Page
      title="Guardrails"
      description="Rules and hooks that look at calls: what they found, what they did about it, and what those in shadow mode would have done."
      filters={
        <TimeRangePicker
          value={search}
          onChange={setSearch}
          fallback="7d"
          ranges={['24h', '7d', '30d', '90d', 'custom']}
        />
      }
    >
      {admin && (
        <Rules
          since={span.since}
          until={span.until}
          step={span.step === 'day' ? 'day' : 'hour'}
          chosen={search.rule}
          onChoose={rule => setSearch({ rule })}
        />
      )}
      <Card
        title={search.rule === undefined ? 'Hits' : `Hits of ${search.rule}`}
        description="Every call of which something was said but that it may pass."
        actions={
          search.rule !== undefined && (
            <Button size="small" onClick={() => setSearch({ rule: undefined })}>
              Of every rule
            </Button>
          )
        }
        flush
      >
        <Hits rule={search.rule} user={search.user} since={span.since} until={span.until} />
      </Card>
    </Page>
  );
}

function Rules({
  since,
  until,
  step,
  chosen,
  onChoose,
}: {
  since: string;
  until: string;
  step: 'hour' | 'day';
  chosen: string | undefined;
  onChoose: (rule: string) => void;
}) {
  const list = useApi('/api/guardrails', { query: { since, until, step } });
  const { data } = list;
  const found = data?.series.filter(line => line.hits.some(hits => hits > 0)) ?? [];
  return (
    <>
      {data === undefined && list.isPending && <Skeleton height={200} />}
      {data !== undefined && found.length > 0 && (
        <Card title="Hits over time">
          <TimeSeries
            label="Hits over time"
            times={data.times}
            series={found.map(line => ({ label: line.name, values: line.hits }))}
            format={count}
            stacked
            height={180}
          />
        </Card>
      )}
      <DataTable<Rule>
        label="Rules"
        rows={data?.rules}
        rowId={rule => `${rule.judge} ${rule.name}`}
        loading={list.isPending}
        problem={list.error}
        onRetry={() => void list.refetch()}
        onOpen={rule => onChoose(rule.name)}
        selected={
          data?.rules.filter(rule => rule.name === chosen).map(rule => `${rule.judge} ${rule.name}`)[0]
        }
        columns={[
          {
            id: 'name',
            header: 'Rule',
            grow: true,
            value: rule => rule.name,
            cell: rule => (
              <button type="button" className="link" onClick={() => onChoose(rule.name)}>
                <Text text={rule.name} clamp={80} />
              </button>
            ),
          },
          {
            id: 'mode',
            header: 'Mode',
            value: mode,
            cell: rule => (
              <Badge tone={!rule.configured ? 'neutral' : rule.shadow ? 'info' : 'good'}>{mode(rule)}</Badge>
            ),
          },
          {
            id: 'does',
            header: 'Does',
            cut: true,
            value: rule => rule.action ?? (rule.judge === 'hook' ? 'decides by call' : 'unknown'),
          },
          {
            id: 'on',
            header: 'Looks at',
            rank: 2,
            cut: true,
            value: rule => rule.on?.join(', ') ?? (rule.judge === 'hook' ? 'requests' : 'unknown'),
          },
          figure('blocked', 'Blocked'),
          figure('redacted', 'Redacted'),
          { ...figure('modified', 'Changed'), rank: 3 },
          figure('flagged', 'Noted'),
          { ...figure('failed', 'Failed'), rank: 1 },
          { ...figure('shadow', 'In shadow'), hint: 'What it would have done, had it been in force' },
          {
            id: 'verdicts',
            header: 'Asked',
            rank: 4,
            align: 'end',
            hint: 'Verdicts, those that let a call pass included',
            value: rule => rule.verdicts,
          },
          {
            id: 'took',
            header: 'Took',
            rank: 5,
            align: 'end',
            hint: 'On average, and at most',
            value: rule => rule.took_us?.mean,
            cell: rule =>
              rule.took_us === null ? (
                <span className="faint">unknown</span>
              ) : (
                `${micros(rule.took_us.mean)} / ${micros(rule.took_us.max)}`
              ),
          },
          {
            id: 'last',
            header: 'Last hit',
            value: rule => rule.last,
            cell: rule => <Time time={rule.last} relative />,
          },
        ]}
        empty={
          <EmptyState
            icon={ShieldCheck}
            title="There are no guardrails"
            snippet={snippet}
            action={
              <Link to="/settings" search={{ tab: 'visual', section: 'guardrails' }}>
                Add one under Settings
              </Link>
            }
          >
            A guardrail looks for secrets, personal data, tools or fields in calls, and blocks, redacts or
            notes them. Begin with one in shadow mode: it only says what it would do.
          </EmptyState>
        }
      />
    </>
  );
}

const mode = (rule: Rule): string =>
  !rule.configured ? 'gone' : rule.judge === 'hook' ? 'hook' : rule.shadow ? 'shadow' : 'in force';

const figure = (id: keyof Rule['hits'], header: string) => ({
  id,
  header,
  align: 'end' as const,
  value: (rule: Rule) => rule.hits[id],
  cell: (rule: Rule) => (rule.hits[id] === 0 ? <span className="faint">0</span> : count(rule.hits[id])),
});
