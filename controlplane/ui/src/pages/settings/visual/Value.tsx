import { Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { Button, IconButton } from '@/kit';
import { append, rename, set, show } from '../hujson';
import { alternatives, below, blank, follow, type Node, type Path } from '../schema';
import { Scalar } from './Scalar';
import { isScalar } from './scalar';

export interface Edit {
  /** The document as text. */
  text: string;
  change: (text: string) => void;
}

interface ValueProps extends Edit {
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

/** A list: texts one a line, anything else one below the other. */
function List({ path, node, value, text, change }: ValueProps) {
  const items = Array.isArray(value) ? value : [];
  const item = follow(node.items ?? {});
  const name = show(path);
  if (alternatives(item).every(one => one.type === 'string')) {
    return (
      <Lines
        label={name}
        lines={items.map(String)}
        onChange={lines =>
          change(set(text, path, lines.length === 0 && value === undefined ? undefined : lines))
        }
      />
    );
  }
  return (
    <div className="config-entries">
      {items.map((entry, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the place is what an entry of the document is known by
        <section key={index} className="config-entry" aria-label={show([...path, index])}>
          <div className="config-entry-head">
            <strong>{summary(entry, index)}</strong>
            <IconButton
              label={`Remove ${show([...path, index])}`}
              icon={Trash2}
              onClick={() => change(set(text, [...path, index], undefined))}
            />
          </div>
          <Value path={[...path, index]} node={item} value={entry} text={text} change={change} />
        </section>
      ))}
      <div>
        <Button size="small" icon={Plus} onClick={() => change(append(text, path, blank(item)))}>
          Add to {name}
        </Button>
      </div>
    </div>
  );
}

/** What tells an entry of a list from the others. */
function summary(entry: unknown, index: number): string {
  if (entry !== null && typeof entry === 'object') {
    for (const key of ['name', 'src', 'match', 'bucket', 'address', 'cidr', 'issuer', 'models', 'model']) {
      const found = (entry as Record<string, unknown>)[key];
      if (typeof found === 'string') return found;
      if (Array.isArray(found)) return found.join(', ');
    }
  }
  return `${index + 1}.`;
}

function Lines({
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

/** Entries by name: providers, quotas. */
function Named({ path, node, value, text, change }: ValueProps) {
  const entries = Object.entries((value as Record<string, unknown> | undefined) ?? {});
  const [name, setName] = useState('');
  const taken = entries.some(([other]) => other === name);
  const where = show(path);
  const add = () => {
    const [child] = below(node, name);
    change(set(text, [...path, name], blank(child ?? {})));
    setName('');
  };
  return (
    <div className="config-entries">
      {entries.map(([key, entry]) => (
        <section key={key} className="config-entry" aria-label={show([...path, key])}>
          <div className="config-entry-head">
            <input
              className="input config-name"
              aria-label={`Name of ${show([...path, key])}`}
              defaultValue={key}
              spellCheck={false}
              onBlur={event => {
                const next = event.target.value.trim();
                if (next === '' || next === key || entries.some(([other]) => other === next))
                  event.target.value = key;
                else change(rename(text, [...path, key], next));
              }}
            />
            <IconButton
              label={`Remove ${show([...path, key])}`}
              icon={Trash2}
              onClick={() => change(set(text, [...path, key], undefined))}
            />
          </div>
          <Value
            path={[...path, key]}
            node={below(node, key)[0] ?? {}}
            value={entry}
            text={text}
            change={change}
          />
        </section>
      ))}
      <form
        className="row"
        onSubmit={event => {
          event.preventDefault();
          if (name.trim() !== '' && !taken) add();
        }}
      >
        <input
          className="input config-name"
          aria-label={`New name in ${where}`}
          placeholder="name"
          spellCheck={false}
          value={name}
          onChange={event => setName(event.target.value)}
        />
        <Button type="submit" size="small" icon={Plus} disabled={name.trim() === '' || taken}>
          Add to {where}
        </Button>
        {taken && <span className="field-error">There is one of this name.</span>}
      </form>
    </div>
  );
}

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
