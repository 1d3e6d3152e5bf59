import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function SessionPage() {
  return (
    <Page title="Session">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show the requests of one session.
      </EmptyState>
    </Page>
  );
}
