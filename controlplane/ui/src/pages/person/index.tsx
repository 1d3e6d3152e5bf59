import { Link, useParams } from '@tanstack/react-router';
import { type Schema, useApi } from '@/api';
import {
  AtLeast,
  BarList,
  Card,
  ErrorState,
  KeyValue,
  Page,
  Skeleton,
  Stat,
  StatGrid,
  Text,
  Time,
  TimeRangePicker,
  TimeSeries,
  Tokens,
} from '@/kit';
import { count, money } from '@/kit/format';
import { useTimeRange } from '@/kit/range';
import { useSearchState } from '@/kit/search';
import { missing, nodeNames, requests } from './facts';
import { Granted } from './Granted';
import type { Search } from './search';
import './person.css';

export default function PersonPage() {
  const { login } = useParams({ strict: false }) as { login: string };
  const [search, setSearch] = useSearchState<Search>();
  const span = useTimeRange(search, '30d');
  const person = useApi('/api/people/{login}', { path: { login } });
  const series = useApi(
    '/api/usage/series',
    { query: { user: login, since: span.since, until: span.until, step: span.step, split: 'model', top: 6 } },
    { enabled: person.data !== undefined },
  );
  const { data } = person;
  return (
    <Page
      title={login.slice(0, 120)}
      heading={<Text text={login} clamp={120} />}
      description={
        <>
          <Link to="/people">People</Link> · what they used, and what they are granted
        </>
      }
      actions={
        <Link className="button" to="/logs" search={{ tab: 'requests', user: login } as never}>
          Requests
        </Link>
      }
    >
      {person.error !== null && <ErrorState problem={person.error} onRetry={() => void person.refetch()} />}
      {person.isPending && <Skeleton height={90} />}
      {data !== undefined && (
        <>
          <StatGrid>
            <Stat label="Requests" value={count(data.requests)} hint={`${count(data.errors)} with errors`} />
            <Stat label="Cost" value={<AtLeast sums={data} />} hint={missing(data)} />
            <Stat label="Input" value={<Tokens tokens={data.input} />} hint="model tokens" />
            <Stat label="Output" value={<Tokens tokens={data.output} />} hint="model tokens" />
            <Stat
              label="Last call"
              value={<Time time={data.last} relative />}
              hint={
                <>
                  first <Time time={data.first} relative />
                </>
              }
            />
          </StatGrid>
          <Card
            title="Spend by model"
            actions={<TimeRangePicker value={search} onChange={setSearch} fallback="30d" />}
          >
            {series.data === undefined ? (
              <Skeleton height={200} />
            ) : (
              <TimeSeries
                label={`Spend of ${login}`}
                times={series.data.times}
                series={[
                  ...series.data.series.map(line => ({
                    label: line.key || 'no model',
                    values: line.cost_nanousd,
                  })),
                  ...(series.data.other === null
                    ? []
                    : [{ label: 'Others', values: series.data.other.cost_nanousd, color: 0 }]),
                ]}
                format={money}
                stacked
              />
            )}
          </Card>
          <div className="person-parts">
            <Card title="Models">
              <BarList
                items={data.models.slice(0, 8).map(group => ({
                  key: group.key,
                  label: <Text text={group.key || 'no model'} clamp={60} />,
                  value: group.requests,
                  text: requests(group.requests),
                }))}
              />
            </Card>
            <Card title="Where from">
              <KeyValue
                rows={[
                  ['Clients', <Clients key="clients" clients={data.clients} />],
                  [
                    'Nodes',
                    data.nodes.length === 0 ? (
                      ''
                    ) : (
                      <Text key="nodes" text={nodeNames(data.nodes)} clamp={300} mono />
                    ),
                  ],
                  [
                    'Tokens',
                    <Link key="tokens" to="/tokens">
                      {count(data.tokens)}
                    </Link>,
                  ],
                  [
                    'Last session',
                    data.last_session === null ? (
                      ''
                    ) : (
                      <Link key="session" to="/sessions/$id" params={{ id: data.last_session.id }}>
                        <Time time={data.last_session.last} relative />
                      </Link>
                    ),
                  ],
                ]}
              />
            </Card>
          </div>
        </>
      )}
      <Granted login={login} />
    </Page>
  );
}

function Clients({ clients }: { clients: Schema<'PersonDetail'>['clients'] }) {
  if (clients.length === 0) return null;
  return (
    <ul className="person-clients">
      {clients.slice(0, 6).map(client => (
        <li key={`${client.user_agent} ${client.client}`}>
          <Text text={client.user_agent ?? client.client ?? 'says nothing of itself'} clamp={70} />
        </li>
      ))}
    </ul>
  );
}
