import { Braces, Gauge } from 'lucide-react';
import { Button, EmptyState } from '@/kit';
import type { Draft } from './draft';
import { read, valueAt } from './hujson';
import { Messages } from './Messages';
import { sections } from './schema';
import { withBudget } from './start';
import { Value } from './visual/Value';

const names: Record<string, string> = {
  providers: 'Providers',
  grants: 'Grants',
  model_aliases: 'Model aliases',
  identity: 'Identity',
  listeners: 'Listeners',
  limits: 'Limits',
  auto_cost_basis: 'Cost basis',
  quotas: 'Budgets',
  hooks: 'Hooks',
  guardrails: 'Guardrails',
  captures: 'Captures',
  database: 'Retention',
  exporters: 'Exporters',
  prices: 'Prices',
};

/** The document as fields, a section at a time. Comments and everything else in the text stay where they are. */
export function VisualTab({
  draft,
  section,
  onSection,
}: {
  draft: Draft;
  section: string | undefined;
  onSection: (section: string) => void;
}) {
  const chosen = sections.find(({ key }) => key === section) ?? sections[0];
  const { value, broken } = read(draft.text);
  if (broken || chosen === undefined) {
    return (
      <EmptyState icon={Braces} title="The document cannot be read as it stands">
        Mend it under Document, or discard the changes.
      </EmptyState>
    );
  }
  const messages = (draft.report?.messages ?? []).filter(
    message =>
      message.path === chosen.key ||
      message.path.startsWith(`${chosen.key}.`) ||
      message.path.startsWith(`${chosen.key}[`),
  );
  const present = valueAt(value, [chosen.key]);
  return (
    <div className="config-visual">
      <nav className="config-sections" aria-label="Sections of the configuration">
        {sections.map(({ key }) => {
          const count = entries(valueAt(value, [key]));
          return (
            <button
              key={key}
              type="button"
              className="config-section-link"
              aria-current={key === chosen.key ? 'true' : undefined}
              onClick={() => onSection(key)}
            >
              {names[key] ?? key}
              {count !== null && <span className="faint">{count}</span>}
            </button>
          );
        })}
      </nav>
      <section className="config-section" aria-labelledby="config-section-title">
        <h2 id="config-section-title">{names[chosen.key] ?? chosen.key}</h2>
        <p className="muted">{chosen.node.description}</p>
        <Messages messages={messages} />
        {chosen.key === 'quotas' && !entries(present) && (
          <EmptyState
            compact
            icon={Gauge}
            title="No budgets yet"
            action={
              <Button onClick={() => draft.change(withBudget(draft.text))}>
                Begin with one for each person
              </Button>
            }
          >
            Ten dollars, refilled by five a day, and a grant that holds everybody to it. Change it before you
            save.
          </EmptyState>
        )}
        <Value
          path={[chosen.key]}
          node={chosen.node}
          value={present}
          text={draft.text}
          change={draft.change}
        />
      </section>
    </div>
  );
}

function entries(value: unknown): number | null {
  if (Array.isArray(value)) return value.length;
  return value !== null && typeof value === 'object' ? Object.keys(value).length : null;
}
