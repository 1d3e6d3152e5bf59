import { useState } from 'react';
import { Button, Callout, Card, Code, CopyButton, EmptyState, ErrorState, Skeleton } from '@/kit';
import { bytes } from '@/kit/format';
import type { CaptureDetail } from './Actions';
import { type Part, READ_MAX, useBody } from './bodies';
import { JsonTree } from './JsonTree';

const TITLES: Record<Part, string> = {
  request: 'Request',
  answer: 'Answer',
  assembled: 'Answer',
  events: 'Events of the stream',
};

/** Bodies as trees, side by side where there is room. */
export function JsonTab({
  id,
  parts,
  capture,
}: {
  id: string;
  parts: readonly Part[];
  capture: CaptureDetail;
}) {
  return (
    <div className={parts.length > 1 ? 'sides' : 'stack'}>
      {parts.map(part => (
        <OneBody
          key={part}
          id={id}
          // What came whole is not put together a second time.
          part={part === 'assembled' && !capture.assembled ? 'answer' : part}
          capture={capture}
        />
      ))}
    </div>
  );
}

function OneBody({ id, part, capture }: { id: string; part: Part; capture: CaptureDetail }) {
  const size = part === 'request' ? capture.request.kept : capture.answer.kept;
  const [wanted, setWanted] = useState(size <= READ_MAX);
  const there = size > 0 && (part !== 'events' || capture.stream);
  const body = useBody(id, part, wanted && there);
  return (
    <Card
      title={TITLES[part]}
      actions={
        body.data !== undefined && (
          <CopyButton text={body.data.text} label={`Copy ${TITLES[part].toLowerCase()}`} />
        )
      }
    >
      {!there && <Nothing part={part} />}
      {there && !wanted && (
        <Callout action={<Button onClick={() => setWanted(true)}>Load {bytes(size)}</Button>}>
          This is large; reading it takes a moment. The tab Raw shows pieces of it at once.
        </Callout>
      )}
      {there && wanted && body.error !== null && (
        <ErrorState compact problem={body.error} onRetry={() => void body.refetch()} />
      )}
      {there && wanted && body.isLoading && (
        <div aria-busy className="stack">
          <Skeleton height={160} />
        </div>
      )}
      {body.data !== undefined &&
        (body.data.isJson ? (
          <JsonTree value={body.data.value} label={TITLES[part]} depth={part === 'events' ? 1 : 3} />
        ) : (
          <Code text={body.data.text} wrap />
        ))}
    </Card>
  );
}

function Nothing({ part }: { part: Part }) {
  const why = part === 'request' ? 'The request had no body.' : 'There was no answer body.';
  return (
    <EmptyState compact title="Nothing to show">
      {why}
    </EmptyState>
  );
}
