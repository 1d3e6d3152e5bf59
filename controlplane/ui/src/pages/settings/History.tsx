import { History as HistoryIcon } from 'lucide-react';
import { useState } from 'react';
import { useApi, useMutationApi } from '@/api';
import { Button, ConfirmDialog, EmptyState, ErrorState, Skeleton, Text, Time, toast } from '@/kit';
import { Editor } from './document/Editor';

/** Versions of the document that were in use: what each changed, and the way back to it. */
export function History({
  selected,
  onSelect,
  onRolledBack,
}: {
  selected: number | undefined;
  onSelect: (version: number) => void;
  onRolledBack: () => void;
}) {
  const list = useApi('/api/config/history', {});
  if (list.error !== null) return <ErrorState problem={list.error} onRetry={() => void list.refetch()} />;
  if (list.data === undefined) return <Skeleton height={320} />;
  const versions = [...list.data.versions].sort((a, b) => b.id - a.id);
  const [newest] = versions;
  if (newest === undefined) {
    return (
      <EmptyState icon={HistoryIcon} title="There is no history yet">
        Every document that is put into use is kept here, with who did it and what changed.
      </EmptyState>
    );
  }
  const shown = versions.find(version => version.id === selected) ?? newest;
  return (
    <div className="config-history">
      <ol className="config-versions" aria-label="Versions">
        {versions.map(version => (
          <li key={version.id}>
            <button
              type="button"
              className="config-version"
              aria-current={version.id === shown.id ? 'true' : undefined}
              onClick={() => onSelect(version.id)}
            >
              <span className="config-version-line">
                <strong>Version {version.id}</strong>
                <span className="nowrap">
                  <span className="config-plus">+{version.added}</span>{' '}
                  <span className="config-minus">−{version.removed}</span>
                </span>
              </span>
              <span className="config-version-line muted">
                <Text text={version.author} clamp={40} />
                <Time time={version.time} relative />
              </span>
              {version.current && <span className="faint">in use</span>}
              {version.note !== '' && <Text text={version.note} clamp={80} />}
            </button>
          </li>
        ))}
      </ol>
      <Version id={shown.id} current={shown.current} onRolledBack={onRolledBack} />
    </div>
  );
}

function Version({ id, current, onRolledBack }: { id: number; current: boolean; onRolledBack: () => void }) {
  const [asking, setAsking] = useState(false);
  const [against, setAgainst] = useState<'before' | 'current'>('before');
  const version = useApi('/api/config/history/{id}', { path: { id } }, { staleTime: 60_000 });
  const now = useApi('/aperture/config', {}, { enabled: against === 'current', staleTime: 0 });
  const before = useApi(
    '/api/config/history/{id}',
    { path: { id: version.data?.against ?? 0 } },
    { enabled: against === 'before' && version.data?.against != null, staleTime: 60_000 },
  );
  const rollback = useMutationApi('post', '/api/config/rollback', {
    invalidates: ['/api/config/history', '/aperture/config', '/api/health'],
    onSuccess: () => {
      setAsking(false);
      toast({ title: `Version ${id} is in use again` });
      onRolledBack();
    },
    onError: problem => {
      setAsking(false);
      toast({ title: problem.title, text: problem.detail, tone: 'bad' });
    },
  });
  if (version.error !== null)
    return <ErrorState problem={version.error} onRetry={() => void version.refetch()} />;
  const { data } = version;
  if (data === undefined) return <Skeleton height={420} />;
  const old = against === 'current' ? now.data?.config : data.against === null ? '' : before.data?.config;
  return (
    <section className="stack" aria-label={`Version ${id}`}>
      <div className="config-version-line">
        <div className="row">
          <h2>Version {id}</h2>
          {data.secrets_changed && <span className="muted">A secret was changed, too.</span>}
        </div>
        <div className="row">
          <select
            className="input"
            aria-label="Compare with"
            value={against}
            onChange={event => setAgainst(event.target.value as 'before' | 'current')}
          >
            <option value="before">What it changed</option>
            <option value="current" disabled={current}>
              Compared with what is in use
            </option>
          </select>
          <Button disabled={current} onClick={() => setAsking(true)}>
            Use this version again
          </Button>
        </div>
      </div>
      <p className="muted">{data.summary}</p>
      {old === undefined ? (
        <Skeleton height={420} />
      ) : (
        <div className="config-diff">
          <Editor
            key={`${id}-${against}`}
            label={`Difference of version ${id}`}
            text={data.config}
            before={old}
          />
        </div>
      )}
      <ConfirmDialog
        open={asking}
        onOpenChange={setAsking}
        title={`Use version ${id} again?`}
        confirm="Use this version"
        busy={rollback.isPending}
        onConfirm={() => rollback.mutate({ body: { id } })}
      >
        It becomes the newest version, and is put into use at once. What is in use now stays in the history.
      </ConfirmDialog>
    </section>
  );
}
