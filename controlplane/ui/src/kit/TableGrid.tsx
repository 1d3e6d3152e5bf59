import { useNavigate } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { ArrowDown, ArrowUp } from 'lucide-react';
import { type KeyboardEvent, type MouseEvent, type ReactNode, useState } from 'react';
import type { CellValue } from './table-order';
import type { Column, DataTableProps, Sort } from './table-types';

/** From so many rows on only those in sight are drawn. */
const VIRTUAL_FROM = 150;
/** Heights of rows that were not drawn yet. */
const ROW_PX = 38;
const CARD_PX = 150;

interface GridProps<Row> extends DataTableProps<Row> {
  list: readonly Row[] | undefined;
  order: (column: Column<Row>) => void;
  /** Each row is a card, with the first column as its head. */
  cards: boolean;
  scroller: HTMLElement | null;
  onScroller: (scroller: HTMLElement | null) => void;
}

/** The table itself. */
export function TableGrid<Row>(props: GridProps<Row>) {
  const { label, columns, list, rowId, href, onOpen, sort, order, selected, cards, scroller } = props;
  const navigate = useNavigate();
  const count = list?.length ?? 0;
  const virtual = count > VIRTUAL_FROM;
  const virtualizer = useVirtualizer({
    count: virtual ? count : 0,
    getScrollElement: () => scroller,
    estimateSize: () => (cards ? CARD_PX : ROW_PX),
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
  // Cards are no table to a browser's layout: that they are one is said again.
  const role = (name: string) => (cards ? name : undefined);
  const draw = (row: Row, index: number) => (
    <tr
      key={rowId(row)}
      ref={virtual ? virtualizer.measureElement : undefined}
      data-index={index}
      data-exact=""
      role={role('row')}
      aria-rowindex={virtual ? index + 2 : undefined}
      tabIndex={rowId(row) === stop ? 0 : -1}
      onFocus={() => setVisited(rowId(row))}
      className={opens ? 'row-opens' : undefined}
      aria-current={selected === rowId(row) ? 'true' : undefined}
      onKeyDown={event => onKeyDown(event, row)}
      onClick={event => onClick(event, row)}
    >
      {columns.map(column => (
        <td key={column.id} className={cellClass(column)} data-label={column.header} role={role('cell')}>
          <Cell column={column} row={row} />
        </td>
      ))}
    </tr>
  );
  const above = items[0]?.start ?? 0;
  const below = virtualizer.getTotalSize() - (items.at(-1)?.end ?? 0);
  return (
    <div className={virtual ? 'table-scroll table-virtual' : 'table-scroll'} ref={props.onScroller}>
      <table
        className={cards ? 'table table-cards' : 'table'}
        role={role('table')}
        aria-label={label}
        aria-busy={list === undefined || undefined}
        aria-rowcount={virtual ? count + 1 : undefined}
      >
        <thead className={cards ? 'visually-hidden' : undefined} role={role('rowgroup')}>
          <tr role={role('row')}>
            {columns.map(column => (
              <th
                key={column.id}
                className={cellClass(column)}
                scope="col"
                role={role('columnheader')}
                title={column.hint}
                data-column={column.id}
                aria-sort={ariaSort(column, sort)}
              >
                {cards || column.sortable === false || column.header === '' ? (
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
        <tbody role={role('rowgroup')}>
          {list === undefined ? (
            <Waiting columns={columns.length} />
          ) : virtual ? (
            <>
              {above > 0 && <tr aria-hidden className="table-gap" style={{ height: above }} />}
              {items.map(item => {
                const row = list[item.index];
                return row === undefined ? null : draw(row, item.index);
              })}
              {below > 0 && <tr aria-hidden className="table-gap" style={{ height: below }} />}
            </>
          ) : (
            list.map(draw)
          )}
        </tbody>
      </table>
    </div>
  );
}

function Cell<Row>({ column, row }: { column: Column<Row>; row: Row }) {
  const inside = column.cell === undefined ? plain(column.value(row)) : column.cell(row);
  if (!column.cut && !column.grow) return inside;
  return <div className="cut">{inside}</div>;
}

const plain = (value: CellValue): ReactNode =>
  value === null || value === undefined ? (
    <span className="faint">unknown</span>
  ) : (
    <span>{typeof value === 'number' ? value.toLocaleString('en-US') : String(value)}</span>
  );

const cellClass = (column: { align?: string; grow?: boolean }): string =>
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
