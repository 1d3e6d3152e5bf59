import { KeyRound, Plus } from 'lucide-react';
import { useState } from 'react';
import { type Schema, useApi, useMe, useMutationApi } from '@/api';
import {
  Badge,
  Button,
  Callout,
  ConfirmDialog,
  DataTable,
  EmptyState,
  Page,
  Text,
  Time,
  toast,
  useNow,
} from '@/kit';
import { CreateToken } from './CreateToken';
import { type State, stateOf, tones } from './state';

type Token = Schema<'Token'>;

export default function TokensPage() {
  const me = useMe();
  const list = useApi('/api/tokens', {});
  const now = useNow();
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const admin = me.data?.role === 'admin';
  const revoke = useMutationApi('delete', '/api/tokens/{id}', {
    invalidates: ['/api/tokens'],
    onSuccess: token => {
      setRevoking(null);
      toast({ title: `The token ${token.name} ends now` });
    },
    onError: problem => {
      setRevoking(null);
      toast({ title: problem.title, text: problem.detail, tone: 'bad' });
    },
  });
  const limits = (token: Token) =>
    [
      token.models === null ? null : token.models.join(', '),
      token.role === null ? null : `role ${token.role}`,
    ]
      .filter(limit => limit !== null)
      .join('; ');
  const whose = (token: Token) => (token.tags.length > 0 ? token.tags.join(', ') : token.login);
  return (
    <Page
      title="Tokens"
      description="For jobs that no network knows. A token says who calls, and can be limited to some models."
      actions={
        <Button tone="primary" icon={Plus} onClick={() => setMaking(true)}>
          New token
        </Button>
      }
    >
      {list.data?.accepted === false && (
        <Callout tone="warn" title="Tokens are not accepted at the moment">
          The configuration does not list tokens among the ways to prove who calls: add <code>"token"</code>{' '}
          to <code>identity.sources</code> under Settings → Identity.
        </Callout>
      )}
      <DataTable<Token>
        label="Tokens"
        rows={list.data?.tokens}
        rowId={token => token.id}
        loading={list.isPending}
        problem={list.error}
        onRetry={() => void list.refetch()}
        sort={{ id: 'created', descending: true }}
        columns={[
          {
            id: 'name',
            header: 'Name',
            grow: true,
            value: token => token.name,
            cell: token => (
              <div>
                <Text text={token.name} clamp={80} />
                <div className="faint mono">{token.id}</div>
              </div>
            ),
          },
          {
            id: 'whose',
            header: 'Whose',
            cut: true,
            value: whose,
            cell: token => <Text text={whose(token)} clamp={80} />,
          },
          {
            id: 'limits',
            header: 'Limited to',
            rank: 2,
            cut: true,
            value: limits,
            cell: token =>
              limits(token) === '' ? (
                <span className="faint" title="It may do what its owner is granted">
                  nothing
                </span>
              ) : (
                <Text text={limits(token)} clamp={80} />
              ),
          },
          {
            id: 'created',
            header: 'Made',
            rank: 1,
            value: token => token.created_at,
            cell: token => (
              <span title={`by ${token.created_by}`}>
                <Time time={token.created_at} relative />
              </span>
            ),
          },
          {
            id: 'used',
            header: 'Last used',
            value: token => token.last_used_at,
            cell: token => <Time time={token.last_used_at} relative />,
          },
          {
            id: 'expires',
            header: 'Ends',
            value: token => token.expires_at,
            cell: token => <Time time={token.revoked_at ?? token.expires_at} relative />,
          },
          {
            id: 'state',
            header: 'State',
            value: token => stateOf(token, now),
            cell: token => <StateBadge state={stateOf(token, now)} />,
          },
          {
            id: 'revoke',
            header: '',
            value: () => null,
            cell: token =>
              stateOf(token, now) === 'ended' || stateOf(token, now) === 'revoked' ? null : (
                <Button size="small" aria-label={`Revoke ${token.name}`} onClick={() => setRevoking(token)}>
                  Revoke
                </Button>
              ),
          },
        ]}
        empty={
          <EmptyState
            icon={KeyRound}
            title="There are no tokens"
            snippet="sluice token create --tag tag:ci --expires 90d"
          >
            A CI job or a service outside your network shows a token as its key. Make one here, or where the
            gateway runs:
          </EmptyState>
        }
      />
      <CreateToken open={making} onOpenChange={setMaking} login={me.data?.login ?? ''} admin={admin} />
      <ConfirmDialog
        open={revoking !== null}
        onOpenChange={open => !open && setRevoking(null)}
        title="Revoke this token?"
        confirm="Revoke"
        tone="danger"
        busy={revoke.isPending}
        onConfirm={() => revoking !== null && revoke.mutate({ path: { id: revoking.id } })}
      >
        Calls that show <Text text={revoking?.name ?? ''} clamp={80} /> are refused from now on, and those
        under way end. This cannot be undone.
      </ConfirmDialog>
    </Page>
  );
}

function StateBadge({ state }: { state: State }) {
  return <Badge tone={tones[state]}>{state}</Badge>;
}
