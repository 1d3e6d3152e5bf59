import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function QuotasPage() {
  return (
    <Page title="Quotas">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show balances, their history, and refills.
      </EmptyState>
    </Page>
  );
}
