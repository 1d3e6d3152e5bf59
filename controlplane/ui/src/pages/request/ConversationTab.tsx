import { MessagesSquare } from 'lucide-react';
import { useMemo, useState } from 'react';
import { Button, Callout, EmptyState, ErrorState, Skeleton } from '@/kit';
import { bytes } from '@/kit/format';
import type { RequestRow } from '../logs/common/parts';
import type { CaptureDetail } from './Actions';
import { READ_MAX, useBody } from './bodies';
import { conversation } from './conversation';
import { Offered } from './Offered';
import { Turns } from './Turns';

/** What was said, as a conversation. */
export function ConversationTab({ row, capture }: { row: RequestRow; capture: CaptureDetail }) {
  const size = capture.request.kept + capture.answer.kept;
  const [wanted, setWanted] = useState(size <= READ_MAX);
  const id = row.request_id;
  const request = useBody(id, 'request', wanted && capture.request.kept > 0);
  const part = capture.assembled ? 'assembled' : 'answer';
  const answer = useBody(id, part, wanted && (capture.assembled || capture.answer.kept > 0));
  const talk = useMemo(() => {
    const said = answer.data?.isJson === true ? answer.data.value : null;
    return conversation(row.api, request.data?.value ?? null, said);
  }, [row.api, request.data, answer.data]);
  if (!wanted) {
    return (
      <Callout action={<Button onClick={() => setWanted(true)}>Load {bytes(size)}</Button>}>
        The bodies are large; reading them takes a moment.
      </Callout>
    );
  }
  const problem = request.error ?? answer.error;
  if (problem !== null) {
    return (
      <ErrorState
        problem={problem}
        onRetry={() => {
          void request.refetch();
          void answer.refetch();
        }}
      />
    );
  }
  if (request.isLoading || answer.isLoading) {
    return (
      <div aria-busy className="stack">
        <Skeleton height={56} />
        <Skeleton height={120} />
        <Skeleton height={90} />
      </div>
    );
  }
  const unread = request.data !== undefined && !request.data.isJson;
  if (talk.turns.length === 0) {
    return (
      <EmptyState icon={MessagesSquare} title="There is no conversation to show">
        {unread
          ? 'The request is no JSON, as with uploads of files, or was cut. The tab Raw shows its bytes.'
          : 'Neither the request nor the answer holds messages of a kind that is known here. The other tabs show them as they are.'}
      </EmptyState>
    );
  }
  return (
    <div className="talk-page">
      {unread && (
        <Callout tone="warn">The request is no whole JSON, so that only the answer is shown here.</Callout>
      )}
      <Offered tools={talk.tools} settings={talk.settings} />
      <Turns turns={talk.turns} />
    </div>
  );
}
