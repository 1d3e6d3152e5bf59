import type { ReactNode } from 'react';
import { asProblem } from '@/api';
import { Card, ErrorState, Skeleton, TimeSeries } from '@/kit';
import { compact, money } from '@/kit/format';
import { tokenKinds } from './kinds';
import { spendLines } from './spend';
import type { useSeries } from './useUsage';

const HEIGHT = 230;
const SMALL = 170;

/** Spend, model tokens and requests over time, and what stands beside the first. */
export function Charts({ series, beside }: { series: ReturnType<typeof useSeries>; beside: ReactNode }) {
  const { data } = series;
  const chart = (draw: (loaded: NonNullable<typeof data>) => ReactNode) => {
    if (data !== undefined) return draw(data);
    if (series.isError) {
      return <ErrorState compact problem={asProblem(series.error)} onRetry={() => void series.refetch()} />;
    }
    return (
      <div aria-busy="true">
        <Skeleton height={HEIGHT + 30} />
      </div>
    );
  };
  return (
    <div className="overview-charts">
      <div className="overview-main">
        <Card title="Spend by model">
          {chart(loaded => (
            <TimeSeries
              label="Spend by model"
              times={loaded.times}
              stacked
              height={HEIGHT}
              format={money}
              series={spendLines(loaded)}
            />
          ))}
        </Card>
        <div className="overview-pair">
          <Card title="Model tokens by kind">
            {chart(loaded => {
              const kinds = tokenKinds(loaded.total);
              return (
                <TimeSeries
                  label="Model tokens by kind"
                  times={loaded.times}
                  stacked
                  height={SMALL}
                  format={compact}
                  series={[
                    { label: 'Cache read', values: kinds.cached, color: 6 },
                    { label: 'Other input', values: kinds.uncached, color: 1 },
                    { label: 'Output', values: kinds.answer, color: 2 },
                    {
                      label: 'Reasoning',
                      values: kinds.reasoning,
                      color: 3,
                    },
                  ]}
                />
              );
            })}
          </Card>
          <Card title="Requests and errors">
            {chart(loaded => (
              <TimeSeries
                label="Requests and errors"
                times={loaded.times}
                stacked
                height={SMALL}
                format={compact}
                series={[
                  {
                    label: 'Failed',
                    values: loaded.total.errors,
                    color: 8,
                  },
                  {
                    label: 'Answered',
                    values: loaded.total.requests.map((all, at) =>
                      Math.max(0, all - (loaded.total.errors[at] ?? 0)),
                    ),
                    color: 1,
                  },
                ]}
              />
            ))}
          </Card>
        </div>
      </div>
      {beside}
    </div>
  );
}
