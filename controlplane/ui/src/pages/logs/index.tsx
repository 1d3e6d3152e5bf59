import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function LogsPage() {
  return (
    <Page title="Logs">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show sessions and requests, and a live tail of them.
      </EmptyState>
    </Page>
  );
}
