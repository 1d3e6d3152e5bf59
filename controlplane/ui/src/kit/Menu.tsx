import { Link } from '@tanstack/react-router';
import { type LucideIcon, MoreHorizontal } from 'lucide-react';
import { DropdownMenu } from 'radix-ui';
import type { ReactElement } from 'react';

export interface MenuItem {
  label: string;
  icon?: LucideIcon;
  /** What it does. */
  run?: () => void;
  /** Or where it leads. */
  to?: string;
  params?: Record<string, string>;
  search?: Record<string, unknown>;
  /** Or a file that the gateway gives. */
  href?: string;
  /** Takes something away. */
  danger?: boolean;
  disabled?: boolean;
}

export interface MenuProps {
  /** What the menu is of: `Actions of the token "ci"`. */
  label: string;
  items: readonly MenuItem[];
  /** What opens it; three dots if not given. */
  trigger?: ReactElement;
}

/** Things that can be done with something, behind a button. */
export function Menu({ label, items, trigger }: MenuProps) {
  return (
    <DropdownMenu.Root>
      <DropdownMenu.Trigger asChild>
        {trigger ?? (
          <button type="button" className="icon-button" aria-label={label} title={label}>
            <MoreHorizontal size={16} aria-hidden />
          </button>
        )}
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          className="menu"
          align="end"
          sideOffset={4}
          collisionPadding={8}
          aria-label={label}
        >
          {items.map(({ label, icon: Icon, run, to, params, search, href, danger, disabled }) => {
            const inside = (
              <>
                <span className="menu-check">{Icon !== undefined && <Icon size={14} aria-hidden />}</span>
                {label}
              </>
            );
            return (
              <DropdownMenu.Item
                key={label}
                className={danger ? 'menu-item menu-danger' : 'menu-item'}
                disabled={disabled}
                onSelect={run}
                asChild={to !== undefined || href !== undefined}
              >
                {href !== undefined ? (
                  <a href={href} download>
                    {inside}
                  </a>
                ) : to === undefined ? (
                  inside
                ) : (
                  <Link to={to as never} params={params as never} search={search as never}>
                    {inside}
                  </Link>
                )}
              </DropdownMenu.Item>
            );
          })}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
