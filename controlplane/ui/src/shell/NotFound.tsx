import { Link } from '@tanstack/react-router';
import { Compass } from 'lucide-react';
import { EmptyState } from '@/kit/EmptyState';
import { Page } from '@/kit/Page';

export function NotFound() {
  return (
    <Page title="There is no such page">
      <EmptyState
        icon={Compass}
        title="Nothing lives at this address"
        action={<Link to="/">Go to the overview</Link>}
      >
        The link may be old or cut off. Ctrl K finds pages, models, people and requests by name.
      </EmptyState>
    </Page>
  );
}
