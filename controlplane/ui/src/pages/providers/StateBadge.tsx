import { Badge, Tooltip } from '@/kit';
import { STATES, type State } from './state';

/** How a provider does; the rule behind it on hover and focus. */
export function StateBadge({ state, windowS }: { state: State; windowS: number }) {
  const { label, tone, rule } = STATES[state];
  const minutes = Math.max(1, Math.round(windowS / 60));
  return (
    <Tooltip content={`${rule} Counted over the last ${minutes} min.`}>
      <span className="state" tabIndex={0}>
        <Badge tone={tone}>{label}</Badge>
      </span>
    </Tooltip>
  );
}
