import { Link } from '@tanstack/react-router';
import type { Schema } from '@/api';
import { Card, Code } from '@/kit';
import { callOf } from './snippet';

/** How to call the model. */
export function Call({ info }: { info: Schema<'Model'> }) {
  const snippet = callOf(
    window.location.origin,
    info.model,
    info.providers.flatMap(provider => provider.endpoints),
  );
  return (
    <Card title="Call it" actions={<Link to="/connect">Connect a client</Link>}>
      {!info.granted ? (
        <p className="muted">
          No grant lets you call this model. Ask whoever runs this gateway, if you need it.
        </p>
      ) : snippet === null ? (
        <p className="muted">Its providers speak a format that SDKs are needed for; Connect shows how.</p>
      ) : (
        <Code text={snippet} wrap />
      )}
    </Card>
  );
}
