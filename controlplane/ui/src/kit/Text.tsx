import { useState } from 'react';
import { visible } from './visible';

export interface TextProps {
  /** Untrusted text; nothing for `null`. */
  text: string | null | undefined;
  /** Characters shown at first (default 300). */
  clamp?: number;
  /** Offers the rest; else all of it stands in the title (default false). */
  expandable?: boolean;
  mono?: boolean;
}

/** Longest title: browsers show no more anyway. */
const TITLE_MAX = 1000;

/** Text from outside: isolated from what stands around it, hidden characters made visible, cut where it is long. */
export function Text({ text, clamp = 300, expandable = false, mono = false }: TextProps) {
  const [open, setOpen] = useState(false);
  if (text === null || text === undefined || text === '') return null;
  const cut = text.length > clamp && !open;
  return (
    <bdi
      className={mono ? 'text mono' : 'text'}
      title={cut && !expandable ? visible(text.slice(0, TITLE_MAX)) : undefined}
    >
      {visible(cut ? text.slice(0, clamp) : text)}
      {cut && '…'}
      {expandable && text.length > clamp && (
        <button type="button" className="link" onClick={() => setOpen(!open)}>
          {open ? 'Show less' : 'Show more'}
        </button>
      )}
    </bdi>
  );
}
