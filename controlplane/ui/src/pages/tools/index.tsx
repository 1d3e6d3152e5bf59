import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function ToolUsePage() {
  return (
    <Page title="Tool use">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show which tools models call, and for whom.
      </EmptyState>
    </Page>
  );
}
