import type { ReactNode } from 'react';
import { type ApiProblem, asProblem, useApi } from '@/api';
import { BarList, Card, ErrorState, Skeleton, Text, Time } from '@/kit';
import { costOf } from '@/kit/cost';
import { count, exactMoney, money } from '@/kit/format';
import type { TimeSpan } from '@/kit/range';
import type { useSeries } from './useUsage';

const SHOWN = 6;

export interface TopsProps {
  series: ReturnType<typeof useSeries>;
  span: TimeSpan;
  user: string | undefined;
  admin: boolean;
}

/** What most was spent on, by whom, and in which sessions. */
export function Tops({ series, span, user, admin }: TopsProps) {
  const people = admin && user === undefined;
  const width = people ? 2 : 3;
  return (
    <div className="overview-grid">
      <div data-span={width}>
        <TopModels series={series} />
      </div>
      {people && (
        <div data-span={width}>
          <TopPeople span={span} />
        </div>
      )}
      <div data-span={width}>
        <TopSessions span={span} user={user} withUser={people} />
      </div>
    </div>
  );
}

interface Asked<T> {
  data: T | undefined;
  isError: boolean;
  error: ApiProblem | null;
  refetch: () => unknown;
}

/** A card with a list that is on its way, failed, empty, or there. */
function Top<T>({
  title,
  query,
  none,
  children,
}: {
  title: string;
  query: Asked<T>;
  none: string;
  children: (data: T) => ReactNode;
}) {
  const { data } = query;
  return (
    <Card title={title}>
      {data !== undefined ? (
        (children(data) ?? <p className="muted">{none}</p>)
      ) : query.isError ? (
        <ErrorState compact problem={asProblem(query.error)} onRetry={() => void query.refetch()} />
      ) : (
        <div className="stack" aria-busy="true">
          {[88, 64, 47, 30].map(width => (
            <Skeleton key={width} width={`${width}%`} height={20} />
          ))}
        </div>
      )}
    </Card>
  );
}

function TopModels({ series }: { series: ReturnType<typeof useSeries> }) {
  return (
    <Top title="Top models" query={series} none="No requests in this range.">
      {data => {
        const used = data.series.filter(({ totals }) => totals.requests > 0).slice(0, SHOWN);
        if (used.length === 0) return null;
        return (
          <BarList
            items={used.map(({ key, totals }) => ({
              key: key ?? '',
              label: <Text text={key || 'No provider reached'} />,
              value: totals.cost_nanousd,
              text: (
                <span
                  title={`${exactMoney(totals.cost_nanousd)}, ${count(totals.requests)} requests, ${count(totals.unpriced)} of them unpriced`}
                >
                  {costOf(totals).why ?? money(totals.cost_nanousd)}
                </span>
              ),
              to: key ? '/models/$' : undefined,
              params: { _splat: key ?? '' },
            }))}
          />
        );
      }}
    </Top>
  );
}

function TopPeople({ span }: { span: TimeSpan }) {
  const usage = useApi('/api/usage', {
    query: { by: 'user', sort: 'cost', limit: SHOWN, since: span.since, until: span.until },
  });
  return (
    <Top title="Top people" query={usage} none="No requests in this range.">
      {data => {
        if (data.groups.length === 0) return null;
        return (
          <BarList
            items={data.groups.map(group => ({
              key: group.key,
              label: <Text text={group.key || 'Nobody known'} />,
              value: group.cost_nanousd,
              text: (
                <span title={`${exactMoney(group.cost_nanousd)}, ${count(group.requests)} requests`}>
                  {costOf(group).why ?? money(group.cost_nanousd)}
                </span>
              ),
              to: group.key === '' ? undefined : '/people/$login',
              params: { login: group.key },
            }))}
          />
        );
      }}
    </Top>
  );
}

function TopSessions({
  span,
  user,
  withUser,
}: {
  span: TimeSpan;
  user: string | undefined;
  withUser: boolean;
}) {
  const sessions = useApi('/api/sessions', {
    query: { since: span.since, until: span.until, user, sort: 'cost', limit: SHOWN },
  });
  return (
    <Top title="Top sessions" query={sessions} none="No sessions in this range.">
      {data => {
        if (data.sessions.length === 0) return null;
        return (
          <BarList
            items={data.sessions.map(session => ({
              key: session.id,
              label: (
                <>
                  {session.client === 'unknown' ? 'Unknown client' : session.client}{' '}
                  <span className="faint">
                    {withUser ? <Text text={session.user} /> : <Time time={session.last} relative />}
                  </span>
                </>
              ),
              value: session.cost_nanousd,
              text: (
                <span title={`${exactMoney(session.cost_nanousd)}, ${count(session.requests)} requests`}>
                  {money(session.cost_nanousd)}
                </span>
              ),
              to: '/sessions/$id',
              params: { id: session.id },
            }))}
          />
        );
      }}
    </Top>
  );
}
