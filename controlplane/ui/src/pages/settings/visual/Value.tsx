import { Trash2 } from 'lucide-react';
import { IconButton } from '@/kit';
import { set, show } from '../hujson';
import { alternatives, blank, follow, type Node, type Path } from '../schema';
import { List, Named } from './Entries';
import { Flags, isFlags } from './Flags';
import { Scalar } from './Scalar';
import { isScalar } from './scalar';

export interface Edit {
  /** The document as text. */
  text: string;
  change: (text: string) => void;
}

export interface ValueProps extends Edit {
  path: Path;
  node: Node;
  value: unknown;
}

/** A value of the document by what the schema says of it: a field, a list, a group of keys, or entries by name. */
export function Value(props: ValueProps) {
  const { path, node, value, text, change } = props;
  if (isScalar(node)) {
    return (
      <Scalar node={node} value={value} label={show(path)} onChange={next => change(set(text, path, next))} />
    );
  }
  const one = chosen(node, value);
  if (one === null)
    return (
      <Scalar
        node={onlyScalars(node)}
        value={value}
        label={show(path)}
        onChange={next => change(set(text, path, next))}
      />
    );
  if (one.type === 'array') return <List {...props} node={one} />;
  if (one.properties === undefined) return <Named {...props} node={one} />;
  if (isFlags(one)) return <Flags {...props} node={one} />;
  return <Keys {...props} node={one} />;
}

/** The alternative that a value is of; the first with parts if it is not there; `null` for one without parts. */
function chosen(node: Node, value: unknown): Node | null {
  const all = alternatives(node);
  const kind = Array.isArray(value) ? 'array' : value !== null && typeof value === 'object' ? 'object' : null;
  if (value !== undefined && kind === null) return null;
  return (
    all.find(one => (kind === null ? one.type === 'object' || one.type === 'array' : one.type === kind)) ??
    null
  );
}

const onlyScalars = (node: Node): Node => ({
  ...node,
  $ref: undefined,
  anyOf: alternatives(node).filter(one => one.type !== 'object' && one.type !== 'array'),
});

/** An object with keys of its own: those that are there, and a way to the others. */
function Keys({ path, node, value, text, change }: ValueProps) {
  const present = (value as Record<string, unknown> | undefined) ?? {};
  const known = Object.entries(node.properties ?? {}).map(([key, child]) => [key, follow(child)] as const);
  const shown = known.filter(([key]) => key in present || node.required?.includes(key));
  const others = known.filter(([key]) => !shown.some(([other]) => other === key));
  const strange = Object.keys(present).filter(key => !known.some(([other]) => other === key));
  return (
    <div className="config-keys">
      {shown.map(([key, child]) => (
        <div key={key} className={`config-key ${isScalar(child) ? 'config-key-line' : ''}`}>
          <div className="config-key-head">
            <div>
              <code className="config-key-name">{key}</code>
              <p className="config-key-about">{child.description}</p>
            </div>
            {!node.required?.includes(key) && (
              <IconButton
                label={`Remove ${show([...path, key])}`}
                icon={Trash2}
                onClick={() => change(set(text, [...path, key], undefined))}
              />
            )}
          </div>
          <Value path={[...path, key]} node={child} value={present[key]} text={text} change={change} />
        </div>
      ))}
      {strange.length > 0 && (
        <p className="muted">
          Not known to this version, and left as it is: <code>{strange.join(', ')}</code>
        </p>
      )}
      {others.length > 0 && (
        <select
          className="input config-add"
          aria-label={`Add a key to ${show(path)}`}
          value=""
          onChange={event => {
            const child = others.find(([key]) => key === event.target.value)?.[1];
            if (child !== undefined) change(set(text, [...path, event.target.value], blank(child)));
          }}
        >
          <option value="">Add a key …</option>
          {others.map(([key, child]) => (
            <option key={key} value={key}>
              {key}
              {child.description === undefined ? '' : `: ${brief(child.description)}`}
            </option>
          ))}
        </select>
      )}
    </div>
  );
}

const brief = (text: string) => (text.length > 90 ? `${text.slice(0, 88)}…` : text);
