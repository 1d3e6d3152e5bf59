import { getRouteApi, Link } from '@tanstack/react-router';
import { ArrowLeft } from 'lucide-react';
import { useApi, useIsAdmin } from '@/api';
import { EmptyState, EndedBadge, ErrorState, Page, Skeleton, StatusBadge } from '@/kit';
import { visible } from '@/kit/visible';
import { Models, type RequestRow } from '../logs/common/parts';
import { Actions } from './Actions';
import { Bodies } from './Bodies';
import { Charges } from './Charges';
import { CostPanel } from './CostPanel';
import { Summary } from './Summary';
import { TimePanel } from './TimePanel';
import { TokenPanel } from './TokenPanel';
import { Verdicts } from './Verdicts';
import './request.css';

const route = getRouteApi('/requests/$id');

/** One request: all that is known of it. */
export default function RequestPage() {
  const { id } = route.useParams();
  const record = useApi('/api/requests/{id}', { path: { id } }, { keepPrevious: false, staleTime: 60_000 });
  if (record.error?.status === 404) return <Missing />;
  if (record.error != null && record.data === undefined) {
    return (
      <Page title="Request">
        <ErrorState problem={record.error} onRetry={() => void record.refetch()} />
      </Page>
    );
  }
  return record.data === undefined ? <Loading id={id} /> : <Shown key={id} row={record.data} />;
}

function Shown({ row }: { row: RequestRow }) {
  const admin = useIsAdmin() === true;
  const captured = row.capture === 'written';
  const capture = useApi(
    '/api/captures/{id}',
    { path: { id: row.request_id } },
    { enabled: captured, keepPrevious: false, staleTime: 60_000 },
  );
  return (
    <Page
      title={`Request ${row.request_id.slice(0, 8)}`}
      heading={
        <span className="request-title">
          <Models row={row} />
          <StatusBadge status={row.status} />
          <EndedBadge ended={row.ended} />
        </span>
      }
      description={row.error === null ? undefined : <span className="mono">{visible(row.error)}</span>}
      actions={<Actions row={row} capture={capture.data ?? null} />}
    >
      <Summary row={row} admin={admin} />
      <div className="request-grid">
        <div className="stack">
          <TimePanel row={row} />
          <CostPanel row={row} />
        </div>
        <div className="stack">
          <TokenPanel row={row} />
          <Charges row={row} />
          <Verdicts row={row} captured={captured} />
        </div>
      </div>
      <Bodies row={row} capture={capture} admin={admin} />
    </Page>
  );
}

function Loading({ id }: { id: string }) {
  return (
    <Page title={`Request ${id.slice(0, 8)}`} heading={<Skeleton width={320} height={26} />}>
      <div aria-busy className="stack">
        <Skeleton height={44} />
        <div className="request-grid">
          {[150, 210, 190, 150].map((height, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
            <Skeleton key={index} height={height} />
          ))}
        </div>
        <Skeleton height={320} />
      </div>
    </Page>
  );
}

function Missing() {
  return (
    <Page title="Request">
      <EmptyState
        title="There is no such request here"
        action={
          <Link to="/logs" search={{ tab: 'requests' }} className="button button-default">
            <ArrowLeft size={15} aria-hidden /> All requests
          </Link>
        }
      >
        It may be older than what this gateway keeps, or belong to somebody else: everybody sees their own
        requests only. A request that has just ended shows up within a second.
      </EmptyState>
    </Page>
  );
}
