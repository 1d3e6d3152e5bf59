import { type ErrorComponentProps, useRouter } from '@tanstack/react-router';
import { asProblem } from '@/api';
import { ErrorState } from '@/kit/ErrorState';
import { Page } from '@/kit/Page';

/** A page that failed, in place of it. */
export function PageError({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  // After an update of the gateway the names of the files have changed: the page has to be loaded anew.
  const outdated = /dynamically imported module|module script failed/i.test(
    error instanceof Error ? error.message : '',
  );
  return (
    <Page title={outdated ? 'The dashboard has changed' : 'This page failed'}>
      <ErrorState
        problem={asProblem(error)}
        advice={
          outdated
            ? 'The gateway was updated, or does not answer. Loading the page again gets the new version.'
            : undefined
        }
        onRetry={() => {
          if (outdated) window.location.reload();
          else {
            reset();
            void router.invalidate();
          }
        }}
      />
    </Page>
  );
}
