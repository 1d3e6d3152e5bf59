import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function OverviewPage() {
  return (
    <Page title="Overview">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show what passes through the gateway now, what it costs, and how much budget is left.
      </EmptyState>
    </Page>
  );
}
