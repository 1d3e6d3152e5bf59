import type { ApiProblem } from '@/api/problem';

/** What somebody who sees this problem can do, where the problem does not say it. */
export function adviceFor(problem: ApiProblem): string {
  switch (problem.status) {
    case 0:
      return 'Check that the gateway runs and that this machine reaches it; then try again.';
    case -1:
      return 'Try again. If it stays, it is a fault of the dashboard: please report it with the text above.';
    case 401:
      return 'Load the page again, so that the gateway asks who you are.';
    case 403:
      return problem.code === 'no-role'
        ? 'Ask whoever runs this gateway to grant you a role.'
        : 'Ask whoever runs this gateway, if you need it.';
    case 404:
      return 'It may have been removed, be older than what is kept, or belong to somebody else.';
    case 429:
      return problem.retryAfter === null
        ? 'Wait a moment, then try again.'
        : `Wait ${problem.retryAfter} s, then try again.`;
    case 503:
      return 'The store or the control plane is busy or down; usage is kept meanwhile. Try again in a moment.';
    default:
      return problem.status >= 500
        ? 'This is a fault of the gateway; its log says more.'
        : 'Change the filters or the input and try again.';
  }
}
