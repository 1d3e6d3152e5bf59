import { ChevronRight } from 'lucide-react';
import { useState } from 'react';
import { Button } from '@/kit';
import { visible } from '@/kit/visible';

/** Members of one object or list shown at first, and added by each further step. */
const STEP = 200;
const TEXT_CLAMP = 600;

/** A JSON value as a tree that opens where one looks. Nothing that is folded is drawn. */
export function JsonTree({ value, depth = 2, label }: { value: unknown; depth?: number; label: string }) {
  return (
    <div className="tree" role="group" aria-label={label}>
      <Node name={null} value={value} open={depth} />
    </div>
  );
}

function Node({ name, value, open }: { name: string | null; value: unknown; open: number }) {
  const isList = Array.isArray(value);
  if (typeof value !== 'object' || value === null) {
    return (
      <div className="tree-row">
        <Name name={name} />
        <Leaf value={value} />
      </div>
    );
  }
  return <Branch name={name} value={value as Record<string, unknown>} isList={isList} open={open} />;
}

function Branch({
  name,
  value,
  isList,
  open,
}: {
  name: string | null;
  value: Record<string, unknown>;
  isList: boolean;
  open: number;
}) {
  const [isOpen, setOpen] = useState(open > 0);
  const [shown, setShown] = useState(STEP);
  const keys = Object.keys(value);
  if (keys.length === 0) {
    return (
      <div className="tree-row">
        <Name name={name} />
        <span className="faint">{isList ? '[]' : '{}'}</span>
      </div>
    );
  }
  const kinds = isList
    ? keys.length === 1
      ? '1 item'
      : `${keys.length.toLocaleString('en')} items`
    : summary(keys);
  return (
    <div className="tree-branch">
      <button
        type="button"
        className="tree-row tree-fold"
        aria-expanded={isOpen}
        onClick={() => setOpen(!isOpen)}
      >
        <ChevronRight size={13} aria-hidden className={isOpen ? 'turned' : ''} />
        <Name name={name} />
        <span className="faint">{isList ? `[ ${kinds} ]` : isOpen ? '{' : `{ ${kinds} }`}</span>
      </button>
      {isOpen && (
        <div className="tree-inner">
          {keys.slice(0, shown).map(key => (
            <Node key={key} name={isList ? null : key} value={value[key]} open={open - 1} />
          ))}
          {keys.length > shown && (
            <Button size="small" tone="quiet" onClick={() => setShown(shown + STEP * 5)}>
              {(keys.length - shown).toLocaleString('en')} more
            </Button>
          )}
        </div>
      )}
    </div>
  );
}

const summary = (keys: string[]): string => {
  const first = visible(keys.slice(0, 4).join(', ').slice(0, 60));
  return keys.length > 4 ? `${first}, …` : first;
};

function Name({ name }: { name: string | null }) {
  if (name === null) return null;
  return <span className="tree-name">{visible(name.slice(0, 300))}: </span>;
}

function Leaf({ value }: { value: unknown }) {
  const [all, setAll] = useState(false);
  if (typeof value !== 'string') return <span className="tree-plain">{String(value)}</span>;
  const cut = value.length > TEXT_CLAMP && !all;
  return (
    <span className="tree-text">
      <bdi>{visible(cut ? value.slice(0, TEXT_CLAMP) : value)}</bdi>
      {value.length > TEXT_CLAMP && (
        <button type="button" className="link" onClick={() => setAll(!all)}>
          {all ? 'less' : `… ${(value.length - TEXT_CLAMP).toLocaleString('en')} more characters`}
        </button>
      )}
    </span>
  );
}
