import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function ModelsPage() {
  return (
    <Page title="Models">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show every model with its endpoints, prices and health.
      </EmptyState>
    </Page>
  );
}
