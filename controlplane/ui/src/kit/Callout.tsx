import { CircleCheck, Info, TriangleAlert } from 'lucide-react';
import type { ReactNode } from 'react';

export interface CalloutProps {
  tone?: 'info' | 'good' | 'warn' | 'bad';
  title?: string;
  children?: ReactNode;
  /** A button or link. */
  action?: ReactNode;
}

/** Something that a reader should know before going on. */
export function Callout({ tone = 'info', title, children, action }: CalloutProps) {
  const Icon = tone === 'info' ? Info : tone === 'good' ? CircleCheck : TriangleAlert;
  return (
    <div className={`callout callout-${tone}`}>
      <Icon size={17} aria-hidden />
      <div className="callout-text">
        {title !== undefined && <div className="callout-title">{title}</div>}
        {children}
      </div>
      {action}
    </div>
  );
}
