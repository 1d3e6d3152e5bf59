import { Search, X } from 'lucide-react';
import { type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { Button } from './Button';
import { Combobox, type ComboboxProps } from './Combobox';
import { Select } from './Field';
import type { Range, RangeSearch } from './range';
import { TimeRangePicker } from './TimeRangePicker';

/** A filter by the name of its search parameter. */
export type Filter<S> = { name: keyof S & string; label: string } & (
  | { kind: 'text'; placeholder?: string }
  | { kind: 'select'; options: readonly { value: string; label: string }[]; any?: string }
  | ({ kind: 'combobox' } & Pick<ComboboxProps, 'options' | 'suggest' | 'free'>)
  | { kind: 'flag' }
);

export interface FilterBarProps<S extends object> {
  /** Both of `useSearchState`. */
  search: S;
  onChange: (change: Partial<S>, options?: { replace?: boolean }) => void;
  filters?: readonly Filter<S>[];
  /** Offers a range of time; the parameters are `range`, `since` and `until`. */
  range?: { fallback?: Exclude<Range, 'custom'>; ranges?: readonly Range[] };
  /** Further controls, at the end. */
  children?: ReactNode;
}

/** The filters of a page. What is set stands in the address, so that a link says it and Back undoes it. */
export function FilterBar<S extends object>({
  search,
  onChange,
  filters = [],
  range,
  children,
}: FilterBarProps<S>) {
  const set = (name: keyof S, value: unknown, replace = false) =>
    onChange({ [name]: value } as Partial<S>, { replace });
  const value = (name: keyof S): unknown => search[name];
  const used = filters.filter(filter => value(filter.name) !== undefined);
  return (
    <search className="filter-bar">
      {filters.map(filter => (
        <Control
          key={filter.name}
          filter={filter}
          value={value(filter.name)}
          onChange={(next, replace) => set(filter.name, next, replace)}
        />
      ))}
      {used.length > 0 && (
        <Button
          tone="quiet"
          size="small"
          icon={X}
          onClick={() =>
            onChange(Object.fromEntries(used.map(filter => [filter.name, undefined])) as Partial<S>)
          }
        >
          Clear filters
        </Button>
      )}
      <span className="filter-bar-space" />
      {children}
      {range !== undefined && (
        <TimeRangePicker
          {...range}
          value={search as RangeSearch}
          onChange={change => onChange(change as Partial<S>)}
        />
      )}
    </search>
  );
}

function Control<S>({
  filter,
  value,
  onChange,
}: {
  filter: Filter<S>;
  value: unknown;
  onChange: (value: unknown, replace?: boolean) => void;
}) {
  const id = useId();
  switch (filter.kind) {
    case 'text':
      return (
        <TextFilter
          label={filter.label}
          placeholder={filter.placeholder ?? filter.label}
          value={typeof value === 'string' ? value : ''}
          onChange={text => onChange(text || undefined, true)}
        />
      );
    case 'select':
      return (
        <Select
          aria-label={filter.label}
          className={value === undefined ? 'filter-bar-unset' : ''}
          value={typeof value === 'string' ? value : ''}
          onChange={event => onChange(event.target.value || undefined)}
          options={[{ value: '', label: filter.any ?? `${filter.label}: any` }, ...filter.options]}
        />
      );
    case 'combobox':
      return (
        <Combobox
          label={filter.label}
          options={filter.options}
          suggest={filter.suggest}
          free={filter.free}
          value={typeof value === 'string' ? value : undefined}
          onChange={onChange}
        />
      );
    case 'flag':
      return (
        <label className="filter-bar-flag" htmlFor={id}>
          <input
            id={id}
            type="checkbox"
            checked={value === true}
            onChange={event => onChange(event.target.checked || undefined)}
          />
          {filter.label}
        </label>
      );
  }
}

/** How long somebody may pause between two letters. */
const PAUSE_MS = 250;

/** A text that is taken when the typing pauses. */
function TextFilter({
  label,
  placeholder,
  value,
  onChange,
}: {
  label: string;
  placeholder: string;
  value: string;
  onChange: (text: string) => void;
}) {
  const [typed, setTyped] = useState(value);
  const told = useRef(value);
  const tell = useRef(onChange);
  tell.current = onChange;
  // The address changed by other means: Back, a link, "Clear filters".
  useEffect(() => {
    if (value === told.current) return;
    told.current = value;
    setTyped(value);
  }, [value]);
  useEffect(() => {
    if (typed === told.current) return;
    const timer = setTimeout(() => {
      told.current = typed;
      tell.current(typed);
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <span className="filter-bar-text">
      <Search size={14} aria-hidden />
      <input
        className="input"
        type="search"
        aria-label={label}
        placeholder={placeholder}
        autoComplete="off"
        spellCheck={false}
        data-filter-text
        value={typed}
        onChange={event => setTyped(event.target.value)}
      />
    </span>
  );
}
