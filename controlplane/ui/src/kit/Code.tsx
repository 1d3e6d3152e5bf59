import { WrapText } from 'lucide-react';
import { useState } from 'react';
import { Button } from './Button';
import { CopyButton } from './CopyButton';
import { IconButton } from './IconButton';
import { visible } from './visible';

export interface CodeProps {
  text: string;
  /** Heading, such as the name of a file. */
  title?: string;
  /** Long lines are wrapped at first (default false). */
  wrap?: boolean;
  /** Characters shown before "Show more" (default 20,000). */
  clamp?: number;
  /** Highest height in pixels before it scrolls (default 480). */
  maxHeight?: number;
}

/** A block of text as it is, with a button that copies all of it. Control and bidi characters are shown as signs. */
export function Code({ text, title, wrap = false, clamp = 20_000, maxHeight = 480 }: CodeProps) {
  const [wrapped, setWrapped] = useState(wrap);
  const [shown, setShown] = useState(clamp);
  const cut = text.length > shown;
  const oneLine = !text.trimEnd().includes('\n');
  return (
    <figure className={`code ${oneLine && title === undefined ? 'code-line' : ''}`}>
      {title !== undefined && <figcaption className="code-title">{title}</figcaption>}
      <div className="code-tools">
        {!oneLine && (
          <IconButton
            label={wrapped ? 'Do not wrap lines' : 'Wrap lines'}
            aria-pressed={wrapped}
            icon={WrapText}
            size={15}
            onClick={() => setWrapped(!wrapped)}
          />
        )}
        <CopyButton text={text} />
      </div>
      <pre
        className={wrapped ? 'code-body code-wrap' : 'code-body'}
        style={{ maxHeight }}
        tabIndex={0}
        dir="ltr"
      >
        <code>{visible(cut ? text.slice(0, shown) : text)}</code>
      </pre>
      {cut && (
        <div className="code-more">
          <span className="faint">
            {shown.toLocaleString('en')} of {text.length.toLocaleString('en')} characters
          </span>
          <Button size="small" onClick={() => setShown(shown * 10)}>
            Show more
          </Button>
        </div>
      )}
    </figure>
  );
}
