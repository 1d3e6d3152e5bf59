import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { Schema } from '@/api';
import { visible } from '@/kit/visible';
import { count, ENDS, KNOWN, short, statusTone, usd } from './format';
import './logs.css';

export type RequestRow = Schema<'RequestRecord'>;

/** A small label in a tone. */
export function Tag({ tone = 'neutral', title, children }: { tone?: 'good' | 'warn' | 'bad' | 'neutral' | 'info'; title?: string; children: ReactNode }) {
  return (
    <span className={`tag tag-${tone}`} title={title}>
      {children}
    </span>
  );
}

/** The status that the client got. */
export function Status({ status }: { status: number }) {
  if (status === 0) return <Tag title="The client got no answer.">none</Tag>;
  return <Tag tone={statusTone(status)}>{status}</Tag>;
}

/** How a request ended; nothing if it did so as it should. */
export function End({ ended, always = false }: { ended: string; always?: boolean }) {
  const known = ENDS[ended];
  if (ended === 'complete' && !always) return null;
  return (
    <Tag tone={known?.tone ?? 'neutral'} title={known?.what}>
      {known?.label ?? ended}
    </Tag>
  );
}

/** What is not known. */
export function Unknown({ why = 'Not known' }: { why?: string }) {
  return (
    <span className="faint" title={why}>
      unknown
    </span>
  );
}

/** A count in few characters, with the exact one on hover. */
export function Count({ value, what }: { value: number | null | undefined; what: string }) {
  if (value === null || value === undefined) return <Unknown why={`${what}: not known`} />;
  return <span title={`${count(value)} ${what}`}>{short(value)}</span>;
}

/** A cost, and how it is known. */
export function Cost({ row }: { row: Pick<RequestRow, 'cost_nanousd' | 'priced' | 'usage_known'> }) {
  if (row.cost_nanousd === null) {
    const why = row.priced
      ? 'Nothing is known that the model is billed by.'
      : 'No price was found for this model.';
    return (
      <span className="faint" title={why}>
        {row.priced ? 'unknown' : 'unpriced'}
      </span>
    );
  }
  if (!row.priced) {
    return (
      <span className="faint" title="No price was found for this model.">
        unpriced
      </span>
    );
  }
  const known = KNOWN[row.usage_known];
  const exact = `$${(row.cost_nanousd / 1e9).toFixed(9).replace(/0{1,7}$/, '')}`;
  const sure = row.usage_known === 'reported';
  return (
    <span title={`${exact}; counts ${known?.label ?? row.usage_known}. ${known?.what ?? ''}`}>
      {sure ? '' : '≈ '}
      {usd(row.cost_nanousd)}
    </span>
  );
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const day = new Intl.DateTimeFormat(undefined, { day: '2-digit', month: 'short' });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: '2-digit', month: 'short', year: 'numeric' });

/** A time in the viewer's zone; today's without a date. UTC on hover. */
export function When({ time, full = false }: { time: string; full?: boolean }) {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return <Unknown />;
  const now = new Date();
  const date = at.getFullYear() === now.getFullYear() ? day.format(at) : dayOfYear.format(at);
  const today = at.toDateString() === now.toDateString();
  return (
    <time dateTime={time} title={time.replace('T', ' ').replace('Z', ' UTC')} className="nowrap">
      {(full || !today) && `${date} `}
      {clock.format(at)}
    </time>
  );
}

/** A model as it was asked for, and the one that answered, if that is another. */
export function Models({ row }: { row: Pick<RequestRow, 'model_asked' | 'model_answered'> }) {
  const asked = visible(row.model_asked);
  const answered = row.model_answered;
  // A date behind the name is the same model.
  const same = answered === null || answered === row.model_asked || answered.replace(/[-@]\d{4}-?\d{2}-?\d{2}$/, '') === row.model_asked;
  return (
    <span className="mono clip" title={answered === null ? asked : `asked ${asked}, answered ${visible(answered)}`}>
      {asked === '' ? <Unknown why="The request named no model." /> : asked}
      {!same && answered !== null && <span className="faint"> → {visible(answered)}</span>}
    </span>
  );
}

/** A card with a heading. */
export function Panel({ title, actions, children, className = '' }: { title: string; actions?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={`panel ${className}`} aria-label={title}>
      <header className="panel-head">
        <h2>{title}</h2>
        {actions}
      </header>
      {children}
    </section>
  );
}

/** Names and values, one after the other. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: ReactNode] | false)[] }) {
  return (
    <dl className="facts">
      {facts.map(
        fact =>
          fact !== false && (
            <div key={fact[0]}>
              <dt>{fact[0]}</dt>
              <dd>{fact[1]}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

export interface TabItem<T extends string> {
  id: T;
  label: string;
  /** How many things there are, or nothing. */
  count?: number;
}

/** Tabs; the arrow keys go from one to the next. What they show is the caller's. */
export function TabBar<T extends string>({ tabs, value, onChange, label }: { tabs: readonly TabItem<T>[]; value: T; onChange: (tab: T) => void; label: string }) {
  const move = (step: number) => {
    const at = tabs.findIndex(tab => tab.id === value);
    const next = tabs[(at + step + tabs.length) % tabs.length];
    if (next === undefined) return;
    onChange(next.id);
    document.getElementById(`tab-${next.id}`)?.focus();
  };
  return (
    <div
      className="tabbar"
      role="tablist"
      aria-label={label}
      onKeyDown={event => {
        if (event.key === 'ArrowRight') move(1);
        if (event.key === 'ArrowLeft') move(-1);
      }}
    >
      {tabs.map(tab => (
        <button
          key={tab.id}
          id={`tab-${tab.id}`}
          type="button"
          role="tab"
          aria-selected={tab.id === value}
          aria-controls={`panel-${tab.id}`}
          tabIndex={tab.id === value ? 0 : -1}
          onClick={() => onChange(tab.id)}
        >
          {tab.label}
          {tab.count !== undefined && <span className="faint"> {short(tab.count)}</span>}
        </button>
      ))}
    </div>
  );
}

/** What a tab shows. */
export function TabPanel({ id, children }: { id: string; children: ReactNode }) {
  return (
    <div role="tabpanel" id={`panel-${id}`} aria-labelledby={`tab-${id}`} className="stack">
      {children}
    </div>
  );
}

/** A link to a person's page for admins; the plain login for everybody else. */
export function Person({ login, admin }: { login: string; admin: boolean }) {
  if (login === '') return <Unknown why="The caller was not identified." />;
  if (!admin) return <span className="clip">{visible(login)}</span>;
  return (
    <Link to="/people/$login" params={{ login }} className="clip">
      {visible(login)}
    </Link>
  );
}
