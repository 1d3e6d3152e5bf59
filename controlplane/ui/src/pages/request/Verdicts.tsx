import { Badge, Card } from '@/kit';
import { exact } from '@/kit/Exact';
import { count, micros } from '@/kit/format';
import { visible } from '@/kit/visible';
import type { RequestRow } from '../logs/common/parts';
import { ShadowButton } from './Shadow';

const TONES = {
  allow: 'good',
  log: 'info',
  redact: 'warn',
  modify: 'warn',
  block: 'bad',
  failed: 'bad',
} as const;
const WORDS = {
  allow: 'allowed',
  log: 'noted',
  redact: 'redacted',
  modify: 'modified',
  block: 'blocked',
  failed: 'failed',
} as const;

/** What guardrails and hooks said of it. */
export function Verdicts({ row, captured }: { row: RequestRow; captured: boolean }) {
  return (
    <Card title="Guardrails and hooks" actions={captured ? <ShadowButton id={row.request_id} /> : undefined}>
      {row.verdicts.length === 0 ? (
        <p className="muted">None of them said anything about this request.</p>
      ) : (
        <table className="mini" {...exact}>
          <tbody>
            {row.verdicts.map((verdict, index) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: a record does not change
              <tr key={index}>
                <td>
                  <span className="mono">{visible(verdict.name)}</span>
                  <span className="faint"> {verdict.judge}</span>
                </td>
                <td>
                  <Badge tone={verdict.shadow ? 'neutral' : TONES[verdict.action]}>
                    {verdict.shadow ? 'would have ' : ''}
                    {WORDS[verdict.action]}
                  </Badge>
                  {verdict.shadow && (
                    <span className="faint" title="In shadow mode: counted, and nothing done.">
                      {' '}
                      shadow
                    </span>
                  )}
                </td>
                <td className="muted">
                  {verdict.what !== '' && visible(verdict.what)}
                  {verdict.count > 1 && ` × ${count(verdict.count)}`}
                  {verdict.on_answer && ' in the answer'}
                </td>
                <td className="num faint">{verdict.took_us > 0 ? micros(verdict.took_us) : ''}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Card>
  );
}
