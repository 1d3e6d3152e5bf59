import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { type ApiProblem, asProblem, fetchApi, useApi } from '@/api';
import type { Message } from './document/Editor';

/** Milliseconds without a change before the gateway is asked about the document. */
const PAUSE = 350;

export interface Draft {
  /** The document in use, keys redacted; `undefined` while it is fetched. */
  saved: { text: string; etag: string; version: number; source: string } | undefined;
  problem: ApiProblem | null;
  refetch: () => void;
  /** The document as it is being written. */
  text: string;
  change: (text: string) => void;
  dirty: boolean;
  /** What the gateway says of it; `null` while it is asked. */
  report: { valid: boolean; summary: string | null; messages: Message[] } | null;
  /** Puts it into use. `replace`: whatever was saved meanwhile. */
  save: (replace?: boolean) => Promise<ApiProblem | null>;
  saving: boolean;
  /** Back to what is in use. */
  discard: () => void;
}

/** The configuration document while somebody works on it. */
export function useDraft(): Draft {
  const query = useApi('/aperture/config', {}, { staleTime: 60_000 });
  const cache = useQueryClient();
  const [base, setBase] = useState<Draft['saved']>(undefined);
  const [text, setText] = useState('');
  const [saving, setSaving] = useState(false);
  const found = query.data;
  const dirty = base !== undefined && text !== base.text;

  useEffect(() => {
    // What somebody is writing is not taken away when the document in use changes: saving it says so.
    if (found === undefined || dirty || found.etag === base?.etag) return;
    setBase({ text: found.config, etag: found.etag, version: found.version, source: found.source });
    setText(found.config);
  }, [found, dirty, base]);

  const report = useReport(text, base !== undefined);

  const take = async (): Promise<void> => {
    const now = await fetchApi('get', '/aperture/config');
    cache.setQueryData(['/aperture/config', {}], now);
    setBase({ text: now.config, etag: now.etag, version: now.version, source: now.source });
    setText(now.config);
    for (const path of [
      '/api/config/history',
      '/api/health',
      '/api/me',
      '/api/quotas',
      '/api/providers',
      '/api/models',
    ]) {
      void cache.invalidateQueries({ queryKey: [path] });
    }
  };

  return {
    saved: base,
    problem: query.error,
    refetch: () => void query.refetch(),
    text,
    change: setText,
    dirty,
    report,
    saving,
    async save(replace = false) {
      if (base === undefined) return null;
      setSaving(true);
      try {
        await fetchApi('put', '/aperture/config', {
          header: { 'If-Match': replace ? '*' : base.etag },
          body: { config: text },
        });
        await take();
        return null;
      } catch (error) {
        return asProblem(error);
      } finally {
        setSaving(false);
      }
    },
    discard: () => setText(base?.text ?? ''),
  };
}

/** What the gateway says of a text, once it has not changed for a moment. */
function useReport(text: string, ready: boolean): Draft['report'] {
  const [report, setReport] = useState<Draft['report']>(null);
  const asked = useRef('');
  useEffect(() => {
    if (!ready) return;
    asked.current = text;
    setReport(null);
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const answer = await fetchApi(
          'post',
          '/aperture/config:validate',
          { body: { config: text } },
          { signal: stop.signal },
        );
        if (asked.current === text) setReport(answer as NonNullable<Draft['report']>);
      } catch {
        // Saving says what is wrong; until then nothing is said instead of something that is not so.
      }
    }, PAUSE);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [text, ready]);
  return report;
}
