import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';

export interface RowLinkProps {
  to: string;
  params?: Record<string, string>;
  className?: string;
  title?: string;
  children: ReactNode;
}

/** Where a row of a table leads, as a link: for a new tab, and for who hears the page. The row itself is the stop of the Tab key. */
export function RowLink({ to, params, className, title, children }: RowLinkProps) {
  return (
    <Link
      to={to as never}
      params={params as never}
      className={className === undefined ? 'row-link' : `row-link ${className}`}
      title={title}
      tabIndex={-1}
    >
      {children}
    </Link>
  );
}
