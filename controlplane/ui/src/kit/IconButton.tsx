import type { LucideIcon } from 'lucide-react';
import type { ButtonHTMLAttributes, Ref } from 'react';
import { Tooltip } from './Tooltip';

export interface IconButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, 'aria-label'> {
  /** What it does; read out, and shown while the pointer rests on it. */
  label: string;
  icon: LucideIcon;
  size?: number;
  ref?: Ref<HTMLButtonElement>;
}

/** A button that is an icon only. */
export function IconButton({
  label,
  icon: Icon,
  size = 16,
  className = '',
  type = 'button',
  ...rest
}: IconButtonProps) {
  return (
    <Tooltip content={label}>
      <button {...rest} type={type} className={`icon-button ${className}`} aria-label={label}>
        <Icon size={size} aria-hidden />
      </button>
    </Tooltip>
  );
}
