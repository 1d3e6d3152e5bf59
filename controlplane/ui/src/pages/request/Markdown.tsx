import { memo, useMemo } from 'react';
import { Code } from '@/kit';
import { visible } from '@/kit/visible';
import { type Markdown as Block, type Inline, markdown } from './markup';

/** Characters up to which a text is read as typography; a longer one is shown as it is. */
const LENGTH_MAX = 200_000;

/** A text of a model or a person as typography. Nothing in it can be clicked or loaded. */
export const Markdown = memo(function Markdown({ text }: { text: string }) {
  const parts = useMemo(() => (text.length > LENGTH_MAX ? null : markdown(text)), [text]);
  if (parts === null) return <Code text={text} wrap />;
  return (
    <div className="md" dir="auto">
      <Blocks parts={parts} />
    </div>
  );
});

// Parts have no identity but their place, and a text does not change while it is shown.

function Blocks({ parts, tight = false }: { parts: readonly Block[]; tight?: boolean }) {
  return parts.map((part, index) => {
    // biome-ignore lint/suspicious/noArrayIndexKey: see above
    return <One key={index} part={part} tight={tight} />;
  });
}

function One({ part, tight }: { part: Block; tight: boolean }) {
  switch (part.kind) {
    case 'heading':
      // Not a heading of the page: readers of screens would lose their way in somebody's text.
      return (
        <p className={`md-h md-h${Math.min(part.level, 4)}`}>
          <strong>
            <Pieces parts={part.children} />
          </strong>
        </p>
      );
    case 'paragraph':
      return tight ? (
        <Pieces parts={part.children} />
      ) : (
        <p>
          <Pieces parts={part.children} />
        </p>
      );
    case 'code':
      return <Code text={part.text} title={part.language === '' ? undefined : visible(part.language)} />;
    case 'list': {
      const items = part.items.map((item, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: see above
        <li key={index}>
          <Blocks parts={item} tight />
        </li>
      ));
      return part.ordered ? <ol start={part.start}>{items}</ol> : <ul>{items}</ul>;
    }
    case 'quote':
      return (
        <blockquote>
          <Blocks parts={part.children} />
        </blockquote>
      );
    case 'table':
      return <Table head={part.head} rows={part.rows} />;
    case 'rule':
      return <hr />;
  }
}

function Table({ head, rows }: { head: Inline[][]; rows: Inline[][][] }) {
  return (
    <div className="md-table" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>
            {head.map((cell, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: see above
              <th key={index}>
                <Pieces parts={cell} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: see above
            <tr key={index}>
              {row.map((cell, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: see above
                <td key={index}>
                  <Pieces parts={cell} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Pieces({ parts }: { parts: readonly Inline[] }) {
  return parts.map((part, index) => {
    // biome-ignore lint/suspicious/noArrayIndexKey: see above
    return <Piece key={index} part={part} />;
  });
}

function Piece({ part }: { part: Inline }) {
  switch (part.kind) {
    case 'text':
      return visible(part.text);
    case 'code':
      return <code>{visible(part.text)}</code>;
    case 'strong':
      return (
        <strong>
          <Pieces parts={part.children} />
        </strong>
      );
    case 'em':
      return (
        <em>
          <Pieces parts={part.children} />
        </em>
      );
    case 'strike':
      return (
        <s>
          <Pieces parts={part.children} />
        </s>
      );
    case 'link':
      return (
        <>
          {part.text !== '' && <span className="md-link">{visible(part.text)}</span>}
          {part.text !== part.address && <span className="md-address"> ({visible(part.address)})</span>}
        </>
      );
  }
}
