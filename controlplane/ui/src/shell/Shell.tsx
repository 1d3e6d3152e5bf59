import { Outlet, useRouterState } from '@tanstack/react-router';
import { Menu, Search } from 'lucide-react';
import { Dialog } from 'radix-ui';
import { lazy, Suspense, useCallback, useEffect, useRef, useState } from 'react';
import { Toaster } from '@/kit/Toast';
import { EarlyPalette } from './EarlyPalette';
import { openPalette, setOverlay, useOverlay } from './overlays';
import { Brand, Sidebar } from './Sidebar';
import { useShortcuts } from './shortcuts';

const Palette = lazy(() => import('./Palette'));
const KeyboardHelp = lazy(() => import('./KeyboardHelp'));

/** What stands around every page. */
export function Shell() {
  const overlay = useOverlay();
  const path = useRouterState({ select: state => state.location.pathname });
  const loading = useRouterState({ select: state => state.status === 'pending' });
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  useShortcuts();

  // biome-ignore lint/correctness/useExhaustiveDependencies: another page closes what lies over it, and its text is what a screen reader goes on with
  useEffect(() => {
    setOverlay(null);
    if (first.current) first.current = false;
    else main.current?.focus({ preventScroll: true });
  }, [path]);

  return (
    <>
      <a href="#main" className="shell-skip">
        Skip to the page
      </a>
      {loading && <div className="shell-progress" />}
      <div className="shell">
        <header className="shell-bar">
          <button
            type="button"
            className="icon-button"
            aria-label="Open the navigation"
            onClick={() => setOverlay('nav')}
          >
            <Menu size={19} aria-hidden />
          </button>
          <Brand />
          <button type="button" className="icon-button" aria-label="Go to a page" onClick={openPalette}>
            <Search size={18} aria-hidden />
          </button>
        </header>
        <Sidebar />
        <main id="main" ref={main} className="shell-main" tabIndex={-1}>
          <Outlet />
        </main>
      </div>
      <Dialog.Root open={overlay === 'nav'} onOpenChange={open => setOverlay(open ? 'nav' : null)}>
        <Dialog.Portal>
          <Dialog.Overlay className="scrim" />
          <Dialog.Content className="shell-drawer" aria-describedby={undefined}>
            <Dialog.Title className="visually-hidden">Navigation</Dialog.Title>
            <Sidebar />
          </Dialog.Content>
        </Dialog.Portal>
      </Dialog.Root>
      {overlay === 'palette' && <PaletteSoon />}
      <Suspense fallback={null}>{overlay === 'keys' && <KeyboardHelp />}</Suspense>
      <Toaster />
    </>
  );
}

/** The palette, and its early field until it has taken over. */
function PaletteSoon() {
  const [ready, setReady] = useState(false);
  const onReady = useCallback(() => setReady(true), []);
  return (
    <>
      {!ready && <EarlyPalette />}
      <Suspense fallback={null}>
        <Palette onReady={onReady} />
      </Suspense>
    </>
  );
}
