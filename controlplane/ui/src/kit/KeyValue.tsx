import { Fragment, type ReactNode } from 'react';
import { exact } from './Exact';

/** Facts about one thing: `<KeyValue rows={[['Model', 'gpt-5.5'], …]} />`. */
export function KeyValue({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="key-value" {...exact}>
      {rows.map(([key, value]) => (
        <Fragment key={key}>
          <dt>{key}</dt>
          <dd>
            {value === null || value === undefined || value === '' ? (
              <span className="faint">none</span>
            ) : (
              value
            )}
          </dd>
        </Fragment>
      ))}
    </dl>
  );
}
