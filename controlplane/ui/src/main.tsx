import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiProblem } from '@/api';
import { adoptNonce } from '@/shell/nonce';
import { router } from './router';
import '@/styles/index.css';

adoptNonce();

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      // What passes by itself is tried again; a refusal is not.
      retry: (failures, error) =>
        failures < 2 && error instanceof ApiProblem && error.passing && error.status !== 429,
      retryDelay: attempt => Math.min(500 * 2 ** attempt, 5000),
    },
  },
});

const element = document.getElementById('root');
if (element !== null) {
  createRoot(element).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </StrictMode>,
  );
}
