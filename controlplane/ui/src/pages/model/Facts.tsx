import type { Schema } from '@/api';
import { Card, Metric, Metrics } from '@/kit';
import { costOf } from '@/kit/cost';
import { compact, count, exactMoney, milliseconds, money, percent, share } from '@/kit/format';

/** The figures of one model in a range of time. */
export function Facts({ info, label }: { info: Schema<'Model'>; label: string }) {
  const { usage, health } = info;
  const failed = share(usage?.errors, usage?.requests);
  const cost = usage === null ? null : costOf(usage);
  return (
    <Card title={label}>
      <Metrics>
        <Metric
          label="Spend"
          value={cost === null ? '$0' : cost.nanousd === null ? null : money(cost.nanousd)}
          sub={
            cost?.why ??
            (cost !== null && cost.missing > 0 ? `without ${compact(cost.missing)} requests` : '')
          }
          about={
            usage === null
              ? 'Nobody called it in this range.'
              : `Known cost, exactly ${exactMoney(usage.cost_nanousd)}. ${count(usage.unpriced)} requests have no price, of ${count(usage.unknown)} nobody said what they used.`
          }
        />
        <Metric
          label="Requests"
          value={compact(usage?.requests ?? 0)}
          sub={failed === null ? '' : `${percent(failed)} failed`}
          about={`${count(usage?.requests ?? 0)} requests, ${count(usage?.errors ?? 0)} of them failed.`}
        />
        <Metric
          label="Model tokens"
          value={compact((usage?.input ?? 0) + (usage?.output ?? 0))}
          sub={`${compact(usage?.input ?? 0)} in, ${compact(usage?.output ?? 0)} out`}
          about={`${count(usage?.input ?? 0)} in, ${count(usage?.output ?? 0)} out, as providers reported them.`}
        />
        <Metric
          label="First byte"
          value={health === null || health.ttft_p50_ms === null ? null : milliseconds(health.ttft_p50_ms)}
          sub={health?.ttft_p95_ms == null ? 'p50' : `p50; p95 ${milliseconds(health.ttft_p95_ms)}`}
          about={
            health === null
              ? 'Nobody called it of late, so nothing is known.'
              : 'From the head of the request to the first byte of the answer, of late, for all who use it.'
          }
        />
      </Metrics>
    </Card>
  );
}
