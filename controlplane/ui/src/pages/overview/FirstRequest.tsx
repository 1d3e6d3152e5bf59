import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { type StreamState, useApi } from '@/api';
import { Code } from '@/kit';
import { callOf } from '../model/snippet';
import { firstSnippets, type Offered } from './snippets';

/** What the overview is before the first request: how to make one. The page turns by itself once it arrives. */
export function FirstRequest({ state, login }: { state: StreamState; login: string }) {
  const models = useApi('/api/models');
  const snippets = firstSnippets(window.location.origin, firstCall(models.data?.models ?? []));
  const [chosen, setChosen] = useState('curl');
  const snippet = snippets.find(({ id }) => id === chosen) ?? snippets[0];
  return (
    <section className="first" aria-label="Make the first request">
      <h2>Make the first request</h2>
      <p className="muted">
        Point a client here. It needs no key of a provider: Sluice knows you as <bdi>{login}</bdi>, puts the
        key in, and counts what the call costs. What you run now shows up on this page within a second.
      </p>
      <fieldset className="first-clients" aria-label="Client">
        {snippets.map(({ id, label }) => (
          <button
            key={id}
            type="button"
            aria-pressed={id === snippet?.id}
            className="first-client"
            onClick={() => setChosen(id)}
          >
            {label}
          </button>
        ))}
      </fieldset>
      {snippet !== undefined && <Code text={snippet.text} wrap />}
      <p className="first-wait" role="status">
        <span className="now-dot" data-state={state} aria-hidden />
        {state === 'lost'
          ? 'The connection to the gateway is lost; trying again.'
          : 'Waiting for the first request.'}
      </p>
      <p className="muted">
        More clients, with your own models and a test: <Link to="/connect">Connect</Link>.
      </p>
    </section>
  );
}

/** A call of the first model that the viewer may use and that can be shown. */
function firstCall(models: readonly Offered[]): string | undefined {
  for (const { model, granted, providers } of models) {
    const call = granted
      ? callOf(
          window.location.origin,
          model,
          providers.flatMap(provider => provider.endpoints),
        )
      : null;
    if (call !== null) return call;
  }
  return undefined;
}
