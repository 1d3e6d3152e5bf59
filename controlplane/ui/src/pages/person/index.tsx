import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function PersonPage() {
  return (
    <Page title="Person">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show what somebody is granted, and why.
      </EmptyState>
    </Page>
  );
}
