import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function RequestPage() {
  return (
    <Page title="Request">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show one request: time, tokens, cost, headers and bodies.
      </EmptyState>
    </Page>
  );
}
