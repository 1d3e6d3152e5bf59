import { ChevronRight, Trash2 } from 'lucide-react';
import { type ReactNode, useId, useState } from 'react';
import { IconButton, Text } from '@/kit';
import { outline } from './outline';

/** An entry among others: one line that says what it is, and opens. */
export function Entry({
  label,
  title,
  value,
  first,
  onRemove,
  children,
}: {
  /** Its place in the document, as its accessible name. */
  label: string;
  title: string;
  value: unknown;
  /** Open at first. */
  first: boolean;
  onRemove: () => void;
  children: ReactNode;
}) {
  const [open, setOpen] = useState(first);
  const id = useId();
  const about = outline(value);
  return (
    <section className="config-entry" aria-label={label}>
      <div className="config-entry-head">
        <button
          type="button"
          className="config-entry-open"
          aria-expanded={open}
          aria-controls={id}
          onClick={() => setOpen(!open)}
        >
          <ChevronRight size={15} aria-hidden />
          <strong>
            <Text text={title} clamp={80} />
          </strong>
          {about !== title && (
            <span className="config-entry-about">
              <Text text={about} />
            </span>
          )}
        </button>
        <IconButton label={`Remove ${label}`} icon={Trash2} onClick={onRemove} />
      </div>
      <div id={id} className="config-entry-body" hidden={!open}>
        {open && children}
      </div>
    </section>
  );
}
