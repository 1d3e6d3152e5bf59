import { useApi } from '@/api';
import { BarList, Card, ErrorState, Skeleton, Text } from '@/kit';
import { compact, count } from '@/kit/format';
import type { TimeSpan } from '@/kit/range';
import { callers } from './callers';

/** Newest calls that are looked at to say who has them. */
const LOOKED_AT = 1_000;
const SHOWN = 7;

/** Whose requests had tools called: of the newest calls of the range. */
export function People({ span }: { span: TimeSpan }) {
  const calls = useApi('/api/tool-calls', {
    query: { since: span.since, until: span.until, limit: LOOKED_AT },
  });
  const people = calls.data === undefined ? [] : callers(calls.data.tool_calls).slice(0, SHOWN);
  const cut = calls.data !== undefined && calls.data.next_cursor !== null;
  return (
    <Card
      title="By person"
      description={cut ? `Of the newest ${count(calls.data?.tool_calls.length ?? 0)} calls` : undefined}
    >
      {calls.data === undefined ? (
        calls.isError ? (
          <ErrorState compact problem={calls.error} onRetry={() => void calls.refetch()} />
        ) : (
          <div aria-busy="true">
            <Skeleton height={200} />
          </div>
        )
      ) : people.length === 0 ? (
        <p className="muted">The calls of this range are not kept any more; only their number is.</p>
      ) : (
        <BarList
          items={people.map(({ user, calls: times, tools }) => ({
            key: user,
            label: <Text text={user || 'Nobody known'} />,
            value: times,
            text: <span title={`${count(times)} calls of ${count(tools)} tools`}>{compact(times)}</span>,
            to: '/tools',
            search: { user, range: span.range === 'custom' ? undefined : span.range },
          }))}
        />
      )}
    </Card>
  );
}
