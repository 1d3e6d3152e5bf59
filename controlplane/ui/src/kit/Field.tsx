import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from 'react';

export interface FieldProps {
  label: string;
  hint?: ReactNode;
  error?: string | null;
  /** Makes the control: gives it the ids that tie label, hint and error to it. */
  children: (ids: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: boolean }) => ReactNode;
}

/** A labelled control: `<Field label="Name">{ids => <Input {...ids} value={name} … />}</Field>`. */
export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  const about = `${id}-about`;
  const said = error ?? hint;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({
        id,
        'aria-describedby': said ? about : undefined,
        'aria-invalid': error ? true : undefined,
      })}
      {said && (
        <div id={about} className={error ? 'field-error' : 'field-hint'} role={error ? 'alert' : undefined}>
          {said}
        </div>
      )}
    </div>
  );
}

export function Input({ className = '', ...rest }: InputHTMLAttributes<HTMLInputElement>) {
  return <input spellCheck={false} autoComplete="off" {...rest} className={`input ${className}`} />;
}

export interface SelectProps extends SelectHTMLAttributes<HTMLSelectElement> {
  options: readonly { value: string; label: string; disabled?: boolean }[];
}

export function Select({ options, className = '', ...rest }: SelectProps) {
  return (
    <select {...rest} className={`input select ${className}`}>
      {options.map(option => (
        <option key={option.value} value={option.value} disabled={option.disabled}>
          {option.label}
        </option>
      ))}
    </select>
  );
}
