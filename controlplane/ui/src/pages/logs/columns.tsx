import { Camera, ShieldAlert, Wrench } from 'lucide-react';
import { type Column, Duration, EndedBadge, RowLink, StatusBadge, Text, Time, Tokens } from '@/kit';
import { Cost, isSameModel, Models, type RequestRow } from './common/parts';
import { API_NAMES } from './common/words';

/** The columns of lists of requests. */
export function requestColumns(admin: boolean): Column<RequestRow>[] {
  const columns: (Column<RequestRow> | false)[] = [
    {
      id: 'time',
      header: 'Time',
      value: row => row.time,
      cell: row => (
        <RowLink to="/requests/$id" params={{ id: row.request_id }}>
          <Time time={row.time} />
        </RowLink>
      ),
    },
    admin && {
      id: 'user',
      header: 'User',
      grow: true,
      value: row => row.user,
      cell: row =>
        row.user === '' ? <span className="faint">unknown</span> : <Text text={row.user} clamp={60} />,
    },
    {
      id: 'model',
      header: 'Model',
      grow: true,
      value: row =>
        isSameModel(row.model_asked, row.model_answered)
          ? row.model_asked
          : `${row.model_asked} → ${row.model_answered}`,
      cell: row => <Models row={row} />,
    },
    {
      id: 'provider',
      header: 'Provider',
      rank: 3,
      cut: true,
      value: row => row.provider,
      cell: row =>
        row.provider === '' ? (
          <span className="faint" title="It was refused before a provider was chosen">
            none
          </span>
        ) : (
          <Text text={row.provider} clamp={40} />
        ),
    },
    {
      id: 'status',
      header: 'Status',
      value: row => row.status,
      cell: row => (
        <span className="row-tight" title={row.error ?? undefined}>
          <StatusBadge status={row.status} quiet />
          {row.ended !== 'complete' && <EndedBadge ended={row.ended} />}
        </span>
      ),
    },
    {
      id: 'marks',
      header: 'Marks',
      rank: 1,
      sortable: false,
      value: marks,
      cell: row => <Marks row={row} />,
    },
    { id: 'ended', header: 'Ended', hidden: true, value: row => row.ended },
    {
      id: 'error',
      header: 'Error',
      hidden: true,
      value: row => row.error ?? '',
      cell: row => <Text text={row.error} clamp={40} mono />,
    },
    {
      id: 'input',
      header: 'In',
      align: 'end',
      hint: 'All tokens of the prompt',
      value: row => row.input,
      cell: row => <Tokens tokens={row.input} />,
    },
    {
      id: 'cached',
      header: 'Cached',
      rank: 2,
      align: 'end',
      hint: 'Tokens of the prompt read from the provider’s cache',
      value: row => row.cached_read,
      cell: row => <Tokens tokens={row.cached_read} />,
    },
    {
      id: 'output',
      header: 'Out',
      align: 'end',
      hint: 'Generated tokens, reasoning included',
      value: row => row.output,
      cell: row => <Tokens tokens={row.output} />,
    },
    {
      id: 'reasoning',
      header: 'Reasoning',
      hidden: true,
      align: 'end',
      value: row => row.reasoning,
      cell: row => <Tokens tokens={row.reasoning} />,
    },
    {
      id: 'cost',
      header: 'Cost',
      align: 'end',
      hint: '≈ where the counts are not the provider’s own',
      value: row => (row.cost_nanousd === null ? null : row.cost_nanousd / 1e9),
      cell: row => <Cost row={row} />,
    },
    {
      id: 'ttft',
      header: 'First byte',
      rank: 4,
      align: 'end',
      hint: 'From the head of the request to the first byte of the answer',
      value: row => row.ttft_us,
      cell: row =>
        row.ttft_us === null ? (
          <span className="faint" title="No answer came">
            –
          </span>
        ) : (
          <Duration us={row.ttft_us} />
        ),
    },
    {
      id: 'duration',
      header: 'Took',
      align: 'end',
      hint: 'From the head of the request to its end',
      value: row => row.duration_us,
      cell: row => <Duration us={row.duration_us} />,
    },
    {
      id: 'session',
      header: 'Session',
      hidden: true,
      cut: true,
      value: row => row.session ?? '',
      cell: row => <Text text={row.session} mono />,
    },
    {
      id: 'agent',
      header: 'Agent',
      hidden: true,
      rank: 1,
      cut: true,
      value: row => row.agent ?? '',
      cell: row => <Text text={row.agent} clamp={60} mono />,
    },
    { id: 'api', header: 'API', hidden: true, value: row => API_NAMES[row.api] ?? row.api },
    {
      id: 'id',
      header: 'Id',
      hidden: true,
      value: row => row.request_id,
      cell: row => <span className="mono">{row.request_id}</span>,
    },
  ];
  return columns.filter(column => column !== false);
}

const acted = (row: RequestRow) => row.verdicts.filter(verdict => verdict.action !== 'allow');

const marks = (row: RequestRow): string =>
  [
    row.tool_calls > 0 && `${row.tool_calls} tool calls`,
    acted(row).length > 0 && 'verdicts',
    row.capture === 'written' && 'captured',
  ]
    .filter(Boolean)
    .join(', ');

function Marks({ row }: { row: RequestRow }) {
  const verdicts = acted(row);
  const hard = verdicts.some(verdict => !verdict.shadow);
  const said = verdicts
    .map(verdict => `${verdict.name}: ${verdict.action}${verdict.shadow ? ' (shadow)' : ''}`)
    .join('\n');
  return (
    <span className="marks">
      {row.tool_calls > 0 && (
        <span title={`${row.tool_calls} tool calls in the answer`}>
          <Wrench size={14} aria-hidden />
          <span className="visually-hidden">{row.tool_calls} tool calls</span>
        </span>
      )}
      {verdicts.length > 0 && (
        <span className={hard ? 'mark-warn' : ''} title={said.slice(0, 500)}>
          <ShieldAlert size={14} aria-hidden />
          <span className="visually-hidden">{hard ? 'guardrail acted' : 'guardrail noted'}</span>
        </span>
      )}
      {row.capture === 'written' && (
        <span title="What was said was captured">
          <Camera size={14} aria-hidden />
          <span className="visually-hidden">captured</span>
        </span>
      )}
    </span>
  );
}
