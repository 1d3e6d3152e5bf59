import { Check, Copy } from 'lucide-react';
import { useEffect, useState } from 'react';
import { IconButton } from './IconButton';
import { toast } from './Toast';

export interface CopyButtonProps {
  /** The text, or how to get it at the click. */
  text: string | (() => string | Promise<string>);
  label?: string;
}

/** Copies a text and shows that it has. */
export function CopyButton({ text, label = 'Copy' }: CopyButtonProps) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1600);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async () => {
    try {
      await copyText(typeof text === 'string' ? text : await text());
      setDone(true);
    } catch {
      toast({ title: 'The browser did not let it be copied', tone: 'bad' });
    }
  };
  return (
    <>
      <IconButton
        label={done ? 'Copied' : label}
        icon={done ? Check : Copy}
        size={15}
        className={done ? 'icon-button-done' : ''}
        onClick={() => void copy()}
      />
      <span className="visually-hidden" role="status">
        {done ? 'Copied' : ''}
      </span>
    </>
  );
}

/** Browsers have `navigator.clipboard` on HTTPS and loopback only; a gateway in a tailnet is often plain HTTP. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard !== undefined) return navigator.clipboard.writeText(text);
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'visually-hidden';
  const place = document.activeElement?.closest('[role="dialog"]') ?? document.body;
  const focused = document.activeElement;
  place.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  if (!copied) throw new Error('not copied');
}
