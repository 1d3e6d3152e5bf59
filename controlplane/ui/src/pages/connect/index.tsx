import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function ConnectPage() {
  return (
    <Page title="Connect">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show how to set up a client.
      </EmptyState>
    </Page>
  );
}
