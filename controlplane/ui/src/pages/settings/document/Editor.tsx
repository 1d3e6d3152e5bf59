import { lazy, Suspense } from 'react';
import { Skeleton } from '@/kit';

/** Something that the gateway says about a place of the document. */
export interface Message {
  severity: 'error' | 'warning' | 'notice';
  path: string;
  line: number;
  column: number;
  text: string;
}

export interface EditorProps {
  text: string;
  onChange?: (text: string) => void;
  /** Ctrl-S, or Cmd-S. */
  onSave?: () => void;
  messages?: readonly Message[];
  /** Shown as what this text was before: what was added and taken away is marked. */
  before?: string;
  /** A line to go to; a new object goes there again. */
  line?: { number: number };
  label: string;
}

const CodeEditor = lazy(() => import('./CodeEditor'));

/** The editor of the document. It is large: it is loaded when one is shown for the first time. */
export function Editor(props: EditorProps) {
  return (
    <Suspense
      fallback={
        <div aria-busy="true">
          <Skeleton height={320} />
        </div>
      }
    >
      <CodeEditor {...props} />
    </Suspense>
  );
}
