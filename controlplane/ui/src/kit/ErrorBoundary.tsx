import { Component, type ReactNode } from 'react';
import { asProblem } from '@/api/problem';
import { ErrorState } from './ErrorState';

export interface ErrorBoundaryProps {
  children: ReactNode;
  /** Another value tries again by itself: what is shown, such as an id. */
  of?: string;
}

/** Keeps a failure in its place: the rest of the page stays. Pages have one around them already. */
export class ErrorBoundary extends Component<ErrorBoundaryProps, { error: unknown }> {
  override state: { error: unknown } = { error: null };

  static getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override componentDidUpdate(before: ErrorBoundaryProps): void {
    if (before.of !== this.props.of && this.state.error !== null) this.setState({ error: null });
  }

  override render(): ReactNode {
    if (this.state.error === null) return this.props.children;
    return (
      <ErrorState
        problem={asProblem(this.state.error)}
        compact
        onRetry={() => this.setState({ error: null })}
      />
    );
  }
}
