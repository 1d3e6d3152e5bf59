import { Eye } from 'lucide-react';
import { useState } from 'react';
import { useApi } from '@/api';
import { Badge, Button, Dialog, EmptyState, ErrorState, Skeleton, Text } from '@/kit';

/** What the guardrails in force now would change in this request. */
export function ShadowButton({ id }: { id: string }) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button size="small" icon={Eye} onClick={() => setOpen(true)}>
        What would change
      </Button>
      {open && (
        <Dialog
          open
          onOpenChange={setOpen}
          size="wide"
          title="What guardrails would change"
          description="The rules in force now, on what was captured then; those in shadow mode, too. Found texts are masked."
        >
          <Rules id={id} />
        </Dialog>
      )}
    </>
  );
}

function Rules({ id }: { id: string }) {
  const shadow = useApi('/api/captures/{id}/shadow', { path: { id } }, { keepPrevious: false });
  if (shadow.error !== null)
    return <ErrorState compact problem={shadow.error} onRetry={() => void shadow.refetch()} />;
  if (shadow.data === undefined) return <Skeleton height={120} />;
  const { rules, looked_at: looked } = shadow.data;
  const unread = [!looked.request && 'the request', !looked.answer && 'the answer'].filter(
    one => one !== false,
  );
  const found = rules.filter(rule => rule.found.length > 0);
  return (
    <div className="stack">
      {unread.length > 0 && (
        <p className="muted">Not looked at: {unread.join(' and ')}, which is no whole JSON.</p>
      )}
      {rules.length === 0 && <EmptyState compact title="No guardrail holds for this model" />}
      {rules.length > 0 && found.length === 0 && (
        <EmptyState compact title="Nothing would change">
          None of {rules.length} rules finds anything.
        </EmptyState>
      )}
      {found.map(rule => (
        <section key={rule.name} className="shadow-rule">
          <h3 className="row">
            <Text text={rule.name} mono />{' '}
            <Badge tone={rule.shadow ? 'neutral' : 'warn'}>{rule.action}</Badge>
            {rule.shadow && <Badge>shadow</Badge>}
            {!rule.everyone && <span className="faint">for those whose grants name it</span>}
          </h3>
          {rule.found.map((one, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: findings have no identity
            <div key={index} className="shadow-found">
              <div className="faint mono">
                <Text text={one.where} clamp={120} /> · {one.what} × {one.count}
              </div>
              <del className="mono">
                <Text text={one.before} clamp={400} />
              </del>
              <ins className="mono">
                <Text text={one.after} clamp={400} />
              </ins>
            </div>
          ))}
          {rule.more > 0 && <p className="muted">{rule.more} more findings are not shown.</p>}
        </section>
      ))}
    </div>
  );
}
