import { Fragment, memo, type ReactNode, useMemo } from 'react';
import { Code } from '@/kit';
import { visible } from '@/kit/visible';
import { type Inline, type Markdown as Block, markdown } from './markup';

/** Characters up to which a text is read as typography; a longer one is shown as it is. */
const LENGTH_MAX = 200_000;

/** A text of a model or a person as typography. Nothing in it can be clicked or loaded. */
export const Markdown = memo(function Markdown({ text }: { text: string }) {
  const blocks = useMemo(() => (text.length > LENGTH_MAX ? null : markdown(text)), [text]);
  if (blocks === null) return <Code text={text} wrap />;
  return (
    <div className="md" dir="auto">
      {list(blocks.map(block))}
    </div>
  );
});

/** Blocks have no identity but their place; a text does not change while it is shown. */
const list = (nodes: ReactNode[]): ReactNode[] =>
  // biome-ignore lint/suspicious/noArrayIndexKey: the place is all there is
  nodes.map((node, index) => <Fragment key={index}>{node}</Fragment>);

function block(part: Block): ReactNode {
  switch (part.kind) {
    case 'heading':
      // Not a heading of the page: readers of screens would lose their way in somebody's text.
      return (
        <p className={`md-h md-h${Math.min(part.level, 4)}`}>
          <strong>{pieces(part.children)}</strong>
        </p>
      );
    case 'paragraph':
      return <p>{pieces(part.children)}</p>;
    case 'code':
      return <Code text={part.text} title={part.language === '' ? undefined : part.language} />;
    case 'list': {
      const items = part.items.map(item =>
        list(item.map(one => (one.kind === 'paragraph' ? pieces(one.children) : block(one)))),
      );
      const entries = list(items.map(item => <li>{item}</li>));
      return part.ordered ? <ol start={part.start}>{entries}</ol> : <ul>{entries}</ul>;
    }
    case 'quote':
      return <blockquote>{list(part.children.map(block))}</blockquote>;
    case 'table':
      return (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: wide tables scroll by keyboard
        <div className="md-table" tabIndex={0}>
          <table>
            <thead>
              <tr>{list(part.head.map(cell => <th>{pieces(cell)}</th>))}</tr>
            </thead>
            <tbody>{list(part.rows.map(row => <tr>{list(row.map(cell => <td>{pieces(cell)}</td>))}</tr>))}</tbody>
          </table>
        </div>
      );
    case 'rule':
      return <hr />;
  }
}

function pieces(parts: readonly Inline[]): ReactNode[] {
  return list(
    parts.map(part => {
      switch (part.kind) {
        case 'text':
          return visible(part.text);
        case 'code':
          return <code>{visible(part.text)}</code>;
        case 'strong':
          return <strong>{pieces(part.children)}</strong>;
        case 'em':
          return <em>{pieces(part.children)}</em>;
        case 'strike':
          return <s>{pieces(part.children)}</s>;
        case 'link':
          return (
            <>
              {part.text !== '' && <span className="md-link">{visible(part.text)}</span>}
              {part.text !== part.address && <span className="md-address"> ({visible(part.address)})</span>}
            </>
          );
      }
    }),
  );
}
