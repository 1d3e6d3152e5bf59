import { RotateCw, TriangleAlert } from 'lucide-react';
import type { ApiProblem } from '@/api/problem';
import { adviceFor } from './advice';
import { Button } from './Button';

export interface ErrorStateProps {
  problem: ApiProblem;
  /** What to do, if the kit does not know better. */
  advice?: string;
  onRetry?: () => void;
  compact?: boolean;
}

/** The place of something that could not be had: what went wrong, what to do, a button that tries again. */
export function ErrorState({ problem, advice, onRetry, compact = false }: ErrorStateProps) {
  return (
    <div className={compact ? 'empty empty-compact empty-error' : 'empty empty-error'} role="alert">
      <TriangleAlert className="empty-icon" size={compact ? 20 : 26} strokeWidth={1.5} aria-hidden />
      <p className="empty-title">
        {problem.title}
        {problem.status > 0 && <span className="faint"> {problem.status}</span>}
      </p>
      {problem.detail !== '' && <p className="empty-text">{problem.detail}</p>}
      <p className="empty-text">{advice ?? adviceFor(problem)}</p>
      {onRetry !== undefined && (
        <div className="empty-action">
          <Button icon={RotateCw} onClick={onRetry}>
            Try again
          </Button>
        </div>
      )}
    </div>
  );
}
