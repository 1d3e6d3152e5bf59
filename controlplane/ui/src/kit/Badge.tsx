import type { ReactNode } from 'react';

export type Tone = 'neutral' | 'good' | 'warn' | 'bad' | 'info';

/** A word that stands out by its meaning: `<Badge tone="good">ok</Badge>`. */
export function Badge({
  tone = 'neutral',
  title,
  children,
}: {
  tone?: Tone;
  title?: string;
  children: ReactNode;
}) {
  return (
    <span className={`badge badge-${tone}`} title={title}>
      {children}
    </span>
  );
}

/** The status that a client got; 0 if it got none. `quiet`: in a list, where success is nothing that stands out. */
export function StatusBadge({ status, quiet = false }: { status: number; quiet?: boolean }) {
  if (quiet && status >= 200 && status < 300) return <span className="status-good">{status}</span>;
  const tone: Tone =
    status === 0 ? 'neutral' : status < 300 ? 'good' : status < 400 ? 'info' : status < 500 ? 'warn' : 'bad';
  return (
    <Badge tone={tone} title={status === 0 ? 'The client got no answer' : undefined}>
      {status === 0 ? 'none' : status}
    </Badge>
  );
}

const endings: Record<string, { tone: Tone; text: string; title: string }> = {
  complete: { tone: 'good', text: 'complete', title: 'The answer reached its end' },
  client_gone: { tone: 'neutral', text: 'client left', title: 'The client left before the end' },
  upstream_failed: {
    tone: 'bad',
    text: 'provider failed',
    title: 'The provider broke off, or gave no answer',
  },
  cut_by_quota: { tone: 'warn', text: 'cut by budget', title: 'A budget was used up during the answer' },
  blocked: { tone: 'warn', text: 'blocked', title: 'A guardrail or a hook did not let it pass' },
  aborted: { tone: 'bad', text: 'aborted', title: 'The gateway was killed during the request' },
};

/** How a request ended. */
export function EndedBadge({ ended }: { ended: string }) {
  const found = endings[ended];
  return (
    <Badge tone={found?.tone ?? 'neutral'} title={found?.title}>
      {found?.text ?? ended}
    </Badge>
  );
}
