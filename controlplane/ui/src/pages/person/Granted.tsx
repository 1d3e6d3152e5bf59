import { Link } from '@tanstack/react-router';
import { CircleCheck, CircleX } from 'lucide-react';
import { useState } from 'react';
import { type Schema, useApi } from '@/api';
import { Badge, Button, Callout, Card, ErrorState, Field, Input, Skeleton, Text } from '@/kit';

type Grant = Schema<'MatchedGrant'>;

/** What somebody may do, and by which grants; and whether they may use a model. */
export function Granted({ login }: { login: string }) {
  const [typed, setTyped] = useState('');
  const [model, setModel] = useState<string | undefined>();
  const tags = login.split(',').filter(name => name.startsWith('tag:'));
  const whom = tags.length > 0 ? { tag: tags.join(',') } : { as: login };
  const found = useApi('/api/explain', { query: { ...whom, model } as never });
  const { data } = found;
  return (
    <Card
      title="What they may do, and why"
      description="As the configuration in use says. Grants that their network brings along with a connection are not in it."
    >
      {found.error !== null && (
        <ErrorState problem={found.error} compact onRetry={() => void found.refetch()} />
      )}
      {data === undefined && found.isPending && <Skeleton height={120} />}
      {data !== undefined && (
        <div className="stack">
          {data.role === null ? (
            <Callout tone="warn" title="No role is granted">
              Every call is refused. {data.missing}
            </Callout>
          ) : (
            <p>
              The role <Badge tone="info">{data.role}</Badge> by{' '}
              {'role_by' in data &&
                data.role_by.map(by => <Why key={by.grant} grant={by.grant} sources={by.sources} />)}
            </p>
          )}
          {'grants' in data && (
            <ul className="granted">
              {data.grants.map(grant => (
                <GrantLine key={grant.grant} grant={grant} />
              ))}
            </ul>
          )}
          <form
            className="granted-ask"
            onSubmit={event => {
              event.preventDefault();
              setModel(typed.trim() || undefined);
            }}
          >
            <Field label="May they use this model?">
              {ids => (
                <Input
                  {...ids}
                  value={typed}
                  placeholder="claude-sonnet-4-5"
                  onChange={event => setTyped(event.target.value)}
                />
              )}
            </Field>
            <Button type="submit">Ask</Button>
          </form>
          {'model' in data && data.model !== null && <Answer model={data.model} />}
        </div>
      )}
    </Card>
  );
}

function Why({ grant, sources }: { grant: string; sources: readonly string[] }) {
  return (
    <span>
      <code>{grant}</code> (matched by <bdi>{sources.join(', ')}</bdi>){' '}
    </span>
  );
}

function GrantLine({ grant }: { grant: Grant }) {
  return (
    <li>
      <div>
        <Why grant={grant.grant} sources={grant.sources} /> gives
      </div>
      <ul>
        {grant.capabilities.map((capability, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the place in the document is what it is known by
          <li key={index}>
            {[
              capability.role === null ? null : `the role ${capability.role}`,
              !capability.grants_models
                ? null
                : capability.models === null
                  ? 'every model'
                  : `the models ${capability.models.join(', ')}`,
              capability.quotas.length === 0 ? null : `calls are charged to ${capability.quotas.join(', ')}`,
              capability.read_metrics ? 'reading of metrics' : null,
              capability.add_headers.length === 0 ? null : `the headers ${capability.add_headers.join(', ')}`,
            ]
              .filter(part => part !== null)
              .join('; ') || 'nothing by itself'}
          </li>
        ))}
      </ul>
    </li>
  );
}

function Answer({ model }: { model: Schema<'ExplainedModel'> }) {
  const allowed = model.apis.filter(api => api.outcome === 'allowed');
  return (
    <div className="granted-answer" role="status">
      {allowed.length > 0 ? (
        <>
          <CircleCheck size={18} className="granted-yes" aria-hidden />
          <div>
            Yes: <Text text={model.asked} clamp={80} mono /> may be called by{' '}
            {allowed.map(api => api.api).join(', ')}.{' '}
            <Link to="/models/$" params={{ _splat: model.asked }}>
              About the model
            </Link>
          </div>
        </>
      ) : (
        <>
          <CircleX size={18} className="granted-no" aria-hidden />
          <div>
            No:{' '}
            {model.missing ??
              model.apis.find(api => api.missing !== null)?.missing ??
              'no provider serves it'}
          </div>
        </>
      )}
    </div>
  );
}
