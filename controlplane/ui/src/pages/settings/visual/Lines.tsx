import { useState } from 'react';

/** Texts, one a line. Taken over when the field is left. */
export function Lines({
  label,
  lines,
  onChange,
}: {
  label: string;
  lines: string[];
  onChange: (lines: string[]) => void;
}) {
  const joined = lines.join('\n');
  const [draft, setDraft] = useState<string | null>(null);
  return (
    <textarea
      className="input config-lines"
      aria-label={label}
      placeholder="One a line"
      spellCheck={false}
      rows={Math.min(Math.max(lines.length, 1), 8)}
      value={draft ?? joined}
      onChange={event => setDraft(event.target.value)}
      onBlur={() => {
        const next = (draft ?? joined)
          .split('\n')
          .map(line => line.trim())
          .filter(line => line !== '');
        setDraft(null);
        if (next.join('\n') !== joined) onChange(next);
      }}
    />
  );
}
