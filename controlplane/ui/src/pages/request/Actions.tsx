import { useNavigate } from '@tanstack/react-router';
import { ChevronLeft, ChevronRight, Terminal } from 'lucide-react';
import { useEffect } from 'react';
import { type Schema, useApi } from '@/api';
import { Button, CopyButton, copyText, IconButton, toast } from '@/kit';
import { typing } from '@/shell/shortcuts';
import type { RequestRow } from '../logs/common/parts';
import { readPart } from './bodies';
import { curl, INLINE_MAX } from './curl';
import { isText } from './hex';

export type CaptureDetail = Schema<'CaptureDetail'>;

/** What can be done with a request. */
export function Actions({ row, capture }: { row: RequestRow; capture: CaptureDetail | null }) {
  const { previous, next } = useNeighbours(row);
  return (
    <>
      {row.session_id !== null && (
        <span className="row request-step">
          <IconButton
            label="Previous request of the session ([)"
            icon={ChevronLeft}
            disabled={previous === null}
            onClick={previous ?? undefined}
          />
          <IconButton
            label="Next request of the session (])"
            icon={ChevronRight}
            disabled={next === null}
            onClick={next ?? undefined}
          />
        </span>
      )}
      <span className="row request-id">
        <span className="mono faint" title={row.request_id}>
          {row.request_id.slice(0, 8)}…
        </span>
        <CopyButton text={row.request_id} label="Copy id" />
      </span>
      <Button
        icon={Terminal}
        disabled={capture === null}
        onClick={() => capture !== null && void copyCurl(row, capture)}
      >
        Copy as curl
      </Button>
    </>
  );
}

async function copyCurl(row: RequestRow, capture: CaptureDetail): Promise<void> {
  try {
    const { request } = capture;
    const small =
      !request.truncated && !request.encoded && request.kept > 0 && request.kept <= INLINE_MAX * 4;
    const read = small ? (await readPart(row.request_id, 'request', null)).bytes : null;
    const body = read !== null && isText(read) ? new TextDecoder().decode(read) : null;
    const query = capture.target.includes('?') ? capture.target.slice(capture.target.indexOf('?')) : '';
    const file = `${row.request_id}-request`;
    const command = curl({
      origin: window.location.origin,
      method: capture.method,
      target: row.path + query,
      headers: capture.request_headers,
      body,
      hasBody: request.bytes > 0,
      file,
    });
    await copyText(command);
    toast({
      title: 'The command is in the clipboard',
      text: command.includes(`@${file}`)
        ? `Without credentials. Its body is too big or no text: download it from the tab Raw as ${file}.`
        : 'Without credentials: add your own where the gateway asks for them.',
    });
  } catch {
    toast({
      title: 'The command could not be made',
      text: 'The body of the request could not be read. Try again.',
      tone: 'bad',
    });
  }
}

/** How to go to the requests of the session before and after this one; by the keys [ and ], too. */
function useNeighbours(row: RequestRow): { previous: (() => void) | null; next: (() => void) | null } {
  const navigate = useNavigate();
  const session = useApi(
    '/api/sessions/{id}/requests',
    { path: { id: row.session_id ?? '' }, query: { limit: 1000 } },
    { enabled: row.session_id !== null, staleTime: 30_000 },
  );
  // Newest first.
  const ids = session.data?.requests.map(one => one.request_id) ?? [];
  const at = ids.indexOf(row.request_id);
  const earlier = at === -1 ? undefined : ids[at + 1];
  const later = at === -1 ? undefined : ids[at - 1];
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || typing(event.target))
        return;
      if (document.querySelector('[role="dialog"]') !== null) return;
      const id = event.key === '[' ? earlier : event.key === ']' ? later : undefined;
      if (id !== undefined) void navigate({ to: '/requests/$id', params: { id }, search: true });
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [earlier, later, navigate]);
  const go = (id: string | undefined) =>
    id === undefined ? null : () => void navigate({ to: '/requests/$id', params: { id }, search: true });
  return { previous: go(earlier), next: go(later) };
}
