import type { StreamState } from '@/api/stream';

const WORDS: Record<StreamState, string> = {
  waiting: 'Connecting',
  open: 'Live',
  lost: 'Connection lost, trying again',
  paused: 'Paused',
};

/** How a stream of events is: `<LiveDot state={useStream('/api/live', handlers)} />`. */
export function LiveDot({ state, label }: { state: StreamState; label?: string }) {
  return (
    <span className={`live-dot live-dot-${state}`} role="status">
      <span className="live-dot-dot" aria-hidden />
      {label ?? WORDS[state]}
    </span>
  );
}
