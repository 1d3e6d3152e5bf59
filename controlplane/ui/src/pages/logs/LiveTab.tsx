import { Pause, Play, Radio } from 'lucide-react';
import { useEffect, useMemo, useRef, useState } from 'react';
import { Badge, Button, DataTable, EmptyState } from '@/kit';
import { compact } from '@/kit/format';
import { requestColumns } from './columns';
import type { RequestRow } from './common/parts';
import { filters } from './filters';
import type { Search } from './search';
import { type StreamState, serializeLive, useStream } from './stream';
import { arrived, emptyTail, resumed, type Tail } from './tail';

const STATES: Record<StreamState, { label: string; tone: 'good' | 'warn' | 'neutral' }> = {
  waiting: { label: 'connecting', tone: 'neutral' },
  open: { label: 'live', tone: 'good' },
  lost: { label: 'lost, trying again', tone: 'warn' },
  paused: { label: 'not looked at', tone: 'neutral' },
};
/** Milliseconds between drawings: rows that come in between are drawn together. */
const DRAW_MS = 250;

/** Requests as they end. */
export function LiveTab({ search, admin }: { search: Search; admin: boolean }) {
  const [tail, setTail] = useState<Tail<RequestRow>>(emptyTail);
  const [paused, setPaused] = useState(false);
  const [rate, setRate] = useState<number | null>(null);
  const came = useRef<RequestRow[]>([]);
  const isPaused = useRef(paused);
  isPaused.current = paused;
  const columns = useMemo(() => requestColumns(admin), [admin]);
  const url = serializeLive(filters(search));
  const state = useStream(url, {
    now: data => setRate((data as { requests_per_s: number }).requests_per_s),
    request: data => {
      came.current.push(data as RequestRow);
    },
    skipped: data =>
      setTail(tail => ({ ...tail, skipped: tail.skipped + (data as { count: number }).count })),
  });
  useEffect(() => {
    const timer = setInterval(() => {
      const rows = came.current.splice(0);
      if (rows.length > 0) setTail(tail => arrived(tail, rows, isPaused.current));
    }, DRAW_MS);
    return () => clearInterval(timer);
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: other filters, other rows
  useEffect(() => setTail(emptyTail), [url]);
  const toggle = () => {
    if (paused) setTail(resumed);
    setPaused(!paused);
  };
  return (
    <div className="stack">
      <div className="row">
        <Button icon={paused ? Play : Pause} onClick={toggle} aria-pressed={paused}>
          {paused ? 'Resume' : 'Pause'}
        </Button>
        <Badge tone={STATES[state].tone}>{STATES[state].label}</Badge>
        {rate !== null && <span className="muted">{compact(rate)} requests/s of everything you may see</span>}
        {paused && tail.waiting.length > 0 && (
          <span className="muted">{tail.waiting.length} came meanwhile</span>
        )}
        {tail.skipped > 0 && (
          <span
            className="muted"
            title="More than 50 a second came, or this browser was too slow; all of them are in the list of requests."
          >
            {compact(tail.skipped)} not shown
          </span>
        )}
      </div>
      {tail.rows.length === 0 ? (
        <EmptyState icon={Radio} title="Waiting for a request to end">
          Requests appear here in the moment in which they end. Those of before are under Requests.
        </EmptyState>
      ) : (
        <DataTable
          label="Live requests"
          columns={columns}
          rows={tail.rows}
          rowId={row => row.request_id}
          href={row => ({ to: '/requests/$id', params: { id: row.request_id } })}
          filter={false}
          exportHref={false}
        />
      )}
    </div>
  );
}
