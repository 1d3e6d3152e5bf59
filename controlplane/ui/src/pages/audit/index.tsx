import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function AuditPage() {
  return (
    <Page title="Audit">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show what administrators did.
      </EmptyState>
    </Page>
  );
}
