import { Plug } from 'lucide-react';
import { ApiProblem } from '@/api';
import { Button, Callout, Card, Code, EmptyState, ErrorState, LiveDot, Progress, Skeleton } from '@/kit';

const snippet = 'export ANTHROPIC_BASE_URL=http://ai\nclaude';

export function States() {
  return (
    <>
      <div className="split">
        <EmptyState
          icon={Plug}
          title="Nobody has connected yet"
          snippet={snippet}
          action={<Button tone="primary">Connect a client</Button>}
        >
          Calls that go through the gateway are listed here, as soon as there are any.
        </EmptyState>
        <ErrorState
          problem={
            new ApiProblem(0, 'network', 'The gateway does not answer', 'No answer came from the gateway.')
          }
          onRetry={() => undefined}
        />
      </div>
      <Card title="Code">
        <div className="stack">
          <Code text="curl http://ai/v1/models" />
          <Code title="sluice.hujson" text={`${'{"providers": {}} // '.repeat(20)}\n{}\n`} />
          <Code text={'x'.repeat(30_000)} clamp={200} wrap />
        </div>
      </Card>
      <Card title="Notes and progress">
        <div className="stack">
          <Callout title="A newer document was saved">Somebody else changed it since you read it.</Callout>
          <Callout tone="good">The chain of the audit is whole.</Callout>
          <Callout tone="warn" action={<Button size="small">Look</Button>}>
            Two models have no price.
          </Callout>
          <Callout tone="bad" title="The document could not be used">
            The one before is in use.
          </Callout>
          <Progress label="Exporting" percent={42} />
          <Progress label="Waiting for the provider" percent={null} />
          <div className="row">
            <LiveDot state="waiting" />
            <LiveDot state="open" />
            <LiveDot state="lost" />
            <LiveDot state="paused" />
          </div>
          <Skeleton width={240} />
          <Skeleton height={60} />
        </div>
      </Card>
    </>
  );
}
