import { ShieldCheck } from 'lucide-react';
import { useState } from 'react';
import { type Schema, useInfiniteApi } from '@/api';
import { Badge, Button, DataTable, Dialog, EmptyState, RowLink, Text, Time } from '@/kit';
import { Shadow } from './Shadow';

type Hit = Schema<'GuardrailHit'>;

const tones = {
  allow: 'neutral',
  log: 'info',
  redact: 'warn',
  modify: 'warn',
  block: 'bad',
  failed: 'bad',
} as const;
const words = {
  allow: 'let pass',
  log: 'noted',
  redact: 'redacted',
  modify: 'changed',
  block: 'blocked',
  failed: 'failed',
} as const;

/** Calls that a rule said something of, newest first. */
export function Hits({
  rule,
  user,
  since,
  until,
}: {
  rule?: string;
  user?: string;
  since: string;
  until: string;
}) {
  const [looking, setLooking] = useState<Hit | null>(null);
  const list = useInfiniteApi('/api/guardrails/hits', { query: { rule, user, since, until } }, page => ({
    rows: page.hits,
    next: page.next_cursor,
  }));
  return (
    <>
      <DataTable<Hit>
        label="Hits"
        rows={list.data === undefined ? undefined : list.rows}
        rowId={hit => `${hit.request_id} ${hit.verdict.name} ${hit.verdict.on_answer} ${hit.verdict.what}`}
        loading={list.isPending}
        problem={list.error}
        onRetry={() => void list.refetch()}
        href={hit => ({ to: '/requests/$id', params: { id: hit.request_id } })}
        more={{
          has: list.hasNextPage,
          loading: list.isFetchingNextPage,
          load: () => void list.fetchNextPage(),
        }}
        columns={[
          {
            id: 'time',
            header: 'Time',
            value: hit => hit.time,
            cell: hit => (
              <RowLink to="/requests/$id" params={{ id: hit.request_id }}>
                <Time time={hit.time} />
              </RowLink>
            ),
          },
          {
            id: 'rule',
            header: 'Rule',
            cut: true,
            value: hit => hit.verdict.name,
            cell: hit => <Text text={hit.verdict.name} clamp={60} />,
          },
          {
            id: 'action',
            header: 'Done',
            value: hit => words[hit.verdict.action],
            cell: hit => (
              <span className="row-tight">
                <Badge tone={tones[hit.verdict.action]}>{words[hit.verdict.action]}</Badge>
                {hit.verdict.shadow && <Badge tone="info">shadow</Badge>}
              </span>
            ),
          },
          {
            id: 'what',
            header: 'Found',
            grow: true,
            value: hit => hit.verdict.what,
            cell: hit => <Text text={hit.verdict.what} clamp={80} />,
          },
          { id: 'in', header: 'In', rank: 2, value: hit => (hit.verdict.on_answer ? 'answer' : 'request') },
          { id: 'count', header: 'Times', rank: 1, align: 'end', value: hit => hit.verdict.count },
          {
            id: 'user',
            header: 'User',
            grow: true,
            value: hit => hit.user,
            cell: hit => <Text text={hit.user} clamp={60} />,
          },
          {
            id: 'model',
            header: 'Model',
            cut: true,
            value: hit => hit.model,
            cell: hit => <Text text={hit.model} clamp={60} />,
          },
          {
            id: 'diff',
            header: '',
            value: () => null,
            cell: hit =>
              hit.verdict.judge === 'guardrail' ? (
                <Button size="small" onClick={() => setLooking(hit)}>
                  What changes
                </Button>
              ) : null,
          },
        ]}
        empty={
          <EmptyState icon={ShieldCheck} title="No rule found anything in this time" compact>
            Calls of which a rule or hook says something appear here.
          </EmptyState>
        }
      />
      <Dialog
        open={looking !== null}
        onOpenChange={open => !open && setLooking(null)}
        title="What the guardrails in force now would change"
        description="Each place with what was found masked, as it was sent and as it would be. Looking at somebody else’s call goes on record."
        size="wide"
      >
        {looking !== null && <Shadow request={looking.request_id} rule={looking.verdict.name} />}
      </Dialog>
    </>
  );
}
