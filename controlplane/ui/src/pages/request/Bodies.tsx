import type { UseQueryResult } from '@tanstack/react-query';
import { FileX } from 'lucide-react';
import type { ApiProblem } from '@/api';
import { Callout, EmptyState, ErrorState, Skeleton, Tabs } from '@/kit';
import { bytes, count } from '@/kit/format';
import { useSearchState } from '@/kit/search';
import type { RequestRow } from '../logs/common/parts';
import type { CaptureDetail } from './Actions';
import { ConversationTab } from './ConversationTab';
import { HeadersTab } from './HeadersTab';
import { JsonTab } from './JsonTab';
import { RawTab } from './RawTab';
import type { Search, VIEWS } from './search';

type View = (typeof VIEWS)[number];

/** What was said, in the ways to look at it. */
export function Bodies({
  row,
  capture,
  admin,
}: {
  row: RequestRow;
  capture: UseQueryResult<CaptureDetail, ApiProblem>;
  admin: boolean;
}) {
  const [search, setSearch] = useSearchState<Search>();
  if (row.capture !== 'written') return <NotKept row={row} admin={admin} />;
  if (capture.error !== null) {
    return capture.error.status === 404 ? (
      <Gone row={row} />
    ) : (
      <ErrorState problem={capture.error} onRetry={() => void capture.refetch()} />
    );
  }
  const found = capture.data;
  const view: View = search.view ?? 'conversation';
  const tabs: { value: View; label: string }[] = [
    { value: 'conversation', label: 'Conversation' },
    { value: 'request', label: 'Request' },
    { value: 'answer', label: 'Answer' },
    ...(row.stream ? [{ value: 'events' as const, label: 'Events' }] : []),
    { value: 'raw', label: 'Raw' },
    { value: 'headers', label: 'Headers' },
  ];
  return (
    <Tabs
      label="Ways to look at it"
      tabs={tabs}
      value={view}
      onChange={view => setSearch({ view }, { replace: true })}
    >
      {found === undefined ? (
        <div aria-busy className="stack">
          <Skeleton height={64} />
          <Skeleton height={180} />
        </div>
      ) : (
        <div className="stack">
          <Flags capture={found} />
          {view === 'conversation' && <ConversationTab row={row} capture={found} />}
          {view === 'request' && (
            <JsonTab id={row.request_id} parts={['request', 'assembled']} capture={found} />
          )}
          {view === 'answer' && <JsonTab id={row.request_id} parts={['assembled']} capture={found} />}
          {view === 'events' && <JsonTab id={row.request_id} parts={['events']} capture={found} />}
          {view === 'raw' && <RawTab id={row.request_id} capture={found} />}
          {view === 'headers' && <HeadersTab capture={found} />}
        </div>
      )}
    </Tabs>
  );
}

/** In which way a capture is not the whole of it. */
function Flags({ capture }: { capture: CaptureDetail }) {
  const notes: string[] = [];
  const of = (what: string, body: CaptureDetail['request'], encoding: string | null) => {
    if (body.truncated) {
      notes.push(
        `Of the ${what}, ${count(body.kept)} of ${count(body.bytes)} bytes (${bytes(body.bytes)}) are kept: it was longer than captures may be, or its end did not come.`,
      );
    }
    if (body.encoded)
      notes.push(
        `The ${what} is kept as it came, encoded (${encoding ?? 'unknown'}): it could not be decoded within bounds.`,
      );
  };
  of('request', capture.request, capture.request_encoding);
  of('answer', capture.answer, capture.answer_encoding);
  if (capture.unfinished) notes.push('This capture has no end: the process died while the request ran.');
  else if (!capture.complete && capture.answer.kept > 0)
    notes.push('The answer did not come to its end, as far as it says itself.');
  if (notes.length === 0) return null;
  return (
    <Callout tone="warn">
      {notes.map(note => (
        <p key={note}>{note}</p>
      ))}
    </Callout>
  );
}

function NotKept({ row, admin }: { row: RequestRow; admin: boolean }) {
  if (row.capture === 'dropped') {
    return (
      <EmptyState icon={FileX} title="What was said was not kept: there was no room">
        The capture was given up so that the request itself did not have to wait. Everything above was
        recorded nevertheless.
        {admin && ' The health page tells how full the store of captures is.'}
      </EmptyState>
    );
  }
  return (
    <EmptyState
      icon={FileX}
      title="What was said was not kept"
      snippet={admin ? '"captures": { "enabled": true }' : undefined}
    >
      {row.ended === 'blocked'
        ? 'The request was refused before its body was kept. Everything above was recorded nevertheless.'
        : 'Captures were off for this request: in general, for this user or for this model. Everything above was recorded nevertheless.'}
      {admin && ' To keep heads and bodies of later requests, switch them on in the configuration:'}
    </EmptyState>
  );
}

function Gone({ row }: { row: RequestRow }) {
  return (
    <EmptyState icon={FileX} title="What was said is not there any more">
      It was captured ({bytes(row.request_bytes)} sent, {bytes(row.response_bytes)} received), and has been
      removed since: captures are kept for a shorter time than records, and within a limit of space. A request
      that ended this moment may take a second to be stored.
    </EmptyState>
  );
}
