import { type ReactNode, useEffect, useState } from 'react';
import { Button } from './Button';
import { Dialog } from './Dialog';

export interface ConfirmDialogProps {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  title: string;
  /** What is going to happen. */
  children?: ReactNode;
  /** Words on the button. */
  confirm: string;
  tone?: 'primary' | 'danger';
  busy?: boolean;
  /** This has to be typed first. */
  typed?: string;
  onConfirm: () => void;
}

/** Asks before something that cannot simply be undone. */
export function ConfirmDialog({
  open,
  onOpenChange,
  title,
  children,
  confirm,
  tone = 'primary',
  busy,
  typed,
  onConfirm,
}: ConfirmDialogProps) {
  const [text, setText] = useState('');
  useEffect(() => {
    if (!open) setText('');
  }, [open]);
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title={title}
      description={children}
      footer={
        <>
          <Button onClick={() => onOpenChange(false)}>Cancel</Button>
          <Button
            tone={tone}
            busy={busy}
            disabled={typed !== undefined && text !== typed}
            onClick={onConfirm}
          >
            {confirm}
          </Button>
        </>
      }
    >
      {typed !== undefined && (
        <label className="field">
          <span>
            Type <bdi className="mono">{typed}</bdi> to go on
          </span>
          <input
            className="input"
            value={text}
            onChange={event => setText(event.target.value)}
            autoComplete="off"
            spellCheck={false}
          />
        </label>
      )}
    </Dialog>
  );
}
