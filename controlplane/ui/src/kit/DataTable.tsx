import { useNavigate } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { ArrowDown, ArrowUp, Columns3, Download } from 'lucide-react';
import { DropdownMenu } from 'radix-ui';
import { type KeyboardEvent, type MouseEvent, type ReactNode, useMemo, useRef, useState } from 'react';
import type { ApiProblem } from '@/api/problem';
import { Button } from './Button';
import { csv, download } from './csv';
import { EmptyState } from './EmptyState';
import { ErrorState } from './ErrorState';
import { type CellValue, compare, holds } from './table-order';

export interface Column<Row> {
  id: string;
  header: string;
  /** What the row is ordered, filtered and exported by. */
  value: (row: Row) => CellValue;
  /** What is shown; `value` if not given. */
  cell?: (row: Row) => ReactNode;
  /** `end` for figures. */
  align?: 'start' | 'end';
  /** Not shown at first; the menu of columns brings it. */
  hidden?: boolean;
  /** `false`: cannot be ordered by. */
  sortable?: boolean;
  /** What the figure counts, on hover of the header. */
  hint?: string;
  /** Takes what room is left, and is cut where there is none. */
  grow?: boolean;
}

export interface Sort {
  id: string;
  descending: boolean;
}

export interface DataTableProps<Row> {
  /** What the table lists: its accessible name, and the name of the file it is exported to. */
  label: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[] | undefined;
  rowId: (row: Row) => string;
  loading?: boolean;
  problem?: ApiProblem | null;
  onRetry?: () => void;
  /** Shown when there are no rows. */
  empty?: ReactNode;
  /** Where a row leads: on a click and on Enter. The first column becomes a link. */
  href?: (row: Row) => { to: string; params?: Record<string, string>; search?: Record<string, unknown> };
  /** Instead of `href`. */
  onOpen?: (row: Row) => void;
  /** The order at first; the rows' own if not given. */
  sort?: Sort;
  /** Given when the server orders: then `sort` is what it was asked for. */
  onSort?: (sort: Sort) => void;
  /** Further pages. */
  more?: { has: boolean; loading: boolean; load: () => void };
  /** A field that filters what is loaded (default: with more than eight rows). */
  filter?: boolean;
  /** The server's own export of everything; without it what is loaded is exported. `false`: none. */
  exportHref?: string | false;
  /** Over the table, left of its tools. */
  toolbar?: ReactNode;
  /** Marks the row that is looked at. */
  selected?: string;
}

/** From so many rows on only those in sight are drawn. */
const VIRTUAL_FROM = 150;
const ROW_PX = 38;

/** A table that orders, filters, exports, and is walked with the keyboard: arrows or j and k, Enter opens. */
export function DataTable<Row>(props: DataTableProps<Row>) {
  const {
    label,
    columns,
    rows,
    rowId,
    loading = false,
    problem = null,
    onRetry,
    empty,
    more,
    toolbar,
  } = props;
  const [ownSort, setOwnSort] = useState<Sort | undefined>(props.sort);
  const [filter, setFilter] = useState('');
  const [toggled, setToggled] = useState<ReadonlySet<string>>(new Set());
  const sort = props.onSort === undefined ? ownSort : props.sort;
  const shown = columns.filter(column => (column.hidden === true) === toggled.has(column.id));
  const list = useMemo(() => {
    const filtered =
      filter.trim() === ''
        ? rows
        : rows?.filter(row =>
            holds(
              columns.map(column => column.value(row)),
              filter.trim(),
            ),
          );
    const by = props.onSort === undefined && columns.find(column => column.id === sort?.id);
    if (!by || sort === undefined || filtered === undefined) return filtered;
    return [...filtered].sort((a, b) => compare(by.value(a), by.value(b), sort.descending));
  }, [rows, columns, filter, sort, props.onSort]);

  if (problem !== null && rows === undefined) return <ErrorState problem={problem} onRetry={onRetry} />;
  const none = !loading && list?.length === 0;
  if (none && filter === '' && empty !== undefined) {
    return (
      <div className="table-block">
        {toolbar !== undefined && <div className="table-tools">{toolbar}</div>}
        {empty}
      </div>
    );
  }
  const order = (column: Column<Row>) => {
    // Figures are looked at from the largest down first.
    const first = column.align === 'end';
    const next = { id: column.id, descending: sort?.id === column.id ? !sort.descending : first };
    if (props.onSort === undefined) setOwnSort(next);
    else props.onSort(next);
  };
  const filterable = props.filter ?? (rows?.length ?? 0) > 8;
  return (
    <div className="table-block">
      <div className="table-tools">
        {toolbar}
        {(filterable || filter !== '') && (
          <input
            className="input table-filter"
            type="search"
            aria-label={`Filter ${label}`}
            placeholder="Filter"
            value={filter}
            onChange={event => setFilter(event.target.value)}
          />
        )}
        <span className="table-space" />
        <ColumnMenu columns={columns} toggled={toggled} onToggle={setToggled} />
        {props.exportHref !== false &&
          (props.exportHref !== undefined ? (
            <a className="button button-quiet button-small" href={props.exportHref} download>
              <Download size={15} aria-hidden />
              Export
            </a>
          ) : (
            <Button
              tone="quiet"
              size="small"
              icon={Download}
              disabled={!list?.length}
              onClick={() =>
                download(
                  `${label.toLowerCase().replaceAll(/\W+/g, '-')}.csv`,
                  csv(
                    columns.map(column => column.header || column.id),
                    (list ?? []).map(row => columns.map(column => column.value(row))),
                  ),
                )
              }
            >
              Export
            </Button>
          ))}
      </div>
      {none ? (
        <EmptyState title={filter === '' ? 'Nothing here' : 'Nothing holds these words'} compact />
      ) : (
        <Grid
          {...props}
          columns={shown}
          list={loading && rows === undefined ? undefined : list}
          sort={sort}
          order={order}
          rowId={rowId}
        />
      )}
      {more?.has && (
        <div className="table-more">
          <Button busy={more.loading} onClick={more.load}>
            Load more
          </Button>
        </div>
      )}
    </div>
  );
}

interface GridProps<Row> extends DataTableProps<Row> {
  list: readonly Row[] | undefined;
  order: (column: Column<Row>) => void;
}

function Grid<Row>({ label, columns, list, rowId, href, onOpen, sort, order, selected }: GridProps<Row>) {
  const navigate = useNavigate();
  const scroller = useRef<HTMLDivElement>(null);
  const count = list?.length ?? 0;
  const virtual = count > VIRTUAL_FROM;
  const virtualizer = useVirtualizer({
    count: virtual ? count : 0,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PX,
    overscan: 16,
  });
  const items = virtualizer.getVirtualItems();
  // One stop of the Tab key for all rows: the one that had the focus last, or else the first of those that are drawn.
  const [visited, setVisited] = useState<string>();
  const drawn = virtual ? items.map(item => list?.[item.index]) : (list ?? []);
  const ids = drawn.map(row => (row === undefined ? undefined : rowId(row)));
  const stop = visited !== undefined && ids.includes(visited) ? visited : ids[0];
  const opens = href !== undefined || onOpen !== undefined;
  const open = (row: Row) => {
    if (onOpen !== undefined) onOpen(row);
    else if (href !== undefined) void navigate(href(row) as never);
  };
  const onKeyDown = (event: KeyboardEvent<HTMLTableRowElement>, row: Row) => {
    if (event.target !== event.currentTarget || event.metaKey || event.ctrlKey || event.altKey) return;
    const step = {
      ArrowDown: 'nextElementSibling',
      j: 'nextElementSibling',
      ArrowUp: 'previousElementSibling',
      k: 'previousElementSibling',
    }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      (event.currentTarget[step as 'nextElementSibling'] as HTMLElement | null)?.focus();
    } else if (event.key === 'Enter' && opens) {
      event.preventDefault();
      open(row);
    }
  };
  const onClick = (event: MouseEvent, row: Row) => {
    if ((event.target as HTMLElement).closest('a, button, input, select, label, summary')) return;
    // Whoever marks text does not want to go away.
    if (!opens || window.getSelection()?.toString()) return;
    open(row);
  };
  const draw = (row: Row) => (
    <tr
      key={rowId(row)}
      tabIndex={rowId(row) === stop ? 0 : -1}
      onFocus={() => setVisited(rowId(row))}
      className={opens ? 'row-opens' : undefined}
      aria-current={selected === rowId(row) ? 'true' : undefined}
      onKeyDown={event => onKeyDown(event, row)}
      onClick={event => onClick(event, row)}
    >
      {columns.map(column => (
        <td key={column.id} className={cellClass(column)} data-label={column.header}>
          {column.cell === undefined ? plain(column.value(row)) : column.cell(row)}
        </td>
      ))}
    </tr>
  );
  const above = items[0]?.start ?? 0;
  const below = virtualizer.getTotalSize() - (items.at(-1)?.end ?? 0);
  return (
    <div className={virtual ? 'table-scroll table-virtual' : 'table-scroll'} ref={scroller}>
      <table
        className="table"
        aria-label={label}
        aria-busy={list === undefined || undefined}
        aria-rowcount={count}
      >
        <thead>
          <tr>
            {columns.map(column => (
              <th
                key={column.id}
                className={cellClass(column)}
                scope="col"
                title={column.hint}
                aria-sort={ariaSort(column, sort)}
              >
                {column.sortable === false || column.header === '' ? (
                  column.header || <span className="visually-hidden">Actions</span>
                ) : (
                  <button type="button" className="table-sort" onClick={() => order(column)}>
                    {column.header}
                    {sort?.id === column.id &&
                      (sort.descending ? (
                        <ArrowDown size={13} aria-hidden />
                      ) : (
                        <ArrowUp size={13} aria-hidden />
                      ))}
                  </button>
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {list === undefined ? (
            <Waiting columns={columns.length} />
          ) : virtual ? (
            <>
              {above > 0 && <tr aria-hidden style={{ height: above }} />}
              {items.map(item => {
                const row = list[item.index];
                return row === undefined ? null : draw(row);
              })}
              {below > 0 && <tr aria-hidden style={{ height: below }} />}
            </>
          ) : (
            list.map(draw)
          )}
        </tbody>
      </table>
    </div>
  );
}

const plain = (value: CellValue): ReactNode =>
  value === null || value === undefined ? (
    <span className="faint">unknown</span>
  ) : typeof value === 'number' ? (
    value.toLocaleString('en-US')
  ) : (
    String(value)
  );

const cellClass = (column: Column<never> | Column<unknown> | { align?: string; grow?: boolean }): string =>
  `${column.align === 'end' ? 'cell-end' : ''} ${column.grow ? 'cell-grow' : ''}`.trim();

function ariaSort(column: { id: string }, sort: Sort | undefined): 'ascending' | 'descending' | undefined {
  if (sort?.id !== column.id) return undefined;
  return sort.descending ? 'descending' : 'ascending';
}

function Waiting({ columns }: { columns: number }) {
  return Array.from({ length: 8 }, (_, row) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: rows that are all alike
    <tr key={row}>
      {Array.from({ length: columns }, (_, column) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: cells that are all alike
        <td key={column}>
          <span className="skeleton table-skeleton" />
        </td>
      ))}
    </tr>
  ));
}

function ColumnMenu<Row>({
  columns,
  toggled,
  onToggle,
}: {
  columns: readonly Column<Row>[];
  toggled: ReadonlySet<string>;
  onToggle: (toggled: ReadonlySet<string>) => void;
}) {
  const choices = columns.filter(column => column.header !== '');
  if (choices.length < 4) return null;
  return (
    <DropdownMenu.Root>
      <DropdownMenu.Trigger asChild>
        <Button tone="quiet" size="small" icon={Columns3}>
          Columns
        </Button>
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content className="menu" align="end" sideOffset={4}>
          {choices.map(column => (
            <DropdownMenu.CheckboxItem
              key={column.id}
              className="menu-item"
              checked={(column.hidden === true) === toggled.has(column.id)}
              onSelect={event => event.preventDefault()}
              onCheckedChange={() => {
                const next = new Set(toggled);
                if (!next.delete(column.id)) next.add(column.id);
                onToggle(next);
              }}
            >
              <DropdownMenu.ItemIndicator className="menu-check">✓</DropdownMenu.ItemIndicator>
              {column.header}
            </DropdownMenu.CheckboxItem>
          ))}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
