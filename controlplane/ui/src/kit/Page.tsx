import { type ReactNode, useEffect } from 'react';
import { ExactLine } from './Exact';

export interface PageProps {
  title: string;
  /** In the place of the title, where it is more than text (an untrusted name, a link back). */
  heading?: ReactNode;
  /** One sentence under the title. */
  description?: ReactNode;
  /** Buttons on the right of the title. */
  actions?: ReactNode;
  /** The filter bar, under the title. */
  filters?: ReactNode;
  children: ReactNode;
}

/** A page: its title, which is the document's too, what it is about, its actions and filters. */
export function Page({ title, heading, description, actions, filters, children }: PageProps) {
  useEffect(() => {
    document.title = title === 'Sluice' ? title : `${title} · Sluice`;
  }, [title]);
  return (
    <div className="page">
      <header className="page-head">
        <div className="page-head-text">
          <h1>{heading ?? title}</h1>
          {description !== undefined && <p className="page-description">{description}</p>}
        </div>
        {actions !== undefined && <div className="page-actions">{actions}</div>}
      </header>
      {filters}
      {children}
      <ExactLine />
    </div>
  );
}
