import { memo, type ReactNode, useState } from 'react';
import { Badge, Button, Text } from '@/kit';
import { Blocks } from './Blocks';
import type { Turn } from './conversation';
import { Fold } from './Fold';

const ROLES: Record<Turn['role'], string> = {
  system: 'System',
  user: 'User',
  assistant: 'Assistant',
  tool: 'Tool',
  other: 'Other',
};
/** Turns drawn at first, counted from the end: the newest matter most. */
const STEP = 40;

/** A conversation, the newest turns first in sight of the code: long ones are drawn from their end. */
export function Turns({
  turns,
  link,
}: {
  turns: readonly Turn[];
  link?: (turn: Turn, index: number) => ReactNode;
}) {
  const [shown, setShown] = useState(STEP);
  const first = Math.max(0, turns.length - shown);
  // What the system says stands at the front, and is short while it is folded.
  const head = turns.slice(0, first).filter(turn => turn.role === 'system');
  return (
    <ol className="talk">
      {head.map((turn, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: turns have no identity but their place
        <One key={`head-${index}`} turn={turn} />
      ))}
      {first > head.length && (
        <li className="talk-more">
          <Button onClick={() => setShown(shown + STEP * 5)}>Show {first - head.length} earlier turns</Button>
        </li>
      )}
      {turns.slice(first).map((turn, index) => (
        <One
          // biome-ignore lint/suspicious/noArrayIndexKey: turns have no identity but their place
          key={first + index}
          turn={turn}
          link={link?.(turn, first + index)}
        />
      ))}
    </ol>
  );
}

const One = memo(function One({ turn, link }: { turn: Turn; link?: ReactNode }) {
  const { role, name, blocks, answered, stop } = turn;
  return (
    <li className={`turn turn-${role} ${answered ? 'turn-answer' : ''}`}>
      <div className="turn-head">
        <span className="turn-role">{ROLES[role]}</span>
        {name !== '' && <Text text={name} clamp={60} />}
        {answered && <Badge tone="info">answer</Badge>}
        {stop !== '' && stop !== 'completed' && (
          <span className="faint mono" title="The provider's word for why it ended">
            <Text text={stop} clamp={40} />
          </span>
        )}
        <span className="turn-link">{link}</span>
      </div>
      {role === 'system' ? (
        <Fold label="Instructions" hint={firstText(turn)}>
          <Blocks blocks={blocks} />
        </Fold>
      ) : (
        <Blocks blocks={blocks} />
      )}
      {answered && blocks.length === 0 && <p className="muted">It says nothing.</p>}
    </li>
  );
});

const firstText = (turn: Turn): string => {
  const block = turn.blocks.find(block => block.kind === 'text');
  return block?.kind === 'text' ? block.text : '';
};
