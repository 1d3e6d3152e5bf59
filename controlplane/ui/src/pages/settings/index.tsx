import { Construction } from 'lucide-react';
import { EmptyState, Page } from '@/kit';

export default function SettingsPage() {
  return (
    <Page title="Settings">
      <EmptyState icon={Construction} title="This page is not written yet">
        It is going to show the configuration and its history.
      </EmptyState>
    </Page>
  );
}
