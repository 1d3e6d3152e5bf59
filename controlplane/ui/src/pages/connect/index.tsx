import { Link } from '@tanstack/react-router';
import { Plug } from 'lucide-react';
import { useState } from 'react';
import { useApi, useMe } from '@/api';
import { Callout, Code, EmptyState, ErrorState, Page, Skeleton, Switch, Text } from '@/kit';
import { useSearchState } from '@/kit/search';
import { type Client, clients, type Flag, usable } from './clients';
import type { Search } from './search';
import { Test } from './Test';
import './connect.css';

const groups = ['Coding agents', 'Libraries', 'Elsewhere'] as const;

export default function ConnectPage() {
  const me = useMe();
  const list = useApi('/api/models', {}, { staleTime: 60_000 });
  const [search, setSearch] = useSearchState<Search>();
  const client = clients.find(({ id }) => id === search.client) ?? (clients[0] as Client);
  const models = (list.data?.models ?? [])
    .filter(model => model.granted)
    .map(model => ({
      model: model.model,
      flags: [...new Set(model.providers.flatMap(provider => provider.endpoints))],
    }));
  const fitting = usable(client, models);
  const model = fitting.find(one => one.model === search.model) ?? fitting[0];
  return (
    <Page
      title="Connect a client"
      description="A client changes one thing: its base address. Who you are is known from the network, and the provider's key never leaves the gateway."
    >
      <div className="connect">
        <nav className="connect-clients" aria-label="Clients">
          {groups.map(group => (
            <div key={group}>
              <h2 className="connect-group">{group}</h2>
              {clients
                .filter(one => one.group === group)
                .map(one => (
                  <button
                    key={one.id}
                    type="button"
                    className="connect-client"
                    aria-current={one.id === client.id ? 'true' : undefined}
                    onClick={() => setSearch({ client: one.id, model: undefined })}
                  >
                    {one.name}
                  </button>
                ))}
            </div>
          ))}
        </nav>
        <section className="connect-main" aria-labelledby="connect-title">
          <h2 id="connect-title">{client.name}</h2>
          {list.error !== null && <ErrorState problem={list.error} onRetry={() => void list.refetch()} />}
          {list.isPending && <Skeleton height={260} />}
          {list.data !== undefined && model === undefined && (
            <EmptyState icon={Plug} title={`You have no model that ${client.name} can speak to`}>
              {models.length === 0
                ? 'No model is granted to you. An administrator grants models under Settings → Grants.'
                : `It needs a provider with the endpoints ${client.flags.join(' or ')}. Others of your models can be used by other clients.`}
            </EmptyState>
          )}
          {model !== undefined && (
            <Steps
              client={client}
              model={model}
              models={fitting.map(one => one.model)}
              byToken={me.data?.source === 'token'}
              onModel={name => setSearch({ model: name })}
            />
          )}
        </section>
      </div>
    </Page>
  );
}

function Steps({
  client,
  model,
  models,
  byToken,
  onModel,
}: {
  client: Client;
  model: { model: string; flags: readonly string[] };
  models: string[];
  byToken: boolean;
  onModel: (model: string) => void;
}) {
  const [token, setToken] = useState(byToken || client.id === 'ci');
  const setup = { base: window.location.origin, model: model.model, token };
  const flag = client.flags.find(one => model.flags.includes(one)) as Flag;
  return (
    <>
      {client.note !== '' && <Callout>{client.note}</Callout>}
      <div className="connect-choices">
        <label className="connect-model">
          <span>Model</span>
          <select className="input" value={model.model} onChange={event => onModel(event.target.value)}>
            {models.map(name => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <Switch label="With a token" checked={token} onChange={setToken} />
      </div>
      {token && (
        <p className="muted">
          For a client that the network does not know. Make one under <Link to="/tokens">Tokens</Link> and put
          it into the variable <code>SLUICE_TOKEN</code>.
        </p>
      )}
      {client.steps(setup).map(step => (
        <Code key={step.title} title={step.title} text={step.text} />
      ))}
      <Test key={`${client.id} ${model.model}`} flag={flag} model={model.model} />
      <p className="muted">
        Then watch it arrive under{' '}
        <Link to="/logs" search={{ tab: 'live' }}>
          Logs → Live
        </Link>
        . The models of <Text text={client.name} clamp={40} /> above are those that are granted to you.
      </p>
    </>
  );
}
