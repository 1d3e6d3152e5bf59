import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function GuardrailsPage() {
  return (
    <Page title="Guardrails">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show what rules found, and what they would have done.
      </EmptyState>
    </Page>
  );
}
