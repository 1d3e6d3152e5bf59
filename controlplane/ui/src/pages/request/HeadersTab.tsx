import { Badge, Card } from '@/kit';
import { visible } from '@/kit/visible';
import type { CaptureDetail } from './Actions';
import { HIDDEN_VALUE } from './curl';

/** The heads of request and answer, as they were forwarded. */
export function HeadersTab({ capture }: { capture: CaptureDetail }) {
  return (
    <div className="split">
      <Card title="Request">
        <p className="mono head-line">
          {visible(capture.method)} {visible(capture.target)}
        </p>
        {capture.model_sent !== capture.model && (
          <p className="muted head-line">
            The provider was asked for <span className="mono">{visible(capture.model_sent)}</span>.
          </p>
        )}
        <Fields fields={capture.request_headers} />
      </Card>
      <Card title="Answer">
        <p className="mono head-line">{capture.status === 0 ? 'no answer' : capture.status}</p>
        <Fields fields={capture.answer_headers} />
      </Card>
    </div>
  );
}

function Fields({ fields }: { fields: CaptureDetail['request_headers'] }) {
  if (fields.length === 0) return <p className="muted">There are none.</p>;
  return (
    <dl className="fields">
      {fields.map(({ name, value }, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: names may stand twice, and a capture does not change
        <div key={index}>
          <dt className="mono">{visible(name)}</dt>
          <dd className="mono">
            {value === HIDDEN_VALUE ? (
              <Badge title="A credential: its value was never stored.">not kept</Badge>
            ) : (
              visible(value)
            )}
          </dd>
        </div>
      ))}
    </dl>
  );
}
