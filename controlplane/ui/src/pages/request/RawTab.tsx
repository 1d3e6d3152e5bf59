import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Download } from 'lucide-react';
import { useState } from 'react';
import type { ApiProblem } from '@/api';
import { Badge, Button, Code, EmptyState, ErrorState, Skeleton } from '@/kit';
import { bytes, count } from '@/kit/format';
import type { CaptureDetail } from './Actions';
import { type Body, type Part, PIECE, partUrl, readPart } from './bodies';
import { hexDump, isText } from './hex';

/** The bytes as they are stored, piece by piece: bodies of any size are looked at without reading all of them. */
export function RawTab({ id, capture }: { id: string; capture: CaptureDetail }) {
  const [part, setPart] = useState<Part>('request');
  const [from, setFrom] = useState(0);
  const [view, setView] = useState<'auto' | 'text' | 'hex'>('auto');
  const piece = useQuery<Body, ApiProblem>({
    queryKey: ['/api/captures/{id}/{part}', id, part, from],
    queryFn: ({ signal }) => readPart(id, part, { from, to: from + PIECE }, signal),
    placeholderData: keepPreviousData,
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 60_000,
    retry: false,
  });
  const data = piece.data;
  const whole = data?.whole ?? 0;
  const hex = view === 'hex' || (view === 'auto' && data !== undefined && !isText(data.bytes));
  const choose = (next: Part) => {
    setPart(next);
    setFrom(0);
  };
  const stored = part === 'request' ? capture.request : capture.answer;
  return (
    <div className="stack">
      <div className="row">
        <fieldset className="choice" aria-label="Part">
          {(['request', 'answer'] as const).map(one => (
            <button key={one} type="button" aria-pressed={part === one} onClick={() => choose(one)}>
              {one === 'request' ? 'Request' : 'Answer'}
            </button>
          ))}
        </fieldset>
        <fieldset className="choice" aria-label="Shown as">
          {(['text', 'hex'] as const).map(one => (
            <button
              key={one}
              type="button"
              aria-pressed={(one === 'hex') === hex}
              onClick={() => setView(one)}
            >
              {one === 'text' ? 'Text' : 'Hex'}
            </button>
          ))}
        </fieldset>
        <span className="muted" title={`${count(stored.kept)} bytes kept`}>
          {bytes(stored.kept)}
        </span>
        {stored.encoded && (
          <Badge tone="warn">{part === 'request' ? capture.request_encoding : capture.answer_encoding}</Badge>
        )}
        <a className="button button-default button-small" href={partUrl(id, part)} download={`${id}-${part}`}>
          <Download size={15} aria-hidden /> Download
        </a>
      </div>
      {piece.error !== null && (
        <ErrorState compact problem={piece.error} onRetry={() => void piece.refetch()} />
      )}
      {data === undefined && piece.error === null && (
        <div aria-busy>
          <Skeleton height={240} />
        </div>
      )}
      {data !== undefined && whole === 0 && (
        <EmptyState compact title="There are no bytes">
          {part === 'request'
            ? 'The request had no body, or none was kept.'
            : 'No answer body came, or none was kept.'}
        </EmptyState>
      )}
      {data !== undefined && whole > 0 && (
        <Code
          text={hex ? hexDump(data.bytes, from) : new TextDecoder().decode(data.bytes)}
          clamp={hex ? 400_000 : PIECE}
          maxHeight={620}
          wrap={!hex}
        />
      )}
      {whole > PIECE && (
        <div className="row">
          <Button size="small" disabled={from === 0} onClick={() => setFrom(Math.max(0, from - PIECE))}>
            Earlier bytes
          </Button>
          <Button size="small" disabled={from + PIECE >= whole} onClick={() => setFrom(from + PIECE)}>
            Later bytes
          </Button>
          <span className="muted">
            {count(from)} to {count(Math.min(from + PIECE, whole))} of {count(whole)}
          </span>
        </div>
      )}
    </div>
  );
}
