import { useState } from 'react';
import { useApi } from '@/api';
import { BarList, Card, ErrorState, Skeleton, Tabs, Text, TimeSeries } from '@/kit';
import { costOf } from '@/kit/cost';
import { compact, count, exactMoney, money } from '@/kit/format';
import type { TimeSpan } from '@/kit/range';
import { tokenKinds } from '../overview/kinds';
import { spend } from '../overview/spend';
import { offsetSeconds } from '../overview/useUsage';

const HEIGHT = 210;
const PEOPLE = 8;

const VIEWS = [
  { value: 'spend', label: 'Spend' },
  { value: 'requests', label: 'Requests' },
  { value: 'tokens', label: 'Model tokens' },
] as const;
type View = (typeof VIEWS)[number]['value'];

/** How a model is used over time; for admins also by whom. */
export function Use({ model, span, admin }: { model: string; span: TimeSpan; admin: boolean }) {
  const [view, setView] = useState<View>('spend');
  const usage = useApi(
    '/api/usage/series',
    {
      query: {
        step: span.step,
        split: admin ? 'user' : 'none',
        since: span.since,
        until: span.until,
        model,
        top: PEOPLE,
        offset_s: offsetSeconds(span.untilMs),
      },
    },
    { refetchInterval: 60_000 },
  );
  const { data } = usage;
  return (
    <>
      <Card title="Use over time">
        {data === undefined ? (
          usage.isError ? (
            <ErrorState compact problem={usage.error} onRetry={() => void usage.refetch()} />
          ) : (
            <div aria-busy="true">
              <Skeleton height={HEIGHT + 60} />
            </div>
          )
        ) : (
          <Tabs label="What is shown" tabs={VIEWS} value={view} onChange={setView}>
            {view === 'spend' && (
              <TimeSeries
                label="Spend"
                times={data.times}
                stacked
                height={HEIGHT}
                format={money}
                series={[{ label: 'Spend', values: spend(data.total) }]}
              />
            )}
            {view === 'requests' && (
              <TimeSeries
                label="Requests"
                times={data.times}
                stacked
                height={HEIGHT}
                format={compact}
                series={[
                  { label: 'Failed', values: data.total.errors, color: 8 },
                  {
                    label: 'Answered',
                    values: data.total.requests.map((all, at) =>
                      Math.max(0, all - (data.total.errors[at] ?? 0)),
                    ),
                    color: 1,
                  },
                ]}
              />
            )}
            {view === 'tokens' && <Kinds data={data} />}
          </Tabs>
        )}
      </Card>
      {admin && data !== undefined && (
        <Card title="Who uses it">
          {data.series.length === 0 ? (
            <p className="muted">Nobody in this range.</p>
          ) : (
            <BarList
              items={data.series.map(({ key, totals }) => ({
                key: key ?? '',
                label: <Text text={key || 'Nobody known'} />,
                value: totals.cost_nanousd > 0 ? totals.cost_nanousd : totals.requests,
                text: (
                  <span title={`${exactMoney(totals.cost_nanousd)}, ${count(totals.unpriced)} unpriced`}>
                    {costOf(totals).why ?? money(totals.cost_nanousd)} · {compact(totals.requests)} requests
                  </span>
                ),
                to: key ? '/people/$login' : undefined,
                params: { login: key ?? '' },
              }))}
            />
          )}
        </Card>
      )}
    </>
  );
}

function Kinds({ data }: { data: { times: readonly string[]; total: Parameters<typeof tokenKinds>[0] } }) {
  const kinds = tokenKinds(data.total);
  return (
    <TimeSeries
      label="Model tokens by kind"
      times={data.times}
      stacked
      height={HEIGHT}
      format={compact}
      series={[
        { label: 'Cache read', values: kinds.cached, color: 6 },
        { label: 'Other input', values: kinds.uncached, color: 1 },
        { label: 'Output', values: kinds.answer, color: 2 },
        { label: 'Reasoning', values: kinds.reasoning, color: 3 },
      ]}
    />
  );
}
