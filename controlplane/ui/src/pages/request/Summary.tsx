import { Link } from '@tanstack/react-router';
import { Time } from '@/kit';
import { bytes, count } from '@/kit/format';
import { visible } from '@/kit/visible';
import { Facts, Person, type RequestRow, Unknown } from '../logs/common/parts';
import { API_NAMES } from '../logs/common/words';

/** Who asked what of whom. */
export function Summary({ row, admin }: { row: RequestRow; admin: boolean }) {
  const size = (value: number) => <span title={`${count(value)} bytes`}>{bytes(value)}</span>;
  return (
    <Facts
      facts={[
        ['Time', <Time key="" time={row.time} />],
        ['User', <Person key="" login={row.user} admin={admin} />],
        row.node !== '' &&
          row.node !== row.user && [
            'Node',
            <span key="" className="mono">
              {visible(row.node)}
            </span>,
          ],
        row.tags.length > 0 && ['Tags', row.tags.map(visible).join(', ')],
        [
          'Provider',
          row.provider === '' ? (
            <span key="" className="faint">
              none was chosen
            </span>
          ) : (
            visible(row.provider)
          ),
        ],
        [
          'API',
          <span key="" title={`${row.api} · ${row.path}`}>
            {API_NAMES[row.api] ?? row.api}
            {row.stream && <span className="faint"> · stream</span>}
          </span>,
        ],
        ['Session', <Session key="" row={row} />],
        row.agent !== null && [
          'Agent',
          <span key="" className="mono">
            {visible(row.agent)}
          </span>,
        ],
        [
          'Client',
          row.user_agent === null ? <Unknown key="" why="It sent no user-agent." /> : visible(row.user_agent),
        ],
        [
          'Sent · received',
          <>
            {size(row.request_bytes)} · {size(row.response_bytes)}
          </>,
        ],
        row.stop_reason !== null && [
          'Stopped by',
          <span key="" className="mono">
            {visible(row.stop_reason)}
          </span>,
        ],
        row.tool_calls > 0 && ['Tool calls', count(row.tool_calls)],
      ]}
    />
  );
}

function Session({ row }: { row: RequestRow }) {
  if (row.session === null) return <span className="faint">none</span>;
  const text = <span className="mono clip session-key">{visible(row.session)}</span>;
  const how =
    row.session_source === 'fingerprint'
      ? 'Told by the beginning of the conversation.'
      : `Told by the client, in the ${row.session_source}.`;
  if (row.session_id === null) return <span title={how}>{text}</span>;
  return (
    <Link to="/sessions/$id" params={{ id: row.session_id }} title={how}>
      {text}
    </Link>
  );
}
