import { Link } from '@tanstack/react-router';
import { CircleCheck, CircleX, Play } from 'lucide-react';
import { useState } from 'react';
import { Button, Text } from '@/kit';
import { milliseconds } from '@/kit/format';
import type { Flag } from './clients';
import { call, reason, words } from './try';

interface Result {
  status: number | null;
  said: string;
  took: number;
  request: string | null;
}

/** A call from here, as the client would make it: who calls is known from this browser's connection. */
export function Test({ flag, model }: { flag: Flag; model: string }) {
  const [busy, setBusy] = useState(false);
  const [result, setResult] = useState<Result | null>(null);
  const run = async () => {
    setBusy(true);
    setResult(null);
    const begun = performance.now();
    const { path, headers, body } = call(flag, model);
    try {
      const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
      const json: unknown = await answer.json().catch(() => null);
      const said = answer.ok ? words(json) : (reason(json) ?? answer.statusText);
      setResult({
        status: answer.status,
        said,
        took: performance.now() - begun,
        request: answer.headers.get('x-sluice-request-id'),
      });
    } catch {
      setResult({
        status: null,
        said: 'The gateway did not answer. Is it running, and is this page from it?',
        took: performance.now() - begun,
        request: null,
      });
    }
    setBusy(false);
  };
  const good = result !== null && result.status !== null && result.status < 300;
  return (
    <section className="connect-test" aria-label="Test">
      <div className="row">
        <Button tone="primary" icon={Play} busy={busy} onClick={() => void run()}>
          Test this model
        </Button>
        <span className="muted">
          Sends one short question to <bdi className="mono">{model}</bdi>; it costs a few tokens.
        </span>
      </div>
      <div role="status">
        {result !== null && (
          <div className={`connect-result ${good ? 'connect-good' : 'connect-bad'}`}>
            {good ? <CircleCheck size={18} aria-hidden /> : <CircleX size={18} aria-hidden />}
            <div>
              <strong>
                {good ? 'It works' : result.status === null ? 'No answer' : `Refused with ${result.status}`}
              </strong>
              {result.said !== '' && (
                <div>
                  <Text text={result.said} clamp={400} />
                </div>
              )}
              <div className="muted">
                {milliseconds(result.took)}
                {result.request !== null && (
                  <>
                    {' · '}
                    <Link to="/requests/$id" params={{ id: result.request }}>
                      Look at this request
                    </Link>
                  </>
                )}
                {!good && result.status !== null && (
                  <>
                    {' · '}
                    <span>{advice(result.status)}</span>
                  </>
                )}
              </div>
            </div>
          </div>
        )}
      </div>
    </section>
  );
}

function advice(status: number): string {
  switch (status) {
    case 401:
      return 'The provider does not take the key: an administrator looks under Providers.';
    case 403:
      return 'The model is not granted to you, or a guardrail does not let it pass: ask an administrator.';
    case 404:
      return 'No provider serves this model.';
    case 429:
      return 'A budget is used up, or the provider limits calls: see Quotas.';
    default:
      return 'The request says more.';
  }
}
