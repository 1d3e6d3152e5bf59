import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { nameOf, segment } from '@/api/segment';
import { parseSearch, stringifySearch } from '@/kit/search';
import { search as adoption } from '@/pages/adoption/search';
import { search as audit } from '@/pages/audit/search';
import { search as connect } from '@/pages/connect/search';
import { search as guardrails } from '@/pages/guardrails/search';
import { search as logs } from '@/pages/logs/search';
import { search as modelSearch } from '@/pages/model/search';
import { search as modelsSearch } from '@/pages/models/search';
import { search as overview } from '@/pages/overview/search';
import { search as people } from '@/pages/people/search';
import { search as person } from '@/pages/person/search';
import { search as providers } from '@/pages/providers/search';
import { search as quotas } from '@/pages/quotas/search';
import { search as request } from '@/pages/request/search';
import { search as session } from '@/pages/session/search';
import { search as settings } from '@/pages/settings/search';
import { search as tokens } from '@/pages/tokens/search';
import { search as tools } from '@/pages/tools/search';
import { NotFound } from '@/shell/NotFound';
import { PageError } from '@/shell/PageError';
import { PagePending } from '@/shell/PagePending';
import { Shell } from '@/shell/Shell';

// Every page is a chunk of its own. What its address may say is in `search.ts` beside it and belongs to the first load, so that links are checked.
const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });
const at = <const P extends string>(path: P) => ({ getParentRoute: () => root, path }) as const;

// Nested, as the rest of a path may be empty: beside each other, `/models/$` would take `/models` as well.
const modelsRoot = createRoute(at('/models'));
const models = modelsRoot.addChildren([
  createRoute({
    getParentRoute: () => modelsRoot,
    path: '/',
    validateSearch: modelsSearch,
    component: lazyRouteComponent(() => import('@/pages/models')),
  }),
  createRoute({
    getParentRoute: () => modelsRoot,
    path: '$',
    validateSearch: modelSearch,
    component: lazyRouteComponent(() => import('@/pages/model')),
  }),
]);

const pages = root.addChildren([
  createRoute({
    ...at('/'),
    validateSearch: overview,
    component: lazyRouteComponent(() => import('@/pages/overview')),
  }),
  createRoute({
    ...at('/logs'),
    validateSearch: logs,
    component: lazyRouteComponent(() => import('@/pages/logs')),
  }),
  createRoute({
    ...at('/sessions/$id'),
    validateSearch: session,
    component: lazyRouteComponent(() => import('@/pages/session')),
  }),
  createRoute({
    ...at('/requests/$id'),
    validateSearch: request,
    component: lazyRouteComponent(() => import('@/pages/request')),
  }),
  createRoute({
    ...at('/tools'),
    validateSearch: tools,
    component: lazyRouteComponent(() => import('@/pages/tools')),
  }),
  createRoute({
    ...at('/adoption'),
    validateSearch: adoption,
    component: lazyRouteComponent(() => import('@/pages/adoption')),
  }),
  models,
  createRoute({
    ...at('/providers'),
    validateSearch: providers,
    component: lazyRouteComponent(() => import('@/pages/providers')),
  }),
  createRoute({
    ...at('/quotas'),
    validateSearch: quotas,
    component: lazyRouteComponent(() => import('@/pages/quotas')),
  }),
  createRoute({
    ...at('/guardrails'),
    validateSearch: guardrails,
    component: lazyRouteComponent(() => import('@/pages/guardrails')),
  }),
  createRoute({
    ...at('/people'),
    validateSearch: people,
    component: lazyRouteComponent(() => import('@/pages/people')),
  }),
  createRoute({
    ...at('/people/$login'),
    params: {
      parse: ({ login }) => ({ login: nameOf(login) }),
      stringify: ({ login }) => ({ login: segment(login) }),
    },
    validateSearch: person,
    component: lazyRouteComponent(() => import('@/pages/person')),
  }),
  createRoute({
    ...at('/tokens'),
    validateSearch: tokens,
    component: lazyRouteComponent(() => import('@/pages/tokens')),
  }),
  createRoute({
    ...at('/audit'),
    validateSearch: audit,
    component: lazyRouteComponent(() => import('@/pages/audit')),
  }),
  createRoute({
    ...at('/settings'),
    validateSearch: settings,
    component: lazyRouteComponent(() => import('@/pages/settings')),
  }),
  createRoute({
    ...at('/connect'),
    validateSearch: connect,
    component: lazyRouteComponent(() => import('@/pages/connect')),
  }),
  ...(import.meta.env.DEV
    ? [createRoute({ ...at('/gallery'), component: lazyRouteComponent(() => import('@/kit/gallery')) })]
    : []),
]);

export const router = createRouter({
  routeTree: pages,
  basepath: '/ui',
  parseSearch,
  stringifySearch,
  defaultPreload: 'intent',
  defaultPreloadStaleTime: 0,
  scrollRestoration: true,
  defaultErrorComponent: PageError,
  defaultPendingComponent: PagePending,
  defaultPendingMs: 150,
  defaultNotFoundComponent: NotFound,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
