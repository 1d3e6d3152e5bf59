import { Plus, Trash2 } from 'lucide-react';
import { useState } from 'react';
import { Button, IconButton } from '@/kit';
import { append, rename, set, show } from '../hujson';
import { alternatives, below, blank, follow, type Node } from '../schema';
import { Entry } from './Entry';
import { Lines } from './Lines';
import { isScalar } from './scalar';
import { Value, type ValueProps } from './Value';

/** A list: texts one a line, anything else one below the other. */
export function List({ path, node, value, text, change }: ValueProps) {
  const [added, setAdded] = useState<number | null>(null);
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
        <Entry
          // biome-ignore lint/suspicious/noArrayIndexKey: the place is what an entry of the document is known by
          key={index}
          label={show([...path, index])}
          title={title(entry, index)}
          value={entry}
          first={items.length === 1 || index === added}
          onRemove={() => change(set(text, [...path, index], undefined))}
        >
          <Value path={[...path, index]} node={item} value={entry} text={text} change={change} />
        </Entry>
      ))}
      <div>
        <Button
          size="small"
          icon={Plus}
          onClick={() => {
            setAdded(items.length);
            change(append(text, path, blank(item)));
          }}
        >
          Add to {name}
        </Button>
      </div>
    </div>
  );
}

/** What tells an entry of a list from the others. */
function title(entry: unknown, index: number): string {
  const name = entry !== null && typeof entry === 'object' ? (entry as Record<string, unknown>).name : null;
  return typeof name === 'string' && name !== '' ? name : `${index + 1}.`;
}

/** Entries by name: providers, quotas. */
export function Named({ path, node, value, text, change }: ValueProps) {
  const entries = Object.entries((value as Record<string, unknown> | undefined) ?? {});
  const [name, setName] = useState('');
  const [added, setAdded] = useState<string | null>(null);
  const taken = entries.some(([other]) => other === name);
  const where = show(path);
  const add = () => {
    const [child] = below(node, name);
    setAdded(name);
    change(set(text, [...path, name], blank(child ?? {})));
    setName('');
  };
  const renamed = (key: string, next: string): boolean => {
    if (next === '' || next === key || entries.some(([other]) => other === next)) return false;
    setAdded(next);
    change(rename(text, [...path, key], next));
    return true;
  };
  return (
    <div className="config-entries">
      {entries.map(([key, entry]) => {
        const child: Node = below(node, key)[0] ?? {};
        const at = [...path, key];
        const remove = () => change(set(text, at, undefined));
        const field = (
          <NameField key={key} label={show(at)} name={key} onRename={next => renamed(key, next)} />
        );
        const parts = (
          <Value key={`${key} parts`} path={at} node={child} value={entry} text={text} change={change} />
        );
        return isScalar(child) ? (
          <section key={key} className="config-entry" aria-label={show(at)}>
            <div className="config-entry-head">
              {field}
              <IconButton label={`Remove ${show(at)}`} icon={Trash2} onClick={remove} />
            </div>
            <div className="config-entry-body">{parts}</div>
          </section>
        ) : (
          <Entry
            key={key}
            label={show(at)}
            title={key}
            value={entry}
            first={entries.length === 1 || key === added}
            onRemove={remove}
          >
            <div className="config-key config-key-line">
              <div>
                <code className="config-key-name">id</code>
                <p className="config-key-about">What the rest of the document calls it.</p>
              </div>
              {field}
            </div>
            {parts}
          </Entry>
        );
      })}
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

function NameField({
  label,
  name,
  onRename,
}: {
  label: string;
  name: string;
  /** `false`: it cannot be called that. */
  onRename: (next: string) => boolean;
}) {
  return (
    <input
      className="input config-name"
      aria-label={`Name of ${label}`}
      defaultValue={name}
      spellCheck={false}
      onBlur={event => {
        if (!onRename(event.target.value.trim())) event.target.value = name;
      }}
    />
  );
}
