import { X } from 'lucide-react';
import { type KeyboardEvent, useEffect, useId, useLayoutEffect, useRef, useState } from 'react';
import { Text } from './Text';

export interface Option {
  value: string;
  /** `value` if not given. */
  label?: string;
  /** Faint, at the end. */
  hint?: string;
}

export interface ComboboxProps {
  /** Accessible name, and what stands in the empty field. */
  label: string;
  value: string | undefined;
  /** `undefined`: nothing is chosen any more. */
  onChange: (value: string | undefined) => void;
  /** All there is to choose from; matched by what is typed. */
  options?: readonly Option[];
  /** Or what matches a text (empty: the likeliest), asked after a pause of typing. Keep its identity between renders. */
  suggest?: (query: string, signal: AbortSignal) => Promise<readonly Option[]>;
  /** Enter takes what was typed, though it is no option (default false). */
  free?: boolean;
  id?: string;
  disabled?: boolean;
}

/** Most options that are drawn. */
const SHOWN_MAX = 50;
const PAUSE_MS = 150;
/** Room that the list may want. */
const LIST_PX = 300;

/** Options whose value or label holds the text; those that begin with it first. */
export function matchOptions(options: readonly Option[], query: string): readonly Option[] {
  const needle = query.trim().toLowerCase();
  if (needle === '') return options.slice(0, SHOWN_MAX);
  const place = ({ value, label }: Option) => {
    const found = [label ?? value, value]
      .map(text => text.toLowerCase().indexOf(needle))
      .filter(at => at >= 0);
    return found.length === 0 ? -1 : Math.min(...found, 1);
  };
  return options
    .map(option => ({ option, at: place(option) }))
    .filter(({ at }) => at >= 0)
    .sort((a, b) => a.at - b.at)
    .slice(0, SHOWN_MAX)
    .map(({ option }) => option);
}

type Found = { state: 'idle' | 'asking' | 'failed'; options: readonly Option[] };

function useOptions(
  open: boolean,
  query: string,
  options: ComboboxProps['options'],
  suggest: ComboboxProps['suggest'],
): Found {
  const [found, setFound] = useState<Found>({ state: 'asking', options: [] });
  useEffect(() => {
    if (!open || suggest === undefined) return;
    const control = new AbortController();
    setFound(last => ({ ...last, state: 'asking' }));
    const timer = setTimeout(
      () => {
        suggest(query, control.signal).then(
          options =>
            !control.signal.aborted && setFound({ state: 'idle', options: options.slice(0, SHOWN_MAX) }),
          () => !control.signal.aborted && setFound({ state: 'failed', options: [] }),
        );
      },
      query === '' ? 0 : PAUSE_MS,
    );
    return () => {
      control.abort();
      clearTimeout(timer);
    };
  }, [open, query, suggest]);
  return suggest === undefined ? { state: 'idle', options: matchOptions(options ?? [], query) } : found;
}

/** A field that proposes what can be chosen. Arrows walk, Enter takes, Esc closes, and leaving it changes nothing. */
export function Combobox({
  label,
  value,
  onChange,
  options,
  suggest,
  free = false,
  id,
  disabled,
}: ComboboxProps) {
  const listId = useId();
  // What is typed; `null` while nothing is, and the choice stands there.
  const [typed, setTyped] = useState<string | null>(null);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const found = useOptions(open, typed ?? '', options, suggest);
  const place = useRef<HTMLDivElement>(null);
  const [atEnd, setAtEnd] = useState(false);
  // The list is wider than the field: where there is no room on the right it grows to the left.
  useLayoutEffect(() => {
    const left = place.current?.getBoundingClientRect().left ?? 0;
    if (open) setAtEnd(left + LIST_PX > document.documentElement.clientWidth);
  }, [open]);
  const chosen = options?.find(option => option.value === value);

  const close = () => {
    setOpen(false);
    setTyped(null);
    setActive(-1);
  };
  const take = (next: string | undefined) => {
    close();
    if (next !== value) onChange(next);
  };
  const onKeyDown = (event: KeyboardEvent<HTMLInputElement>) => {
    const last = found.options.length - 1;
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (!open) setOpen(true);
      else if (event.key === 'ArrowDown') setActive(active >= last ? 0 : active + 1);
      else setActive(active <= 0 ? last : active - 1);
    } else if (event.key === 'Enter') {
      const option = found.options[active] ?? (free || typed === null ? undefined : found.options[0]);
      if (open) event.preventDefault();
      if (option !== undefined) take(option.value);
      else if (free && typed !== null) take(typed.trim() || undefined);
      else close();
    } else if (event.key === 'Escape' && open) {
      // Of a dialog around it, only this is closed.
      event.stopPropagation();
      close();
    }
  };
  return (
    <div ref={place} className={value === undefined ? 'combobox' : 'combobox combobox-set'}>
      <input
        id={id}
        className="input"
        type="text"
        role="combobox"
        aria-label={id === undefined ? label : undefined}
        aria-expanded={open}
        aria-controls={listId}
        aria-autocomplete="list"
        aria-activedescendant={open && active >= 0 ? `${listId}-${active}` : undefined}
        autoComplete="off"
        spellCheck={false}
        disabled={disabled}
        placeholder={label}
        value={typed ?? chosen?.label ?? value ?? ''}
        onChange={event => {
          setTyped(event.target.value);
          setOpen(true);
          setActive(-1);
        }}
        onClick={() => setOpen(true)}
        onBlur={close}
        onKeyDown={onKeyDown}
      />
      {value !== undefined && (
        <button
          type="button"
          className="combobox-clear"
          aria-label={`Clear ${label}`}
          onMouseDown={event => event.preventDefault()}
          onClick={() => take(undefined)}
        >
          <X size={13} aria-hidden />
        </button>
      )}
      <div className={atEnd ? 'combobox-pop combobox-end' : 'combobox-pop'} hidden={!open}>
        <div id={listId} role="listbox" aria-label={label}>
          {found.options.map((option, index) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: keys are the field's
            <div
              key={option.value}
              id={`${listId}-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={option.value === value}
              className={index === active ? 'combobox-option combobox-active' : 'combobox-option'}
              ref={index === active ? element => element?.scrollIntoView({ block: 'nearest' }) : undefined}
              onMouseDown={event => event.preventDefault()}
              onMouseMove={() => setActive(index)}
              onClick={() => take(option.value)}
            >
              <Text text={option.label ?? option.value} clamp={120} />
              {option.hint !== undefined && <span className="faint">{option.hint}</span>}
            </div>
          ))}
        </div>
        {found.options.length === 0 && (
          <div className="combobox-note" role="status">
            {found.state === 'asking'
              ? 'Searching…'
              : found.state === 'failed'
                ? 'The gateway did not answer'
                : free && typed
                  ? 'Enter takes what you typed'
                  : 'Nothing is called that'}
          </div>
        )}
      </div>
    </div>
  );
}
