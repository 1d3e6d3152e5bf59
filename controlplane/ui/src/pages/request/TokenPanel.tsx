import { Badge, Card } from '@/kit';
import { exact } from '@/kit/Exact';
import { count } from '@/kit/format';
import { type RequestRow, Unknown } from '../logs/common/parts';
import { KNOWN } from '../logs/common/words';

interface Part {
  key: string;
  label: string;
  value: number | null;
  what: string;
  /** Of which of the others it is a part. */
  inner?: boolean;
}

function parts(row: RequestRow): Part[] {
  const plain = (row.output ?? 0) - (row.reasoning ?? 0);
  const all: Part[] = [
    {
      key: 'uncached',
      label: 'Input, not cached',
      value: row.input_uncached,
      what: 'Tokens of the prompt that the provider read anew.',
    },
    {
      key: 'read',
      label: 'Read from cache',
      value: row.cached_read,
      what: 'Tokens of the prompt read from the provider’s cache.',
    },
    {
      key: 'write',
      label: 'Written to cache',
      value: row.cache_write,
      what: 'Tokens of the prompt written to the provider’s cache.',
    },
    {
      key: 'write5',
      label: 'for 5 minutes',
      value: row.cache_write_5m,
      what: 'Of those written to the cache.',
      inner: true,
    },
    {
      key: 'write1',
      label: 'for 1 hour',
      value: row.cache_write_1h,
      what: 'Of those written to the cache.',
      inner: true,
    },
    { key: 'output', label: 'Output', value: row.output, what: 'All generated tokens, reasoning included.' },
    {
      key: 'reasoning',
      label: 'of which reasoning',
      value: row.reasoning,
      what: `Generated tokens that are thinking; ${count(Math.max(plain, 0))} are not.`,
      inner: true,
    },
    {
      key: 'ia',
      label: 'of the input, audio',
      value: row.input_audio,
      what: 'Audio in the prompt.',
      inner: true,
    },
    {
      key: 'ii',
      label: 'of the input, images',
      value: row.input_image,
      what: 'Images in the prompt.',
      inner: true,
    },
    {
      key: 'oa',
      label: 'of the output, audio',
      value: row.output_audio,
      what: 'Generated audio.',
      inner: true,
    },
    {
      key: 'oi',
      label: 'of the output, images',
      value: row.output_image,
      what: 'Generated images.',
      inner: true,
    },
  ];
  const main = new Set(['uncached', 'read', 'write', 'output', 'reasoning']);
  return all.filter(part => main.has(part.key) || (part.value ?? 0) > 0);
}

/** The tokens of a request, and how they are known. */
export function TokenPanel({ row }: { row: RequestRow }) {
  const known = KNOWN[row.usage_known];
  const list = parts(row);
  const bars = [
    { key: 'uncached', label: 'Input, not cached', value: row.input_uncached },
    { key: 'read', label: 'Read from cache', value: row.cached_read },
    { key: 'write', label: 'Written to cache', value: row.cache_write },
    {
      key: 'output',
      label: 'Output',
      value: row.output === null ? null : Math.max(0, row.output - (row.reasoning ?? 0)),
    },
    { key: 'reasoning', label: 'Reasoning', value: row.reasoning },
  ].filter(part => (part.value ?? 0) > 0);
  const sum = bars.reduce((all, part) => all + (part.value ?? 0), 0);
  const pieces: [string, number | null][] = [
    ['Web searches', row.web_searches],
    ['Web fetches', row.web_fetches],
    ['Other hosted tools', row.hosted_tools],
  ];
  return (
    <Card
      title="Tokens"
      actions={
        <Badge tone={row.usage_known === 'reported' ? 'neutral' : 'warn'} title={known?.what}>
          {known?.label ?? row.usage_known}
        </Badge>
      }
    >
      <div
        className="bar"
        role="img"
        aria-label={
          bars.length === 0
            ? 'No tokens are known'
            : bars.map(part => `${part.label} ${count(part.value ?? 0)}`).join(', ')
        }
      >
        {bars.map(part => (
          <span
            key={part.key}
            className={`bar-part token-${part.key}`}
            style={{ width: `${((part.value ?? 0) / sum) * 100}%` }}
            title={`${part.label}: ${count(part.value ?? 0)}`}
          />
        ))}
      </div>
      <table className="mini" {...exact}>
        <tbody>
          {list.map(part => (
            <tr key={part.key}>
              <td className={part.inner === true ? 'inner muted' : ''} title={part.what}>
                <span className={`dot token-${part.key}`} aria-hidden /> {part.label}
              </td>
              <td className="num">
                {part.value === null ? (
                  <Unknown why={`${part.label}: the provider did not say.`} />
                ) : (
                  count(part.value)
                )}
              </td>
            </tr>
          ))}
          {pieces.map(
            ([label, value]) =>
              (value ?? 0) > 0 && (
                <tr key={label}>
                  <td>
                    <span className="dot" aria-hidden /> {label}
                  </td>
                  <td className="num">{count(value ?? 0)}</td>
                </tr>
              ),
          )}
          {row.audio_ms !== null && row.audio_ms > 0 && (
            <tr>
              <td>Audio billed by time</td>
              <td className="num">{(row.audio_ms / 1000).toFixed(1)} s</td>
            </tr>
          )}
          {row.side.map((work, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a record does not change
            <tr key={`side-${index}`}>
              <td title="Work that the provider bills on top of the counts above.">
                Beside it: {work.kind}
                {work.model != null && <span className="mono faint"> {work.model}</span>}
              </td>
              <td className="num">
                {work.input === null ? '?' : count(work.input)} in ·{' '}
                {work.output === null ? '?' : count(work.output)} out
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Card>
  );
}
