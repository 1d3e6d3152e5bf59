import { set, show } from '../hujson';
import { follow, type Node, type Path } from '../schema';
import type { Edit } from './Value';

/** Whether an object is nothing but a choice among known keys: each of them true or false. */
export function isFlags(node: Node): boolean {
  const keys = Object.values(node.properties ?? {}).map(follow);
  return keys.length > 1 && keys.every(key => key.type === 'boolean') && (node.required ?? []).length === 0;
}

/** A check box for each key. What is as the default says leaves the document. */
export function Flags({
  path,
  node,
  value,
  text,
  change,
}: Edit & { path: Path; node: Node; value: unknown }) {
  const present = (value as Record<string, unknown> | undefined) ?? {};
  const known = Object.entries(node.properties ?? {}).map(([key, child]) => [key, follow(child)] as const);
  const strange = Object.keys(present).filter(key => !known.some(([other]) => other === key));
  return (
    <fieldset className="config-flags" aria-label={show(path)}>
      {known.map(([key, child]) => {
        const usual = child.default === true;
        const where = [...path, key];
        return (
          <label key={key} className="config-flag">
            <input
              type="checkbox"
              aria-label={show(where)}
              checked={typeof present[key] === 'boolean' ? present[key] : usual}
              onChange={event =>
                change(set(text, where, event.target.checked === usual ? undefined : event.target.checked))
              }
            />
            <span>
              <code className="config-key-name">{key}</code>
              <span className="config-key-about">{child.description}</span>
            </span>
          </label>
        );
      })}
      {strange.length > 0 && (
        <p className="muted">
          Not known to this version, and left as it is: <code>{strange.join(', ')}</code>
        </p>
      )}
    </fieldset>
  );
}
