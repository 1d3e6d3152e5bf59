/** An answer of the API that is not the one asked for: `application/problem+json` (RFC 9457), or no answer at all. */
export class ApiProblem extends Error {
  readonly name = 'ApiProblem';

  constructor(
    /** HTTP status; 0 if no answer came. */
    readonly status: number,
    /** How programs tell problems apart: the last part of the problem's `type`, or `network`. */
    readonly code: string,
    readonly title: string,
    readonly detail: string,
    /** Further members of the problem, such as `messages` of an invalid configuration. */
    readonly more: Readonly<Record<string, unknown>> = {},
    /** Seconds after which to ask again, if the answer said so. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail || title);
  }

  /** Asking again may help, without anybody doing anything. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Any thrown value as a problem. */
export function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  if (error instanceof TypeError) {
    return new ApiProblem(0, 'network', 'The gateway does not answer', 'No answer came from the gateway.');
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new ApiProblem(-1, 'page', 'This page failed', detail);
}

/** Reads the problem out of an answer. */
export async function problemOf(response: Response): Promise<ApiProblem> {
  const retry = Number.parseInt(response.headers.get('retry-after') ?? '', 10);
  const retryAfter = Number.isFinite(retry) ? retry : null;
  const text = await response.text().catch(() => '');
  return parseProblem(response.status, response.headers.get('content-type') ?? '', text, retryAfter);
}

/** The problem that a body states; a plain text is its detail. */
export function parseProblem(
  status: number,
  contentType: string,
  text: string,
  retryAfter: number | null,
): ApiProblem {
  if (contentType.includes('json')) {
    try {
      const body: unknown = JSON.parse(text);
      if (typeof body === 'object' && body !== null) {
        const { type, title, detail, status: _, ...more } = body as Record<string, unknown>;
        const code = typeof type === 'string' ? (type.split(/[:/]/).pop() ?? '') : '';
        return new ApiProblem(
          status,
          code || `http-${status}`,
          typeof title === 'string' ? title : `Status ${status}`,
          typeof detail === 'string' ? detail : '',
          more,
          retryAfter,
        );
      }
    } catch {
      // Not JSON in spite of what it says: shown as text.
    }
  }
  return new ApiProblem(status, `http-${status}`, `Status ${status}`, text.slice(0, 2000), {}, retryAfter);
}
