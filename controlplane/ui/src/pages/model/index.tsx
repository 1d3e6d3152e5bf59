import { Link, useParams } from '@tanstack/react-router';
import { useApi, useMe } from '@/api';
import { Badge, Card, ErrorState, Page, Skeleton, Text, TimeRangePicker } from '@/kit';
import { useTimeRange } from '@/kit/range';
import { useSearchState } from '@/kit/search';
import { Call } from './Call';
import { Facts } from './Facts';
import { Prices } from './Prices';
import { Served } from './Served';
import type { Search } from './search';
import { Use } from './Use';
import './model.css';

/** One model: what it costs, who serves it, how it is used, how to call it. */
export default function ModelPage() {
  const name = useParams({ strict: false })._splat ?? '';
  const [search, set] = useSearchState<Search>();
  const span = useTimeRange(search, '7d');
  const admin = useMe().data?.role === 'admin';
  const model = useApi(
    '/api/models/{model}',
    { path: { model: name }, query: { since: span.since } },
    { keepPrevious: false, refetchInterval: 30_000 },
  );
  const info = model.data;
  return (
    <Page
      title={name}
      heading={
        <>
          <Link to="/models" className="model-back">
            Models
          </Link>{' '}
          <Text text={name} mono />
        </>
      }
      description={
        info !== undefined && (
          <span className="row">
            {info.alias_of !== null && (
              <>
                Stands for{' '}
                <Link to="/models/$" params={{ _splat: info.alias_of }}>
                  <Text text={info.alias_of} mono />
                </Link>
              </>
            )}
            {info.granted ? (
              <Badge tone="good">granted to you</Badge>
            ) : (
              <Badge title="No grant lets you call it">not granted to you</Badge>
            )}
          </span>
        )
      }
      actions={<TimeRangePicker value={search} onChange={set} fallback="7d" />}
    >
      {info === undefined ? (
        model.isError ? (
          <ErrorState
            problem={model.error}
            advice={
              model.error.status === 404
                ? 'No provider serves a model of this name, or you are not granted it. The list of models shows what there is.'
                : undefined
            }
            onRetry={() => void model.refetch()}
          />
        ) : (
          <div className="stack" aria-busy="true">
            <Skeleton height={90} />
            <Skeleton height={260} />
            <Skeleton height={200} />
          </div>
        )
      ) : (
        <>
          <Facts info={info} label={span.label} />
          <div className="model-grid">
            <div className="stack">
              <Use model={info.model} span={span} admin={admin} />
              <Card title="Price" description="Dollars for a million model tokens, at each provider.">
                <Prices model={info.model} />
              </Card>
            </div>
            <div className="stack">
              <Served info={info} admin={admin} />
              <Call info={info} />
            </div>
          </div>
        </>
      )}
    </Page>
  );
}
