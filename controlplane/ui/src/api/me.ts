import { useApi } from './hooks';
import type { Schema } from './types';

export type Me = Schema<'Me'>;

/** Who the gateway takes the viewer for. Asked once, and again when the window is looked at. */
export function useMe() {
  return useApi('/api/me', undefined, { staleTime: 60_000 });
}

/** Whether the viewer is an admin; `undefined` while that is not known. */
export function useIsAdmin(): boolean | undefined {
  const { data } = useMe();
  return data === undefined ? undefined : data.role === 'admin';
}
