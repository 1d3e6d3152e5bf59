import { Text } from '@/kit';
import type { Conversation } from './conversation';
import { written } from './conversation/json';
import { Fold } from './Fold';
import { JsonTree } from './JsonTree';

/** The tools and settings that a request sends beside its messages. */
export function Offered({ tools, settings }: Pick<Conversation, 'tools' | 'settings'>) {
  if (tools.length === 0 && settings.length === 0) return null;
  return (
    <div className="offered">
      {settings.length > 0 && (
        <Fold label="Settings" hint={settings.map(([name]) => name).join(', ')}>
          <dl className="fields">
            {settings.map(([name, value]) => (
              <div key={name}>
                <dt className="mono">
                  <Text text={name} />
                </dt>
                <dd className="mono">
                  <Text text={written(value)} clamp={400} expandable />
                </dd>
              </div>
            ))}
          </dl>
        </Fold>
      )}
      {tools.length > 0 && (
        <Fold
          label={tools.length === 1 ? '1 tool offered' : `${tools.length} tools offered`}
          hint={tools.map(tool => tool.name).join(', ')}
        >
          <div className="stack">
            {tools.map((tool, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: names may stand twice
              <div key={index}>
                <strong className="mono">
                  <Text text={tool.name} />
                </strong>
                {tool.description !== '' && (
                  <p className="muted">
                    <Text text={tool.description} clamp={240} expandable />
                  </p>
                )}
                <JsonTree value={tool.value} depth={0} label={`Definition of ${tool.name.slice(0, 80)}`} />
              </div>
            ))}
          </div>
        </Fold>
      )}
    </div>
  );
}
