import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { Schema } from '@/api';
import { Text } from '@/kit';
import { exact } from '@/kit/Exact';
import { exactMoney, money } from '@/kit/format';
import { KNOWN } from './words';
import './logs.css';

export type RequestRow = Schema<'RequestRecord'>;

/** What is not known, and why. */
export function Unknown({ why = 'Not known' }: { why?: string }) {
  return (
    <span className="faint" title={why}>
      unknown
    </span>
  );
}

/** A cost, and how it is known. */
export function Cost({ row }: { row: Pick<RequestRow, 'cost_nanousd' | 'priced' | 'usage_known'> }) {
  if (!row.priced || row.cost_nanousd === null) {
    const why = row.priced
      ? 'Nothing is known that the model is billed by.'
      : 'No price was found for this model.';
    return (
      <span className="faint" title={why}>
        {row.priced ? 'unknown' : 'unpriced'}
      </span>
    );
  }
  const known = KNOWN[row.usage_known];
  const sure = row.usage_known === 'reported';
  return (
    <span
      className="figure nowrap"
      title={`${exactMoney(row.cost_nanousd)}\nCounts ${known?.label ?? row.usage_known}. ${known?.what ?? ''}`}
    >
      {sure ? '' : '≈ '}
      {money(row.cost_nanousd)}
    </span>
  );
}

/** Whether an answered name is the asked one, but for a date behind it. */
export const isSameModel = (asked: string, answered: string | null): boolean =>
  answered === null || answered === asked || answered.replace(/[-@]\d{4}-?\d{2}-?\d{2}$/, '') === asked;

/** A model as it was asked for, and the one that answered, if that is another. */
export function Models({ row }: { row: Pick<RequestRow, 'model_asked' | 'model_answered'> }) {
  const { model_asked: asked, model_answered: answered } = row;
  return (
    <span
      className="mono clip"
      title={answered === null || answered === asked ? undefined : `answered by ${answered.slice(0, 200)}`}
    >
      {asked === '' ? <Unknown why="The request named no model." /> : <Text text={asked} clamp={80} />}
      {!isSameModel(asked, answered) && (
        <span className="faint">
          {' → '}
          <Text text={answered} clamp={80} />
        </span>
      )}
    </span>
  );
}

/** Names and values side by side. */
export function Facts({ facts }: { facts: readonly (readonly [name: string, value: ReactNode] | false)[] }) {
  return (
    <dl className="facts" {...exact}>
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

/** A link to a person's page for admins; the plain login for everybody else. */
export function Person({ login, admin }: { login: string; admin: boolean }) {
  if (login === '') return <Unknown why="The caller was not identified." />;
  if (!admin) return <Text text={login} clamp={60} />;
  return (
    <Link to="/people/$login" params={{ login }}>
      <Text text={login} clamp={60} />
    </Link>
  );
}
