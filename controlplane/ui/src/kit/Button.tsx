import type { LucideIcon } from 'lucide-react';
import type { ButtonHTMLAttributes, Ref } from 'react';

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  /** `primary`: the one thing to do here. `danger`: takes something away. `quiet`: no border. */
  tone?: 'default' | 'primary' | 'danger' | 'quiet';
  size?: 'default' | 'small';
  icon?: LucideIcon;
  /** Work is under way: says so and takes no clicks. */
  busy?: boolean;
  ref?: Ref<HTMLButtonElement>;
}

export function Button({
  tone = 'default',
  size = 'default',
  icon: Icon,
  busy = false,
  className = '',
  children,
  disabled,
  type = 'button',
  ...rest
}: ButtonProps) {
  return (
    <button
      {...rest}
      type={type}
      className={`button button-${tone} button-${size} ${className}`}
      disabled={disabled === true || busy}
      aria-busy={busy || undefined}
    >
      {busy ? <span className="spinner" aria-hidden /> : Icon !== undefined && <Icon size={15} aria-hidden />}
      {children}
    </button>
  );
}
