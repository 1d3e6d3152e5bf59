import { useMemo, useState } from 'react';
import { Button } from './Button';
import { EmptyState } from './EmptyState';
import { ErrorState } from './ErrorState';
import { TableGrid } from './TableGrid';
import { ColumnMenu, Export, OrderBy } from './TableTools';
import { compare, holds } from './table-order';
import type { Column, DataTableProps, Sort } from './table-types';
import { useFit } from './useFit';

export type { Column, DataTableProps, Sort } from './table-types';

/** Fewer rows are seen at once: they need no tools. */
const MANY_ROWS = 8;

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
  /** What somebody chose of columns; the others come and go with the room. */
  const [chosen, setChosen] = useState<ReadonlyMap<string, boolean>>(new Map());
  const [scroller, setScroller] = useState<HTMLElement | null>(null);
  const sort = props.onSort === undefined ? ownSort : props.sort;
  const wanted = columns.filter(column => chosen.get(column.id) ?? column.hidden !== true);
  const room = useFit(
    scroller,
    wanted.map(({ id, rank }) => ({ id, rank, kept: chosen.get(id) === true })),
  );
  const shown = wanted.filter(column => !room.left.has(column.id));
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
  const many = (rows?.length ?? 0) > MANY_ROWS;
  const filterable = (props.filter ?? many) || filter !== '';
  const ordered = room.cards && many;
  const choosable = many || shown.length < columns.length;
  const tools = toolbar !== undefined || filterable || ordered || choosable || props.exportHref !== false;
  return (
    <div className="table-block">
      {tools && (
        <div className="table-tools">
          {toolbar}
          {filterable && (
            <input
              className="input table-filter"
              type="search"
              aria-label={`Filter ${label}`}
              placeholder="Filter"
              value={filter}
              onChange={event => setFilter(event.target.value)}
            />
          )}
          {ordered && <OrderBy label={label} columns={shown} sort={sort} onOrder={order} />}
          <span className="table-space" />
          {choosable && (
            <ColumnMenu
              columns={columns}
              shown={shown}
              onChoose={(id, on) => setChosen(new Map(chosen).set(id, on))}
            />
          )}
          <Export {...props} list={list} />
        </div>
      )}
      {none ? (
        <EmptyState title={filter === '' ? 'Nothing here' : 'Nothing holds these words'} compact />
      ) : (
        <TableGrid
          {...props}
          columns={shown}
          list={loading && rows === undefined ? undefined : list}
          sort={sort}
          order={order}
          rowId={rowId}
          cards={room.cards}
          scroller={scroller}
          onScroller={setScroller}
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
