import { type ReactNode, useId } from 'react';

export interface CardProps {
  title?: string;
  /** Right of the title. */
  actions?: ReactNode;
  /** Under the title. */
  description?: ReactNode;
  children: ReactNode;
  /** Without space around what it holds: for tables and charts to the edge. */
  flush?: boolean;
}

/** A part of a page with a title of its own. */
export function Card({ title, actions, description, children, flush = false }: CardProps) {
  const id = useId();
  return (
    <section
      className={flush ? 'card card-flush' : 'card'}
      aria-labelledby={title === undefined ? undefined : id}
    >
      {title !== undefined && (
        <div className="card-head">
          <div>
            <h2 id={id}>{title}</h2>
            {description !== undefined && <div className="muted">{description}</div>}
          </div>
          {actions !== undefined && <div className="row">{actions}</div>}
        </div>
      )}
      <div className="card-body">{children}</div>
    </section>
  );
}
