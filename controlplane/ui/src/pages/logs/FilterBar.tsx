import { ListFilter, X } from 'lucide-react';
import { type ReactNode, useEffect, useId, useState } from 'react';
import { Button, Input, Select, TimeRangePicker } from '@/kit';
import { visible } from '@/kit/visible';
import { API_NAMES, ENDS } from './common/words';
import { filtersSet, noFilters } from './filters';
import type { Search } from './search';

type Change = (change: Partial<Search>, options?: { replace?: boolean }) => void;

const LABELS: Record<ReturnType<typeof filtersSet>[number], string> = {
  user: 'User',
  model: 'Model',
  provider: 'Provider',
  status: 'Status',
  api: 'API',
  session: 'Session',
  agent: 'Agent',
  error: 'Error',
  ended: 'Ended',
  stream: 'Stream',
  tools: 'Tool calls',
  verdict: 'Verdict',
  rule: 'Rule',
  capture: 'Capture',
  min_cost: 'Costs at least $',
  min_ms: 'Takes at least ms',
  client: 'Client',
};

/** The filters of the log. All of them stand in the address. */
export function FilterBar({
  search,
  onChange,
  admin,
  live,
}: {
  search: Search;
  onChange: Change;
  admin: boolean;
  live: boolean;
}) {
  const [open, setOpen] = useState(false);
  const set = filtersSet(search);
  const typed = (
    name: 'user' | 'model' | 'provider' | 'session' | 'agent' | 'error' | 'rule' | 'min_cost',
  ) => (
    <Typed
      label={LABELS[name]}
      value={search[name]}
      onChange={value => onChange({ [name]: value }, { replace: true })}
    />
  );
  return (
    <div className="filters">
      <div className="row">
        {!live && (
          <TimeRangePicker
            value={search}
            onChange={onChange}
            fallback="24h"
            ranges={['1h', '24h', '7d', '30d', 'custom']}
          />
        )}
        {admin && typed('user')}
        {typed('model')}
        <Choice
          label="Status"
          value={search.status}
          onChange={status => onChange({ status })}
          options={[
            ['2xx', '2xx answered'],
            ['4xx', '4xx refused'],
            ['5xx', '5xx failed'],
            ['429', '429 too many'],
            ['401', '401'],
            ['403', '403'],
            ['404', '404'],
          ]}
        />
        <Button icon={ListFilter} aria-expanded={open} onClick={() => setOpen(!open)}>
          More filters
        </Button>
      </div>
      {open && (
        <div className="row filters-more">
          {typed('provider')}
          {typed('session')}
          {typed('agent')}
          {typed('error')}
          <Choice
            label="API"
            value={search.api}
            onChange={api => onChange({ api })}
            options={Object.entries(API_NAMES)}
          />
          <Choice
            label="Ended"
            value={search.ended}
            onChange={ended => onChange({ ended })}
            options={Object.entries(ENDS)}
          />
          <Choice
            label="Stream"
            value={search.stream}
            onChange={stream => onChange({ stream: stream as Search['stream'] })}
            options={[
              ['true', 'Streams'],
              ['false', 'No streams'],
            ]}
          />
          <Choice
            label="Tool calls"
            value={search.tools}
            onChange={tools => onChange({ tools: tools as Search['tools'] })}
            options={[
              ['true', 'With tool calls'],
              ['false', 'Without'],
            ]}
          />
          <Choice
            label="Verdict"
            value={search.verdict}
            onChange={verdict => onChange({ verdict })}
            options={[
              ['any', 'Any'],
              ['log', 'Noted'],
              ['redact', 'Redacted'],
              ['modify', 'Modified'],
              ['block', 'Blocked'],
              ['failed', 'Failed'],
              ['allow', 'Allowed'],
            ]}
          />
          <Choice
            label="Capture"
            value={search.capture}
            onChange={capture => onChange({ capture })}
            options={[
              ['written', 'Captured'],
              ['off', 'Not captured'],
              ['dropped', 'No room'],
            ]}
          />
          {typed('rule')}
          {typed('min_cost')}
          <Typed
            label={LABELS.min_ms}
            value={search.min_ms?.toString()}
            onChange={value =>
              onChange(
                { min_ms: value !== undefined && /^\d+$/.test(value) ? Number(value) : undefined },
                { replace: true },
              )
            }
          />
        </div>
      )}
      {set.length > 0 && (
        <div className="row">
          {set.map(name => (
            <span key={name} className="chip">
              {LABELS[name]}: <bdi>{visible(String(search[name]).slice(0, 60))}</bdi>
              <button
                type="button"
                aria-label={`Remove filter ${LABELS[name]}`}
                onClick={() => onChange({ [name]: undefined })}
              >
                <X size={13} aria-hidden />
              </button>
            </span>
          ))}
          {set.length > 1 && (
            <Button tone="quiet" size="small" onClick={() => onChange(noFilters())}>
              Clear all
            </Button>
          )}
        </div>
      )}
    </div>
  );
}

/** A text that takes effect a moment after the last key, or on Enter. */
function Typed({
  label,
  value,
  onChange,
}: {
  label: string;
  value: string | undefined;
  onChange: (value: string | undefined) => void;
}) {
  const [text, setText] = useState(value ?? '');
  const id = useId();
  useEffect(() => setText(value ?? ''), [value]);
  useEffect(() => {
    if (text.trim() === (value ?? '')) return;
    const timer = setTimeout(() => onChange(text.trim() === '' ? undefined : text.trim()), 400);
    return () => clearTimeout(timer);
  }, [text, value, onChange]);
  return (
    <Labelled id={id} label={label}>
      <Input id={id} value={text} placeholder={label} onChange={event => setText(event.target.value)} />
    </Labelled>
  );
}

function Choice({
  label,
  value,
  onChange,
  options,
}: {
  label: string;
  value: string | undefined;
  onChange: (value: string | undefined) => void;
  options: readonly (readonly [string, string])[];
}) {
  const id = useId();
  const known = value === undefined || options.some(([word]) => word === value);
  const all = [
    { value: '', label: `Any ${label.toLowerCase() === 'api' ? 'API' : label.toLowerCase()}` },
    ...options.map(([word, text]) => ({ value: word, label: text })),
    ...(known ? [] : [{ value: value ?? '', label: visible((value ?? '').slice(0, 40)) }]),
  ];
  return (
    <Labelled id={id} label={label}>
      <Select
        id={id}
        value={value ?? ''}
        options={all}
        onChange={event => onChange(event.target.value === '' ? undefined : event.target.value)}
      />
    </Labelled>
  );
}

function Labelled({ id, label, children }: { id: string; label: string; children: ReactNode }) {
  return (
    <span className="filter">
      <label htmlFor={id} className="visually-hidden">
        {label}
      </label>
      {children}
    </span>
  );
}
