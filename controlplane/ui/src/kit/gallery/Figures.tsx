import {
  Badge,
  Card,
  Duration,
  EndedBadge,
  KeyValue,
  Money,
  Sparkline,
  Stat,
  StatGrid,
  StatusBadge,
  Text,
  Time,
  Tokens,
} from '@/kit';

const hostile = 'admin\u202egnp.exe\u200b<img src=x onerror=alert(1)>\u0000';

export function Figures() {
  return (
    <>
      <StatGrid>
        <Stat label="Spend today" value={<Money nanousd={12_340_000_000} />} hint="+12% on yesterday" />
        <Stat
          label="Model tokens"
          value={<Tokens tokens={1_234_567} />}
          chart={<Sparkline values={[1, 3, 2, null, 5, 8, 6]} label="Tokens by hour" />}
        />
        <Stat label="First byte, p95" value={<Duration us={823_000} />} />
        <Stat label="Unpriced" value={<Money nanousd={null} />} hint="No price is known" />
      </StatGrid>
      <Card title="Figures">
        <KeyValue
          rows={[
            [
              'Cost',
              <span className="row" key="c">
                <Money nanousd={840_000} />
                <Money nanousd={12_300} />
                <Money nanousd={0} />
                <Money nanousd={1_234_567_000_000_000} />
                <Money nanousd={null} unpriced />
              </span>,
            ],
            [
              'Tokens',
              <span className="row" key="t">
                <Tokens tokens={940} />
                <Tokens tokens={12_345} />
                <Tokens tokens={null} />
              </span>,
            ],
            [
              'Time',
              <span className="row" key="d">
                <Duration us={900} />
                <Duration us={1_500_000} />
                <Duration us={95_000_000} />
                <Duration us={null} />
              </span>,
            ],
            [
              'Moment',
              <span className="row" key="m">
                <Time time="2026-11-22T10:00:00Z" />
                <Time time="2026-11-22T10:00:00Z" relative />
                <Time time={null} />
              </span>,
            ],
            [
              'Status',
              <span className="row" key="s">
                <StatusBadge status={200} />
                <StatusBadge status={404} />
                <StatusBadge status={503} />
                <StatusBadge status={0} />
              </span>,
            ],
            [
              'Ended',
              <span className="row" key="e">
                {['complete', 'client_gone', 'upstream_failed', 'cut_by_quota', 'blocked', 'aborted'].map(
                  ended => (
                    <EndedBadge key={ended} ended={ended} />
                  ),
                )}
              </span>,
            ],
            [
              'Badges',
              <span className="row" key="b">
                <Badge>neutral</Badge>
                <Badge tone="good">good</Badge>
                <Badge tone="warn">warn</Badge>
                <Badge tone="bad">bad</Badge>
                <Badge tone="info">info</Badge>
              </span>,
            ],
            ['Untrusted', <Text key="u" text={hostile} />],
            ['Long', <Text key="l" text={'long '.repeat(200)} clamp={80} expandable />],
          ]}
        />
      </Card>
    </>
  );
}
