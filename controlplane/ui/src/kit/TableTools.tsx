import { Columns3, Download } from 'lucide-react';
import { DropdownMenu } from 'radix-ui';
import { Button } from './Button';
import { csv, download } from './csv';
import { Select } from './Field';
import { Menu } from './Menu';
import type { Column, DataTableProps, Sort } from './table-types';

/** Which columns are shown; those that had no room can be brought back. */
export function ColumnMenu<Row>({
  columns,
  shown,
  onChoose,
}: {
  columns: readonly Column<Row>[];
  shown: readonly Column<Row>[];
  onChoose: (id: string, on: boolean) => void;
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
              checked={shown.includes(column)}
              onSelect={event => event.preventDefault()}
              onCheckedChange={on => onChoose(column.id, on)}
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

/** The order, where cards have no headers to choose it by. */
export function OrderBy<Row>({
  label,
  columns,
  sort,
  onOrder,
}: {
  label: string;
  columns: readonly Column<Row>[];
  sort: Sort | undefined;
  onOrder: (column: Column<Row>) => void;
}) {
  const choices = columns.filter(column => column.sortable !== false && column.header !== '');
  const arrow = (id: string) => (sort?.id !== id ? '' : sort.descending ? ' ↓' : ' ↑');
  return (
    <Select
      aria-label={`Order of ${label}`}
      value={choices.some(column => column.id === sort?.id) ? sort?.id : ''}
      options={[
        { value: '', label: 'Order by' },
        ...choices.map(({ id, header }) => ({ value: id, label: header + arrow(id) })),
      ]}
      onChange={event => {
        const column = choices.find(({ id }) => id === event.target.value);
        if (column !== undefined) onOrder(column);
      }}
    />
  );
}

/** What is loaded as a file, or what the server has. */
export function Export<Row>({
  label,
  columns,
  list,
  exportHref,
  exportMore,
}: DataTableProps<Row> & { list: readonly Row[] | undefined }) {
  if (exportHref === false) return null;
  if (exportHref !== undefined) {
    return (
      <a className="button button-quiet button-small" href={exportHref} download>
        <Download size={15} aria-hidden />
        Export
      </a>
    );
  }
  const loaded = () =>
    download(
      `${label.toLowerCase().replaceAll(/\W+/g, '-')}.csv`,
      csv(
        columns.map(column => column.header || column.id),
        (list ?? []).map(row => columns.map(column => column.value(row))),
      ),
    );
  const none = !list?.length;
  if (exportMore === undefined) {
    return (
      <Button tone="quiet" size="small" icon={Download} disabled={none} onClick={loaded}>
        Export
      </Button>
    );
  }
  return (
    <Menu
      label="Export"
      trigger={
        <Button tone="quiet" size="small" icon={Download}>
          Export
        </Button>
      }
      items={[
        { label: 'What is loaded', run: loaded, disabled: none },
        { label: exportMore.label, href: exportMore.href },
      ]}
    />
  );
}
