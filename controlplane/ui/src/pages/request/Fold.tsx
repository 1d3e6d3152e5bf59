import { ChevronRight } from 'lucide-react';
import { type ReactNode, useState } from 'react';
import { visible } from '@/kit/visible';

/** Something that is folded until somebody looks; then what it holds is drawn. */
export function Fold({
  label,
  hint,
  open = false,
  children,
}: {
  label: ReactNode;
  /** The beginning of what it holds. */
  hint?: string;
  open?: boolean;
  children: ReactNode;
}) {
  const [isOpen, setOpen] = useState(open);
  return (
    <div className="fold">
      <button type="button" className="fold-head" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <ChevronRight size={14} aria-hidden className={isOpen ? 'turned' : ''} />
        <span className="fold-label">{label}</span>
        {hint !== undefined && hint !== '' && !isOpen && (
          <bdi className="fold-hint">{visible(hint.slice(0, 300).replace(/\s+/g, ' '))}</bdi>
        )}
      </button>
      {isOpen && <div className="fold-body">{children}</div>}
    </div>
  );
}
