import { useEffect, useState } from 'react';
import { Kbd } from '@/kit';
import { Editor } from './document/Editor';
import type { Draft } from './draft';
import { Messages } from './Messages';

/** The document as text. */
export function DocumentTab({
  draft,
  line,
  onSave,
}: {
  draft: Draft;
  line: number | undefined;
  onSave: () => void;
}) {
  const [place, setPlace] = useState<{ number: number } | undefined>();
  useEffect(() => {
    if (line !== undefined) setPlace({ number: line });
  }, [line]);
  return (
    <div className="stack">
      <div className="config-document">
        <Editor
          label="Configuration document"
          text={draft.text}
          onChange={draft.change}
          onSave={onSave}
          messages={draft.report?.messages}
          line={place}
        />
      </div>
      {draft.report !== null && (
        <Messages messages={draft.report.messages} onGo={number => setPlace({ number })} />
      )}
      <p className="faint config-keys-help">
        <Kbd>Ctrl</Kbd> <Kbd>Space</Kbd> completes, <Kbd>Ctrl</Kbd> <Kbd>S</Kbd> reviews, <Kbd>Esc</Kbd> then{' '}
        <Kbd>Tab</Kbd> leaves the editor. Keys of providers are shown as stars; what stays as stars keeps its
        value.
      </p>
    </div>
  );
}
