import { useApi, useMe } from '@/api';
import { Badge, ErrorState, KeyValue, Skeleton, Text, Time } from '@/kit';
import { bytes, count, seconds } from '@/kit/format';

/** What runs here, how it is, and where its descriptions are. */
export function About() {
  const me = useMe();
  const health = useApi('/api/health', {}, { refetchInterval: 5000 });
  if (health.error !== null)
    return <ErrorState problem={health.error} onRetry={() => void health.refetch()} />;
  const { data } = health;
  if (data === undefined || me.data === undefined) return <Skeleton height={320} />;
  const full = 'ingest' in data ? data : null;
  return (
    <div className="stack">
      <KeyValue
        rows={[
          ['Version', me.data.version],
          [
            'State',
            <Badge key="state" tone={data.status === 'ok' ? 'good' : 'warn'}>
              {data.status}
            </Badge>,
          ],
          ...(full === null
            ? []
            : ([
                ['Running for', seconds(full.uptime_s)],
                ['Data planes connected', count(full.data_planes)],
                ['Configuration', <Text key="config" text={full.config.summary ?? ''} clamp={300} />],
                [
                  'Kept in',
                  <Text key="path" text={full.config.saves_to ?? full.config.source} clamp={300} />,
                ],
                ['Store', `${full.store.kind}, ${bytes(full.store.bytes)}`],
                ['Records stored since the start', count(full.ingest.records)],
                ['Records behind', `${count(full.ingest.lag_ms)} ms`],
                ['Captures stored since the start', count(full.captures.stored)],
                ['Captures dropped', count(full.captures.dropped)],
              ] as [string, React.ReactNode][])),
          ['Clock of the gateway', <Time key="time" time={me.data.time} />],
        ]}
      />
      <p>
        <a href="/aperture/openapi.json" target="_blank" rel="noreferrer">
          Description of the API (OpenAPI 3.1)
        </a>
      </p>
    </div>
  );
}
