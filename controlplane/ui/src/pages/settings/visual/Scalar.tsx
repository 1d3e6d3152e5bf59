import { Switch } from 'radix-ui';
import { useEffect, useId, useState } from 'react';
import { alternatives, type Node } from '../schema';
import { parse, written } from './scalar';

export interface ScalarProps {
  node: Node;
  value: unknown;
  label: string;
  /** `undefined` takes the value out of the document. */
  onChange: (value: unknown) => void;
}

/** A field for a value without parts: a choice where the schema lists them, else a text. */
export function Scalar({ node, value, label, onChange }: ScalarProps) {
  const all = alternatives(node);
  const choices = all.every(one => one.enum !== undefined || one.type === 'boolean')
    ? all.flatMap(one => one.enum ?? [true, false])
    : null;
  if (all.every(one => one.type === 'boolean' && one.enum === undefined))
    return <OnOff node={node} value={value} label={label} onChange={onChange} />;
  if (choices === null) return <Typed node={node} value={value} label={label} onChange={onChange} />;
  const usual = node.default === undefined ? 'not set' : `${written(node.default)} (default)`;
  return (
    <select
      className="input"
      aria-label={label}
      value={value === undefined ? '' : written(value)}
      onChange={event => onChange(choices.find(choice => written(choice) === event.target.value))}
    >
      <option value="">{usual}</option>
      {choices.map(choice => (
        <option key={written(choice)} value={written(choice)}>
          {written(choice)}
        </option>
      ))}
    </select>
  );
}

/** True or false. What is not in the document stands as its default, and says so. */
function OnOff({ node, value, label, onChange }: ScalarProps) {
  const on = typeof value === 'boolean' ? value : node.default === true;
  const usual = value !== undefined ? '' : node.default === undefined ? ', not set' : ', by default';
  return (
    <div className="switch-row">
      <Switch.Root className="switch" aria-label={label} checked={on} onCheckedChange={onChange}>
        <Switch.Thumb className="switch-thumb" />
      </Switch.Root>
      <span className={usual === '' ? undefined : 'faint'}>
        {on ? 'on' : 'off'}
        {usual}
      </span>
    </div>
  );
}

/** Taken over when it is left or Enter is pressed: a document is not changed letter by letter. */
function Typed({ node, value, label, onChange }: ScalarProps) {
  const [text, setText] = useState(written(value));
  const [problem, setProblem] = useState<string | null>(null);
  const id = useId();
  useEffect(() => {
    setText(written(value));
    setProblem(null);
  }, [value]);
  const all = alternatives(node);
  const example = all.flatMap(one => one.examples ?? [])[0];
  const hint =
    node.default !== undefined && node.default !== null && node.default !== ''
      ? `${written(node.default)} (default)`
      : example === undefined
        ? ''
        : `such as ${written(example)}`;
  const take = () => {
    if (text === written(value)) return setProblem(null);
    if (text.trim() === '') {
      setProblem(null);
      return onChange(undefined);
    }
    const parsed = parse(node, text);
    if ('problem' in parsed) return setProblem(parsed.problem);
    setProblem(null);
    onChange(parsed.value);
  };
  return (
    <>
      <input
        className="input"
        aria-label={label}
        aria-invalid={problem !== null}
        aria-describedby={problem === null ? undefined : id}
        placeholder={hint}
        spellCheck={false}
        autoComplete="off"
        value={text}
        onChange={event => setText(event.target.value)}
        onBlur={take}
        onKeyDown={event => {
          if (event.key === 'Enter') take();
          if (event.key === 'Escape') setText(written(value));
        }}
      />
      {problem !== null && (
        <div className="field-error" id={id} role="alert">
          {label} {problem}
        </div>
      )}
    </>
  );
}
