import { CircleCheck, TriangleAlert, X } from 'lucide-react';
import { useEffect, useSyncExternalStore } from 'react';

export interface ToastOptions {
  title: string;
  text?: string;
  tone?: 'good' | 'bad';
  /** A thing to do about it, such as to undo it. */
  action?: { label: string; run: () => void };
}

interface Shown extends ToastOptions {
  id: number;
}

let shown: readonly Shown[] = [];
let last = 0;
const listeners = new Set<() => void>();

function change(next: readonly Shown[]): void {
  shown = next;
  for (const listener of listeners) listener();
}

/** Says that something was done, or was not: `toast({ title: 'The bucket is filled' })`. At most three stand at once. */
export function toast(options: ToastOptions): void {
  last += 1;
  change([...shown.slice(-2), { ...options, id: last }]);
}

const dismiss = (id: number): void => change(shown.filter(toast => toast.id !== id));

/** The place of toasts; stands once, in the shell. */
export function Toaster() {
  const toasts = useSyncExternalStore(
    listener => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => shown,
  );
  return (
    <div className="toasts" aria-live="polite" aria-relevant="additions">
      {toasts.map(toast => (
        <Item key={toast.id} toast={toast} />
      ))}
    </div>
  );
}

function Item({ toast }: { toast: Shown }) {
  const { id, title, text, tone = 'good', action } = toast;
  useEffect(() => {
    // What went wrong, or can be acted on, stays longer.
    const timer = setTimeout(() => dismiss(id), tone === 'bad' || action !== undefined ? 12_000 : 5000);
    return () => clearTimeout(timer);
  }, [id, tone, action]);
  const Icon = tone === 'good' ? CircleCheck : TriangleAlert;
  return (
    <div className={`toast toast-${tone}`}>
      <Icon size={17} aria-hidden />
      <div className="toast-text">
        <div className="toast-title">{title}</div>
        {text !== undefined && <div className="muted">{text}</div>}
      </div>
      {action !== undefined && (
        <button
          type="button"
          className="button button-quiet button-small"
          onClick={() => {
            action.run();
            dismiss(id);
          }}
        >
          {action.label}
        </button>
      )}
      <button type="button" className="icon-button" aria-label="Dismiss" onClick={() => dismiss(id)}>
        <X size={15} aria-hidden />
      </button>
    </div>
  );
}
