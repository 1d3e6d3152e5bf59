import { Lock } from 'lucide-react';
import { useEffect, useState } from 'react';
import { useMe } from '@/api';
import { EmptyState, ErrorState, Page, Skeleton, Tabs } from '@/kit';
import { useSearchState } from '@/kit/search';
import { About } from './About';
import { DocumentTab } from './DocumentTab';
import { useDraft } from './draft';
import { Exports } from './Exports';
import { History } from './History';
import { Hooks } from './Hooks';
import { SaveBar } from './SaveBar';
import type { Search } from './search';
import { VisualTab } from './VisualTab';
import './settings.css';

const tabs = [
  { value: 'visual', label: 'Visual' },
  { value: 'document', label: 'Document' },
  { value: 'history', label: 'History' },
  { value: 'exports', label: 'Exports' },
  { value: 'hooks', label: 'Hooks' },
  { value: 'about', label: 'About' },
] as const;

export default function SettingsPage() {
  const me = useMe();
  if (me.data !== undefined && me.data.role !== 'admin') {
    return (
      <Page title="Settings">
        <EmptyState icon={Lock} title="Settings are for administrators">
          Who may call what, budgets, providers and guardrails are set here. Your role is user; ask whoever
          runs this gateway.
        </EmptyState>
      </Page>
    );
  }
  return <Settings />;
}

function Settings() {
  const [search, setSearch] = useSearchState<Search>();
  const [reviewing, setReviewing] = useState(false);
  const draft = useDraft();
  const tab = search.tab ?? 'visual';
  const writing = tab === 'visual' || tab === 'document';

  useEffect(() => {
    if (!draft.dirty) return;
    const warn = (event: BeforeUnloadEvent) => event.preventDefault();
    window.addEventListener('beforeunload', warn);
    return () => window.removeEventListener('beforeunload', warn);
  }, [draft.dirty]);

  return (
    <Page
      title="Settings"
      description={
        draft.saved === undefined ? undefined : (
          <>
            Version {draft.saved.version} of the configuration is in use, from{' '}
            <code>{draft.saved.source}</code>.
          </>
        )
      }
    >
      <Tabs
        label="Parts of the settings"
        tabs={tabs}
        value={tab}
        onChange={value => setSearch({ tab: value })}
      >
        {writing && draft.problem !== null && draft.saved === undefined && (
          <ErrorState problem={draft.problem} onRetry={draft.refetch} />
        )}
        {writing && draft.problem === null && draft.saved === undefined && <Skeleton height={420} />}
        {writing && draft.saved !== undefined && (
          <>
            {tab === 'visual' ? (
              <VisualTab
                draft={draft}
                section={search.section}
                onSection={section => setSearch({ section })}
              />
            ) : (
              <DocumentTab
                draft={draft}
                line={search.line}
                onSave={() => draft.dirty && setReviewing(true)}
              />
            )}
            <SaveBar draft={draft} reviewing={reviewing} onReview={setReviewing} />
          </>
        )}
        {tab === 'history' && (
          <History
            selected={search.version}
            onSelect={version => setSearch({ version })}
            onRolledBack={draft.refetch}
          />
        )}
        {tab === 'exports' && <Exports />}
        {tab === 'hooks' && <Hooks />}
        {tab === 'about' && <About />}
      </Tabs>
    </Page>
  );
}
