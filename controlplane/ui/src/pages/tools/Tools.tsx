import { useApi } from '@/api';
import { BarList, Card, EmptyState, ErrorState, Skeleton, Text, TimeSeries } from '@/kit';
import { compact, count } from '@/kit/format';
import type { TimeSpan } from '@/kit/range';
import { People } from './People';
import { ToolTable } from './ToolTable';

const HEIGHT = 220;
const TOP = 7;

export type Kind = 'hosted' | 'client';

export interface ToolsProps {
  span: TimeSpan;
  user: string | undefined;
  admin: boolean;
  /** Whether bodies are kept; `undefined` while not known. */
  captures: boolean | undefined;
  kind: Kind | undefined;
  onKind: (kind: Kind | undefined) => void;
  onOpen: (name: string) => void;
}

/** All tools: calls over time, and a table. */
export function Tools({ span, user, admin, captures, kind, onKind, onOpen }: ToolsProps) {
  const summary = useApi(
    '/api/tool-calls/summary',
    {
      query: {
        since: span.since,
        until: span.until,
        user,
        step: span.step === 'day' ? 'day' : 'hour',
        top: TOP,
      },
    },
    { refetchInterval: 60_000 },
  );
  const { data } = summary;
  if (data === undefined) {
    return summary.isError ? (
      <ErrorState problem={summary.error} onRetry={() => void summary.refetch()} />
    ) : (
      <div className="stack" aria-busy="true">
        <Skeleton height={HEIGHT + 90} />
        <Skeleton height={240} />
      </div>
    );
  }
  if (data.tools.length === 0) {
    return (
      <EmptyState
        title="No tool was called in this range"
        snippet={`"tools": [{ "type": "function", "function": { "name": "get_weather", "parameters": { "type": "object" } } }]`}
      >
        {captures === false
          ? 'Tool calls are read out of captured answers, and captures are switched off in the configuration.'
          : 'Calls appear here when a request offers tools and the model asks for one, as coding agents do all the time. A longer range may hold some.'}
      </EmptyState>
    );
  }
  const hosted = data.tools.filter(tool => tool.hosted > 0).length;
  return (
    <>
      <div className="tools-top">
        <Card title="Calls over time">
          <TimeSeries
            label="Tool calls"
            times={data.times}
            stacked
            height={HEIGHT}
            format={compact}
            series={[
              ...data.series.map(line => ({ label: line.name, values: line.calls })),
              ...(data.other === null ? [] : [{ label: 'Others', values: data.other, color: 0 }]),
            ]}
          />
        </Card>
        {admin && user === undefined ? (
          <People span={span} />
        ) : (
          <Card title="Who ran them">
            <BarList
              items={[
                {
                  key: 'client',
                  label: 'Clients',
                  value: data.total.calls - data.total.hosted,
                  text: (
                    <span title="Run by the client that asked">
                      {count(data.total.calls - data.total.hosted)}
                    </span>
                  ),
                },
                {
                  key: 'hosted',
                  label: 'Providers',
                  value: data.total.hosted,
                  text: <span title="Hosted tools, such as web search">{count(data.total.hosted)}</span>,
                },
              ]}
            />
            <p className="tools-note muted">
              <Text text={`${count(data.tools.length)} tools, ${count(hosted)} of them run by providers.`} />
            </p>
          </Card>
        )}
      </div>
      <ToolTable tools={data.tools} kind={kind} onKind={onKind} onOpen={onOpen} />
    </>
  );
}
