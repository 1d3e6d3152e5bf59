import { useState } from 'react';
import { Button } from './Button';
import { Dialog } from './Dialog';
import { RANGES, type Range, type RangeSearch, rangeLabel } from './range';

export interface TimeRangePickerProps {
  /** What the address says. */
  value: RangeSearch;
  /** What it is to say: `change => setSearch(change)`. */
  onChange: (change: RangeSearch) => void;
  /** What is shown when the address says nothing (default `7d`). */
  fallback?: Exclude<Range, 'custom'>;
  /** Those that are offered (default: 1h to 90d, and custom). */
  ranges?: readonly Range[];
}

const short: Record<Range, string> = {
  live: 'Live',
  '1h': '1 h',
  '24h': '24 h',
  '7d': '7 d',
  '30d': '30 d',
  '90d': '90 d',
  custom: 'Custom',
};

/** The time that a page is about. */
export function TimeRangePicker({ value, onChange, fallback = '7d', ranges }: TimeRangePickerProps) {
  const [asking, setAsking] = useState(false);
  const custom = value.since !== undefined || value.until !== undefined;
  const chosen = value.range ?? (custom ? 'custom' : fallback);
  return (
    <fieldset className="segments" aria-label="Time range">
      {(ranges ?? RANGES.filter(range => range !== 'live')).map(range => (
        <button
          key={range}
          type="button"
          className="segment"
          aria-pressed={chosen === range}
          title={rangeLabel(range)}
          onClick={() =>
            range === 'custom' ? setAsking(true) : onChange({ range, since: undefined, until: undefined })
          }
        >
          {short[range]}
        </button>
      ))}
      {asking && <Custom value={value} onChange={onChange} onClose={() => setAsking(false)} />}
    </fieldset>
  );
}

/** A moment as a field of local time has it. */
function local(time: string | undefined): string {
  const date = new Date(time ?? Number.NaN);
  if (Number.isNaN(date.getTime())) return '';
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function Custom({
  value,
  onChange,
  onClose,
}: Pick<TimeRangePickerProps, 'value' | 'onChange'> & { onClose: () => void }) {
  const [since, setSince] = useState(local(value.since));
  const [until, setUntil] = useState(local(value.until));
  const iso = (text: string) => (text === '' ? undefined : new Date(text).toISOString());
  const wrong = since !== '' && until !== '' && since >= until;
  return (
    <Dialog
      open
      onOpenChange={open => !open && onClose()}
      title="Time range"
      description="In your time zone."
      footer={
        <Button
          tone="primary"
          disabled={since === '' || wrong}
          onClick={() => {
            onChange({ range: undefined, since: iso(since), until: iso(until) });
            onClose();
          }}
        >
          Show
        </Button>
      }
    >
      <label className="field">
        From
        <input
          className="input"
          type="datetime-local"
          value={since}
          onChange={event => setSince(event.target.value)}
        />
      </label>
      <label className="field">
        Until (now if empty)
        <input
          className="input"
          type="datetime-local"
          value={until}
          onChange={event => setUntil(event.target.value)}
        />
      </label>
      {wrong && (
        <p className="field-error" role="alert">
          The end must be after the beginning.
        </p>
      )}
    </Dialog>
  );
}
