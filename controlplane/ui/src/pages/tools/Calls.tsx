import { Link } from '@tanstack/react-router';
import { ArrowLeft } from 'lucide-react';
import { useInfiniteApi } from '@/api';
import { Badge, Button, Code, EmptyState, ErrorState, Input, Skeleton, Text, Time } from '@/kit';
import { bytes } from '@/kit/format';
import type { TimeSpan } from '@/kit/range';
import { shownArguments } from './callers';

export interface CallsProps {
  name: string;
  span: TimeSpan;
  user: string | undefined;
  model: string | undefined;
  admin: boolean;
  onModel: (model: string | undefined) => void;
  onClose: () => void;
}

/** Calls of one tool, newest first, each with its arguments and the request that it is from. */
export function Calls({ name, span, user, model, admin, onModel, onClose }: CallsProps) {
  const calls = useInfiniteApi(
    '/api/tool-calls',
    { query: { since: span.since, until: span.until, user, model, name, limit: 50 } },
    page => ({ rows: page.tool_calls, next: page.next_cursor }),
  );
  return (
    <section className="stack" aria-label={`Calls of ${name}`}>
      <div className="calls-head">
        <Button tone="quiet" icon={ArrowLeft} onClick={onClose}>
          All tools
        </Button>
        <h2>
          <Text text={name} mono clamp={120} />
        </h2>
        <Input
          type="search"
          aria-label="Only this model"
          placeholder="Only this model"
          defaultValue={model ?? ''}
          onKeyDown={event => {
            if (event.key === 'Enter') onModel(event.currentTarget.value.trim() || undefined);
          }}
          onBlur={event => onModel(event.currentTarget.value.trim() || undefined)}
        />
      </div>
      {calls.isPending ? (
        <div className="stack" aria-busy="true">
          {[1, 2, 3].map(row => (
            <Skeleton key={row} height={92} />
          ))}
        </div>
      ) : calls.isError && calls.rows.length === 0 ? (
        <ErrorState problem={calls.error} onRetry={() => void calls.refetch()} />
      ) : calls.rows.length === 0 ? (
        <EmptyState title="No calls of it are kept for this range">
          How often a tool was called is counted for good; the calls themselves go when their captures do. A
          longer range, or no model, may show some.
        </EmptyState>
      ) : (
        <ol className="calls">
          {calls.rows.map(call => (
            <li key={`${call.request_id} ${call.call}`} className="call">
              <div className="call-head">
                <Time time={call.time} relative />
                {admin && (
                  <Link to="/people/$login" params={{ login: call.user }}>
                    <Text text={call.user} clamp={60} />
                  </Link>
                )}
                <Link to="/models/$" params={{ _splat: call.model }}>
                  <Text text={call.model} mono clamp={60} />
                </Link>
                {call.agent !== null && (
                  <span className="muted">
                    agent <Text text={call.agent} clamp={40} />
                  </span>
                )}
                {call.hosted && <Badge tone="info">run by the provider</Badge>}
                <Link to="/requests/$id" params={{ id: call.request_id }} className="call-request">
                  Open the request
                </Link>
              </div>
              {call.arguments === '' ? (
                <p className="muted">No arguments.</p>
              ) : (
                <Code text={shownArguments(call.arguments)} wrap maxHeight={220} />
              )}
              {call.truncated && (
                <p className="muted">
                  Cut: the whole is {bytes(call.arguments_bytes)}. The request's capture has it as long as it
                  is kept.
                </p>
              )}
            </li>
          ))}
        </ol>
      )}
      {calls.hasNextPage && (
        <div>
          <Button busy={calls.isFetchingNextPage} onClick={() => void calls.fetchNextPage()}>
            Load more
          </Button>
        </div>
      )}
    </section>
  );
}
