import { X } from 'lucide-react';
import { Dialog as Radix } from 'radix-ui';
import type { ReactNode } from 'react';

export interface DrawerProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  /** In the place of the title, where it is more than text. */
  heading?: ReactNode;
  children?: ReactNode;
  footer?: ReactNode;
}

/** Details of a row, at the right edge over the page. Takes the focus, gives it back; Esc closes it. */
export function Drawer({ open, onOpenChange, title, heading, children, footer }: DrawerProps) {
  return (
    <Radix.Root open={open} onOpenChange={onOpenChange}>
      <Radix.Portal>
        <Radix.Overlay className="scrim" />
        <Radix.Content className="drawer" aria-describedby={undefined}>
          <div className="dialog-head">
            <Radix.Title className="dialog-title">{heading ?? title}</Radix.Title>
            <Radix.Close className="icon-button" aria-label="Close">
              <X size={17} aria-hidden />
            </Radix.Close>
          </div>
          <div className="dialog-body drawer-body">{children}</div>
          {footer !== undefined && <div className="dialog-foot">{footer}</div>}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}
