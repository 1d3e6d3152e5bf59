import type { Schema } from '@/api';
import { Card, Text } from '@/kit';

/** What providers serve without naming it: any model whose name fits. */
export function Patterns({ patterns }: { patterns: readonly Schema<'ModelPattern'>[] }) {
  return (
    <Card
      title="Served by pattern"
      description="Every model whose name fits can be called, whether it is listed above or not."
    >
      <ul className="patterns">
        {patterns.map(({ pattern, providers }) => (
          <li key={`${pattern} ${providers.join(' ')}`}>
            <code>
              <Text text={pattern} />
            </code>
            <span className="muted">
              <Text text={providers.join(', ')} />
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}
