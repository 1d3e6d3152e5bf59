import createClient, { type Middleware } from 'openapi-fetch';
import type { paths } from '#schema';
import { problemOf } from './problem';
import { filled } from './segment';

/** Answers with an error status become thrown problems, so that callers see data or an `ApiProblem`. */
const problems: Middleware = {
  async onResponse({ response }) {
    if (!response.ok && response.status !== 304) throw await problemOf(response);
  },
};

/** Lists as repeated parameters; what is not said is left out. */
function query(parameters: Record<string, unknown>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined && item !== null && item !== '') search.append(name, String(item));
    }
  }
  return search.toString();
}

/** The typed client of the admin API. Pages use the hooks of `api/hooks`. */
export const client = createClient<paths>({
  baseUrl: window.location.origin,
  querySerializer: query,
  pathSerializer: filled,
});
client.use(problems);

export { query as serializeQuery };
