import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function ModelPage() {
  return (
    <Page title="Model">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show one model.
      </EmptyState>
    </Page>
  );
}
