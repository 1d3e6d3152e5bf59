import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function PeoplePage() {
  return (
    <Page title="People">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show who may use the gateway.
      </EmptyState>
    </Page>
  );
}
