import { useMe } from '@/api';

/** Who the gateway takes the viewer for, and whether it answers. */
export function Who() {
  const me = useMe();
  const state = me.isPending ? 'unknown' : me.isError ? 'bad' : 'good';
  const health = {
    unknown: 'Asking the gateway',
    bad: 'The gateway does not answer',
    good: 'The gateway answers',
  }[state];
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
          <bdi>{login ?? (me.isPending ? 'Loading' : 'Unknown')}</bdi>
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
