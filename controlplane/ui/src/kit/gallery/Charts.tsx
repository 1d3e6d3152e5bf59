import { BarList, Card, Histogram, Money, Ring, TimeSeries } from '@/kit';
import { compact, money } from '../format';

const HOURS = 48;
const times = Array.from({ length: HOURS }, (_, hour) =>
  new Date(Date.UTC(2026, 10, 20, hour)).toISOString(),
);
const wave = (height: number, phase: number) =>
  times.map((_, hour) =>
    Math.max(0, Math.round(height * (1 + Math.sin((hour + phase) / 3.8)) * (hour % 24 > 6 ? 1 : 0.15))),
  );

export function Charts() {
  return (
    <>
      <div className="split">
        <Card title="Stacked">
          <TimeSeries
            label="Spend by model"
            times={times}
            stacked
            format={money}
            sync="gallery"
            series={[
              { label: 'claude-opus-5', values: wave(4e9, 0) },
              { label: 'gpt-5.5', values: wave(2e9, 2) },
              { label: 'gemini-3-pro', values: wave(1e9, 5) },
              { label: 'others', values: wave(3e8, 9), color: 0 },
            ]}
          />
        </Card>
        <Card title="Lines, with a gap">
          <TimeSeries
            label="Requests"
            times={times}
            format={compact}
            sync="gallery"
            series={[
              {
                label: 'requests',
                values: wave(900, 0).map((value, hour) => (hour > 20 && hour < 26 ? null : value)),
              },
              { label: 'errors', values: wave(40, 3), color: 8 },
            ]}
          />
        </Card>
      </div>
      <div className="split">
        <Card title="Bars">
          <BarList
            items={[
              {
                key: 'a',
                label: 'alice@example.com',
                value: 12.4e9,
                text: <Money nanousd={12_400_000_000} />,
                to: '/',
              },
              {
                key: 'b',
                label: 'a name that is much too long for the place that there is for it, and goes on',
                value: 8e9,
                text: <Money nanousd={8_000_000_000} />,
              },
              { key: 'c', label: 'tag:ci', value: 1e8, text: <Money nanousd={100_000_000} /> },
            ]}
          />
        </Card>
        <Card title="Histogram and rings">
          <Histogram
            label="People by spend"
            bins={[
              { label: '<$1', value: 14, text: '14' },
              { label: '$1–10', value: 32, text: '32' },
              { label: '$10–100', value: 9, text: '9' },
              { label: '>$100', value: 1, text: '1' },
            ]}
          />
          <div className="row">
            <Ring percent={32} label="32% used" />
            <Ring percent={86} label="86% used" />
            <Ring percent={104} label="104% used" />
            <Ring percent={null} label="Not known" />
          </div>
        </Card>
      </div>
      <Card title="Nothing in this time">
        <TimeSeries label="Empty" times={[]} series={[]} format={compact} height={120} />
      </Card>
    </>
  );
}
