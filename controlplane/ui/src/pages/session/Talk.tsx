import { Link } from '@tanstack/react-router';
import { MessagesSquare } from 'lucide-react';
import { useEffect, useMemo, useState } from 'react';
import { useApi } from '@/api';
import { Button, Callout, Card, EmptyState, ErrorState, Select, Skeleton, Text } from '@/kit';
import { bytes } from '@/kit/format';
import { READ_MAX, useBody } from '../request/bodies';
import { conversation, firstWords } from '../request/conversation';
import { Turns } from '../request/Turns';
import type { Lane, RequestRow } from './lanes';
import { linked } from './links';

/** What an agent of the session said and was told: its last request holds the history. */
export function Talk({
  lanes,
  sessionKey,
  user,
  onTitle,
}: {
  lanes: readonly Lane[];
  sessionKey: string;
  user: string;
  onTitle: (title: string) => void;
}) {
  const withTalk = lanes.filter(lane => lane.requests.some(row => row.capture === 'written'));
  const [chosen, setChosen] = useState('');
  const lane = withTalk.find(lane => (lane.agent ?? '') === chosen) ?? withTalk[0];
  if (lane === undefined) {
    return (
      <Card title="Conversation">
        <EmptyState compact icon={MessagesSquare} title="What was said was not kept">
          None of these requests was captured. Their records above are complete nevertheless.
        </EmptyState>
      </Card>
    );
  }
  return (
    <Card
      title="Conversation"
      actions={
        withTalk.length > 1 && (
          <Select
            aria-label="Agent"
            value={lane.agent ?? ''}
            options={withTalk.map(one => ({
              value: one.agent ?? '',
              label: one.agent === null ? 'Main agent' : one.agent.slice(0, 60),
            }))}
            onChange={event => setChosen(event.target.value)}
          />
        )
      }
    >
      <OfAgent key={lane.agent ?? ''} lane={lane} sessionKey={sessionKey} user={user} onTitle={onTitle} />
    </Card>
  );
}

/** The request whose body holds most of the history: the last that was answered, else the last. */
function holder(lane: Lane): RequestRow | undefined {
  const captured = lane.requests.filter(row => row.capture === 'written');
  return captured.findLast(row => row.status > 0 && row.status < 400) ?? captured.at(-1);
}

function OfAgent({
  lane,
  sessionKey,
  user,
  onTitle,
}: {
  lane: Lane;
  sessionKey: string;
  user: string;
  onTitle: (title: string) => void;
}) {
  const row = holder(lane);
  const size = (row?.request_bytes ?? 0) + (row?.response_bytes ?? 0);
  const [wanted, setWanted] = useState(size <= READ_MAX);
  const id = row?.request_id ?? '';
  const enabled = wanted && row !== undefined;
  const request = useBody(id, 'request', enabled);
  const assembled = useBody(id, 'assembled', enabled);
  // What came whole is not put together a second time.
  const whole = useBody(id, 'answer', enabled && assembled.error?.status === 404);
  const answer = assembled.data === undefined ? whole : assembled;
  const waiting = assembled.isLoading || whole.isLoading;
  const calls = useApi('/api/tool-calls', { query: { session: sessionKey, user, limit: 1000 } }, { enabled });
  const talk = useMemo(
    () => conversation(row?.api ?? '', request.data?.value ?? null, answer.data?.value ?? null),
    [row?.api, request.data, answer.data],
  );
  // What was asked first is what the session is about; sub-agents are asked by agents.
  const title = lane.agent === null ? firstWords(talk.turns) : undefined;
  useEffect(() => {
    if (title !== undefined) onTitle(title);
  }, [title, onTitle]);
  const links = useMemo(() => {
    const until = lane.requests.findIndex(one => one.request_id === id);
    const answered = lane.requests.slice(0, until + 1).filter(one => one.status > 0 && one.status < 400);
    const byCall = new Map(
      calls.data?.tool_calls.flatMap(call => (call.id === null ? [] : [[call.id, call.request_id] as const])),
    );
    return linked(
      talk.turns,
      answered.map(one => one.request_id),
      byCall,
    );
  }, [talk, lane, id, calls.data]);
  if (!wanted) {
    return (
      <Callout action={<Button onClick={() => setWanted(true)}>Load {bytes(size)}</Button>}>
        The history is large; reading it takes a moment.
      </Callout>
    );
  }
  // An answer that cannot be put together is no failure of the history.
  if (request.error !== null && request.error.status !== 404) {
    return <ErrorState compact problem={request.error} onRetry={() => void request.refetch()} />;
  }
  if (request.isLoading || waiting) {
    return (
      <div aria-busy className="stack">
        <Skeleton height={56} />
        <Skeleton height={110} />
      </div>
    );
  }
  if (talk.turns.length === 0) {
    return (
      <EmptyState compact icon={MessagesSquare} title="There is no conversation to show">
        The capture of the last request was removed, or holds no messages of a kind that is known here.
      </EmptyState>
    );
  }
  return (
    <>
      <p className="muted session-talk-hint">
        As{' '}
        <Link to="/requests/$id" params={{ id }}>
          the last answered request
        </Link>{' '}
        repeats it
        {lane.agent !== null && (
          <>
            {' '}
            for <Text text={lane.agent} clamp={40} mono />
          </>
        )}
        ; each answer leads to its request.
      </p>
      <Turns
        turns={talk.turns}
        link={(_, index) => {
          const to = links[index];
          return to == null ? null : (
            <Link
              to="/requests/$id"
              params={{ id: to }}
              className="faint mono"
              title="The request that this is the answer of"
            >
              {to.slice(0, 8)}
            </Link>
          );
        }}
      />
    </>
  );
}
