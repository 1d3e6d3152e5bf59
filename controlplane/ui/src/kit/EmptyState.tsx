import { Inbox, type LucideIcon } from 'lucide-react';
import type { ReactNode } from 'react';
import { Code } from './Code';

export interface EmptyStateProps {
  icon?: LucideIcon;
  /** What there is none of. */
  title: string;
  /** What this is and how it fills. */
  children?: ReactNode;
  /** Something to paste that fills it. */
  snippet?: string;
  /** A button or link. */
  action?: ReactNode;
  /** Less height, inside a card. */
  compact?: boolean;
}

/** The place of something that is not there yet: what it is, and what to do to get it. */
export function EmptyState({
  icon: Icon = Inbox,
  title,
  children,
  snippet,
  action,
  compact = false,
}: EmptyStateProps) {
  return (
    <div className={compact ? 'empty empty-compact' : 'empty'}>
      <Icon className="empty-icon" size={compact ? 20 : 26} strokeWidth={1.5} aria-hidden />
      <p className="empty-title">{title}</p>
      {children !== undefined && <div className="empty-text">{children}</div>}
      {snippet !== undefined && <Code text={snippet} />}
      {action !== undefined && <div className="empty-action">{action}</div>}
    </div>
  );
}
