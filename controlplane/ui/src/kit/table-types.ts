import type { ReactNode } from 'react';
import type { ApiProblem } from '@/api/problem';
import type { CellValue } from './table-order';

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
  /** Leaves by itself where there is no room, the largest rank first, and is in no card. Without a rank it stays. */
  rank?: number;
  /** A text that becomes narrower, with an ellipsis, before any column leaves. One element. */
  cut?: boolean;
  /** As `cut`, and keeps more room. */
  grow?: boolean;
  /** `false`: cannot be ordered by. */
  sortable?: boolean;
  /** What the figure counts, on hover of the header. */
  hint?: string;
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
  /** Where a row leads: on a click and on Enter. Its first cell holds a `RowLink` to the same place. */
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
  /** The server's export beside that of what is loaded: what it holds, and where it is. */
  exportMore?: { label: string; href: string };
  /** Over the table, left of its tools. */
  toolbar?: ReactNode;
  /** Marks the row that is looked at. */
  selected?: string;
}
