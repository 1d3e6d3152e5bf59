import { useNavigate } from '@tanstack/react-router';
import { Command } from 'cmdk';
import { FileText, Keyboard, Layers, Monitor, Moon, Sun } from 'lucide-react';
import { Dialog } from 'radix-ui';
import { useEffect, useState } from 'react';
import { useIsAdmin } from '@/api';
import { Text } from '@/kit/Text';
import { toast } from '@/kit/Toast';
import { focusBefore, takeEarly } from './early';
import { found } from './found';
import { navFor } from './nav';
import { setOverlay } from './overlays';
import { type PaletteItem, paletteSources } from './palette-sources';
import { setTheme } from './theme';

interface Group {
  id: string;
  label: string;
  items: readonly PaletteItem[];
}

/** What ids of requests and sessions look like. */
const ID = /^[0-9a-f]{32}$/i;

/** Items for a text that is an id: nothing has to be asked for these. */
function byId(query: string): readonly PaletteItem[] {
  const id = query.trim().toLowerCase();
  if (!ID.test(id)) return [];
  return [
    { id: 'request', label: `Request ${id}`, icon: FileText, to: '/requests/$id', params: { id } },
    { id: 'session', label: `Session ${id}`, icon: Layers, to: '/sessions/$id', params: { id } },
  ];
}

const ACTIONS: readonly PaletteItem[] = [
  { id: 'light', label: 'Light theme', icon: Sun, words: 'colour appearance', run: () => setTheme('light') },
  { id: 'dark', label: 'Dark theme', icon: Moon, words: 'colour appearance', run: () => setTheme('dark') },
  {
    id: 'system',
    label: "System's theme",
    icon: Monitor,
    words: 'colour appearance',
    run: () => setTheme('system'),
  },
  {
    id: 'link',
    label: 'Copy a link to this page',
    words: 'url address share',
    icon: FileText,
    run: () => {
      void navigator.clipboard
        .writeText(window.location.href)
        .then(() => toast({ title: 'The link is copied' }))
        .catch(() => toast({ title: 'The browser did not let the link be copied', tone: 'bad' }));
    },
  },
  { id: 'keys', label: 'Keyboard shortcuts', icon: Keyboard, words: 'help', run: () => setOverlay('keys') },
];

/** How well an item fits: words of its label count more than others, their beginnings more than their middles. */
function weight({ label, words = '' }: PaletteItem, query: string): number {
  const needle = query.toLowerCase();
  const name = label.toLowerCase();
  if (name.startsWith(needle)) return 4;
  if (name.includes(` ${needle}`)) return 3;
  if (` ${words}`.includes(` ${needle}`)) return 2;
  return needle.length > 2 && name.includes(needle) ? 1 : 0;
}

/** Those that match, best first; all of them for no text. */
function matching(items: readonly PaletteItem[], query: string): readonly PaletteItem[] {
  if (query === '') return items;
  return items
    .map(item => ({ item, score: weight(item, query) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score)
    .map(({ item }) => item);
}

/** What the registered sources find, after a pause of typing. */
function useFound(query: string): { groups: readonly Group[]; searching: boolean } {
  const [result, setResult] = useState<{ query: string; groups: readonly Group[] }>({
    query: '',
    groups: [],
  });
  useEffect(() => {
    if (query === '') return;
    const control = new AbortController();
    const timer = setTimeout(async () => {
      const groups = await Promise.all(
        [found, ...paletteSources()].map(async ({ id, label, search }) => ({
          id,
          label,
          // One source that fails leaves the others their places.
          items: await Promise.resolve()
            .then(() => search(query, control.signal))
            .catch(() => []),
        })),
      );
      if (!control.signal.aborted) setResult({ query, groups });
    }, 120);
    return () => {
      control.abort();
      clearTimeout(timer);
    };
  }, [query]);
  return {
    groups: query === '' ? [] : result.groups,
    searching: query !== '' && result.query !== query,
  };
}

/** `onReady`: the field has the focus, and what was typed before. */
export default function Palette({ onReady }: { onReady: () => void }) {
  const [text, setText] = useState('');
  const query = text.trim();
  const navigate = useNavigate();
  const admin = useIsAdmin() === true;
  const { groups, searching } = useFound(query);

  const pages: PaletteItem[] = navFor(admin)
    .flatMap(group => group.items)
    .map(item => ({
      id: item.to,
      label: item.label,
      icon: item.icon,
      words: item.words,
      to: item.to,
      hint: `g ${item.letter}`,
    }));
  const all: readonly Group[] = [
    {
      id: 'ids',
      label: 'Open',
      items: groups.some(group =>
        group.items.some(item => item.id.startsWith('r:') || item.id.startsWith('s:')),
      )
        ? []
        : byId(query),
    },
    { id: 'pages', label: 'Pages', items: matching(pages, query) },
    ...groups,
    { id: 'actions', label: 'Actions', items: matching(ACTIONS, query) },
  ].filter(group => group.items.length > 0);

  const choose = (item: PaletteItem) => {
    setOverlay(null);
    if (item.to !== undefined) {
      void navigate({ to: item.to, params: item.params, search: item.search } as never);
    }
    item.run?.();
  };

  return (
    <Dialog.Root open onOpenChange={() => setOverlay(null)}>
      <Dialog.Portal>
        <Dialog.Overlay className="scrim" />
        <Dialog.Content
          className="palette"
          aria-describedby={undefined}
          onCloseAutoFocus={event => {
            event.preventDefault();
            const before = focusBefore();
            if (before instanceof HTMLElement) before.focus({ preventScroll: true });
          }}
        >
          <Dialog.Title className="visually-hidden">Go to</Dialog.Title>
          <Command shouldFilter={false} loop label="Go to">
            <Command.Input
              value={text}
              onValueChange={setText}
              placeholder="A page, model, person, or an id"
              autoFocus
              onFocus={() => {
                // In the same moment in which keys begin to arrive here: none falls between the two fields.
                const early = takeEarly();
                if (early !== '') setText(early);
                onReady();
              }}
            />
            <Command.List>
              <Command.Empty>{searching ? 'Searching…' : 'Nothing is called that.'}</Command.Empty>
              {all.map(group => (
                <Command.Group key={group.id} heading={group.label}>
                  {group.items.map(item => (
                    <Command.Item
                      key={item.id}
                      value={`${group.id}:${item.id}`}
                      onSelect={() => choose(item)}
                    >
                      {item.icon !== undefined && <item.icon size={16} aria-hidden />}
                      <span className="palette-text">
                        <Text text={item.label} clamp={160} />
                      </span>
                      {item.hint !== undefined && <span className="palette-hint">{item.hint}</span>}
                    </Command.Item>
                  ))}
                </Command.Group>
              ))}
            </Command.List>
          </Command>
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}
