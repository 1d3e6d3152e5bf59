import { Box, FileText, Layers, User, Wrench } from 'lucide-react';
import { fetchApi } from '@/api';
import type { PaletteItem, PaletteSource } from './palette-sources';

/** What the gateway finds: people, models, sessions, requests and tools of whom the viewer may see. */
export const found: PaletteSource = {
  id: 'found',
  label: 'Found',
  async search(query, signal) {
    const answer = await fetchApi('get', '/api/search', { query: { q: query } }, { signal });
    const items: PaletteItem[] = [];
    for (const login of answer.people) {
      items.push({
        id: `u:${login}`,
        label: login,
        hint: 'person',
        icon: User,
        to: '/people/$login',
        params: { login },
      });
    }
    for (const model of answer.models) {
      items.push({
        id: `m:${model}`,
        label: model,
        hint: 'model',
        icon: Box,
        to: '/models/$',
        params: { _splat: model },
      });
    }
    for (const { id, key } of answer.sessions) {
      items.push({
        id: `s:${id}`,
        label: key,
        hint: 'session',
        icon: Layers,
        to: '/sessions/$id',
        params: { id },
      });
    }
    for (const id of answer.requests) {
      items.push({
        id: `r:${id}`,
        label: id,
        hint: 'request',
        icon: FileText,
        to: '/requests/$id',
        params: { id },
      });
    }
    for (const tool of answer.tools) {
      items.push({
        id: `t:${tool}`,
        label: tool,
        hint: 'tool',
        icon: Wrench,
        to: '/tools',
        search: { q: tool },
      });
    }
    return items;
  },
};
