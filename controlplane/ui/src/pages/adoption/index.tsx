import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function AdoptionPage() {
  return (
    <Page title="Adoption">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show who uses models, and how much.
      </EmptyState>
    </Page>
  );
}
