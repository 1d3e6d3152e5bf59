import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function TokensPage() {
  return (
    <Page title="Tokens">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show credentials for programs.
      </EmptyState>
    </Page>
  );
}
