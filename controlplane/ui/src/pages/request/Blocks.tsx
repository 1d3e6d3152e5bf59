import { FileText, Image, Music, Video, Wrench } from 'lucide-react';
import { Badge, Callout, Code, Text } from '@/kit';
import { bytes } from '@/kit/format';
import type { Block, CallBlock, MediaBlock, ToolResult } from './conversation';
import { Fold } from './Fold';
import { JsonTree } from './JsonTree';
import { Markdown } from './Markdown';

/** Characters from which a text is folded. */
const LONG = 6000;
const RESULT_LONG = 500;

/** What a turn says. */
export function Blocks({ blocks }: { blocks: readonly Block[] }) {
  return blocks.map((block, index) => {
    // biome-ignore lint/suspicious/noArrayIndexKey: blocks have no identity but their place
    return <One key={index} block={block} />;
  });
}

function One({ block }: { block: Block }) {
  switch (block.kind) {
    case 'text':
      return <Said text={block.text} />;
    case 'thinking':
      return block.hidden ? (
        <p className="faint">Thinking that the provider does not show.</p>
      ) : (
        <Fold label="Thinking" hint={block.text}>
          <Markdown text={block.text} />
        </Fold>
      );
    case 'call':
      return <Call block={block} />;
    case 'result':
      return (
        <div className="call">
          <div className="call-head">
            <Wrench size={14} aria-hidden />
            <span className="mono">
              <Text text={block.name || block.id || 'tool'} clamp={80} />
            </span>
            <span className="faint">result of an earlier call</span>
          </div>
          <Result result={block.result} />
        </div>
      );
    case 'media':
      return <Media block={block} />;
    case 'error':
      return (
        <Callout tone="bad" title={block.code === '' ? 'Error' : block.code.slice(0, 200)}>
          <Text text={block.text} clamp={1000} expandable />
        </Callout>
      );
    case 'data':
      return (
        <Fold label={<Text text={block.label} clamp={60} />}>
          <JsonTree value={block.value} label={block.label.slice(0, 60)} />
        </Fold>
      );
  }
}

function Said({ text }: { text: string }) {
  if (text.length <= LONG) return <Markdown text={text} />;
  return (
    <Fold label={`${text.length.toLocaleString('en')} characters`} hint={text}>
      <Markdown text={text} />
    </Fold>
  );
}

function Call({ block }: { block: CallBlock }) {
  const { name, arguments: input, hosted, result, id } = block;
  return (
    <div className="call">
      <div className="call-head" title={id === '' ? undefined : `Call ${id.slice(0, 200)}`}>
        <Wrench size={14} aria-hidden />
        <strong className="mono">
          <Text text={name || 'tool'} clamp={80} />
        </strong>
        {hosted && <Badge title="The provider runs this tool, not the client.">hosted</Badge>}
        {result?.error === true && <Badge tone="bad">failed</Badge>}
      </div>
      {input !== '' && input !== '{}' && <Arguments input={input} />}
      {result === null ? null : <Result result={result} />}
    </div>
  );
}

function Arguments({ input }: { input: string }) {
  const value = parsed(input);
  const simple = value !== undefined && Object.keys(value).length <= 6 && input.length < RESULT_LONG;
  if (value !== undefined && simple) {
    return (
      <dl className="fields call-fields">
        {Object.entries(value).map(([name, one]) => (
          <div key={name}>
            <dt className="mono">
              <Text text={name} clamp={60} />
            </dt>
            <dd className="mono">
              <Text
                text={typeof one === 'string' ? one : JSON.stringify(one)}
                clamp={RESULT_LONG}
                expandable
              />
            </dd>
          </div>
        ))}
      </dl>
    );
  }
  return input.length < RESULT_LONG ? (
    <Code text={input} wrap />
  ) : (
    <Fold label="Arguments" hint={input}>
      {value === undefined ? <Code text={input} wrap /> : <JsonTree value={value} label="Arguments" />}
    </Fold>
  );
}

function parsed(input: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(input);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function Result({ result }: { result: ToolResult }) {
  if (result.blocks.length === 0) return <p className="faint call-result">It gave nothing back.</p>;
  const only = result.blocks.length === 1 ? result.blocks[0] : undefined;
  const body =
    only?.kind === 'text' ? (
      <Code text={only.text} wrap maxHeight={360} />
    ) : (
      <Blocks blocks={result.blocks} />
    );
  const size = result.blocks.reduce((sum, block) => sum + (block.kind === 'text' ? block.text.length : 0), 0);
  const hint = only?.kind === 'text' ? only.text : '';
  return (
    <div className={result.error ? 'call-result call-failed' : 'call-result'}>
      {size > RESULT_LONG ? (
        <Fold label={`Result, ${size.toLocaleString('en')} characters`} hint={hint}>
          {body}
        </Fold>
      ) : (
        body
      )}
    </div>
  );
}

const ICONS = { image: Image, audio: Music, video: Video, file: FileText };

function Media({ block }: { block: MediaBlock }) {
  const Icon = ICONS[block.media];
  return (
    <div className="media">
      <Icon size={16} aria-hidden />
      <span>
        {block.media[0]?.toUpperCase()}
        {block.media.slice(1)}
      </span>
      <span className="muted">
        <Text text={block.label} clamp={200} />
      </span>
      {block.bytes !== null && <span className="faint">{bytes(block.bytes)}</span>}
    </div>
  );
}
