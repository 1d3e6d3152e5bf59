import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function ProvidersPage() {
  return (
    <Page title="Providers">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show health, latency and errors of each provider.
      </EmptyState>
    </Page>
  );
}
