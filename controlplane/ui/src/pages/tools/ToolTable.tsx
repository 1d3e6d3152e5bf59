import { Link } from '@tanstack/react-router';
import type { Schema } from '@/api';
import { Badge, type Column, DataTable, Text, Time } from '@/kit';
import { count } from '@/kit/format';
import type { Kind } from './Tools';

type Tool = Schema<'ToolUse'>;

const columns: readonly Column<Tool>[] = [
  {
    id: 'name',
    header: 'Tool',
    value: tool => tool.name,
    cell: tool => (
      <Link to="/tools" search={previous => ({ ...previous, name: tool.name })}>
        <Text text={tool.name} mono clamp={100} />
      </Link>
    ),
    grow: true,
  },
  {
    id: 'where',
    header: 'Run by',
    value: tool => (tool.hosted === 0 ? 'client' : tool.hosted === tool.calls ? 'provider' : 'both'),
    cell: tool =>
      tool.hosted === 0 ? (
        <span className="muted">client</span>
      ) : (
        <Badge
          tone="info"
          title={`${count(tool.hosted)} of ${count(tool.calls)} calls were run by the provider`}
        >
          {tool.hosted === tool.calls ? 'provider' : 'both'}
        </Badge>
      ),
  },
  { id: 'calls', header: 'Calls', align: 'end', value: tool => tool.calls },
  {
    id: 'users',
    header: 'People',
    align: 'end',
    hint: 'Whose requests had it called; unknown for ranges that do not reach up to now',
    value: tool => tool.users,
  },
  {
    id: 'last',
    header: 'Last call',
    value: tool => tool.last,
    cell: tool => <Time time={tool.last} relative />,
  },
];

const KINDS: readonly [kind: Kind | undefined, label: string][] = [
  [undefined, 'All'],
  ['client', 'Run by clients'],
  ['hosted', 'Run by providers'],
];

export interface ToolTableProps {
  tools: readonly Tool[];
  kind: Kind | undefined;
  onKind: (kind: Kind | undefined) => void;
  onOpen: (name: string) => void;
}

/** Tools with how often they were called; a row opens its calls. */
export function ToolTable({ tools, kind, onKind, onOpen }: ToolTableProps) {
  const shown = tools.filter(tool =>
    kind === undefined ? true : kind === 'hosted' ? tool.hosted > 0 : tool.hosted < tool.calls,
  );
  return (
    <DataTable
      label="Tools"
      columns={columns}
      rows={shown}
      rowId={tool => tool.name}
      sort={{ id: 'calls', descending: true }}
      onOpen={tool => onOpen(tool.name)}
      toolbar={
        <fieldset className="segments" aria-label="Run by">
          {KINDS.map(([value, label]) => (
            <button
              key={label}
              type="button"
              className="segment"
              aria-pressed={kind === value}
              onClick={() => onKind(value)}
            >
              {label}
            </button>
          ))}
        </fieldset>
      }
    />
  );
}
