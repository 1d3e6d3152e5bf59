import { useApi, useMe } from '@/api';
import { Text } from '@/kit/Text';

/** Who the gateway takes the viewer for, and whether it answers. */
export function Who() {
  const me = useMe();
  const { state, text: health } = useGateway();
  const login = me.data?.login;
  return (
    <div className="shell-me">
      <span className="shell-avatar" title={health}>
        <span aria-hidden>{(login?.match(/[\p{L}\p{N}]/u)?.[0] ?? '?').toUpperCase()}</span>
        <span className="shell-health" data-state={state} />
        <span className="visually-hidden">{health}.</span>
      </span>
      <span className="shell-me-text">
        <div title={login}>
          {login === undefined ? me.isPending ? 'Loading' : 'Unknown' : <Text text={login} clamp={80} />}
        </div>
        <div className="faint">
          {me.data === undefined
            ? me.isPending
              ? 'Asking who you are'
              : 'The gateway did not say'
            : `${me.data.role === 'admin' ? 'Admin' : 'User'}${me.data.scoped ? ', limited by a token' : ''}`}
        </div>
      </span>
    </div>
  );
}

/** How the gateway is, asked twice a minute while somebody looks. */
function useGateway(): { state: 'unknown' | 'good' | 'warn' | 'bad'; text: string } {
  const health = useApi('/api/health', {}, { refetchInterval: 30_000 });
  if (health.isError) return { state: 'bad', text: 'The gateway does not answer' };
  if (health.data === undefined) return { state: 'unknown', text: 'Asking the gateway' };
  return health.data.status === 'ok'
    ? { state: 'good', text: 'The gateway is well' }
    : { state: 'warn', text: 'The gateway answers, but something is wrong: Settings, About says what' };
}
