import {
  Activity,
  BadgeDollarSign,
  Boxes,
  ChartNoAxesColumn,
  KeyRound,
  LayoutDashboard,
  type LucideIcon,
  Plug,
  ScrollText,
  Server,
  Settings,
  ShieldCheck,
  Users,
  Wrench,
} from 'lucide-react';

export interface NavItem {
  to:
    | '/'
    | '/logs'
    | '/tools'
    | '/adoption'
    | '/models'
    | '/providers'
    | '/quotas'
    | '/guardrails'
    | '/people'
    | '/tokens'
    | '/audit'
    | '/settings'
    | '/connect';
  label: string;
  icon: LucideIcon;
  /** Pressed after `g`. */
  letter: string;
  /** Shown to admins only; the gateway refuses everybody else anyway. */
  admin?: boolean;
  /** Other words that the palette finds it by. */
  words?: string;
}

export interface NavGroup {
  label: string | null;
  items: readonly NavItem[];
}

export const NAV: readonly NavGroup[] = [
  {
    label: null,
    items: [
      { to: '/', label: 'Overview', icon: LayoutDashboard, letter: 'o', words: 'home dashboard spend' },
    ],
  },
  {
    label: 'Activity',
    items: [
      {
        to: '/logs',
        label: 'Logs',
        icon: ScrollText,
        letter: 'l',
        words: 'sessions requests captures live tail',
      },
      { to: '/tools', label: 'Tool use', icon: Wrench, letter: 't', words: 'mcp functions calls' },
      {
        to: '/adoption',
        label: 'Adoption',
        icon: ChartNoAxesColumn,
        letter: 'a',
        admin: true,
        words: 'active users',
      },
    ],
  },
  {
    label: 'Gateway',
    items: [
      { to: '/models', label: 'Models', icon: Boxes, letter: 'm', words: 'prices endpoints' },
      {
        to: '/providers',
        label: 'Providers',
        icon: Server,
        letter: 'p',
        words: 'health latency errors upstream',
      },
      {
        to: '/quotas',
        label: 'Quotas',
        icon: BadgeDollarSign,
        letter: 'q',
        words: 'budgets buckets refill balance',
      },
      {
        to: '/guardrails',
        label: 'Guardrails',
        icon: ShieldCheck,
        letter: 'r',
        admin: true,
        words: 'rules secrets redact block',
      },
    ],
  },
  {
    label: 'Organisation',
    items: [
      {
        to: '/people',
        label: 'People',
        icon: Users,
        letter: 'u',
        admin: true,
        words: 'users grants principals',
      },
      { to: '/tokens', label: 'Tokens', icon: KeyRound, letter: 'k', words: 'credentials keys' },
      {
        to: '/audit',
        label: 'Audit',
        icon: Activity,
        letter: 'd',
        admin: true,
        words: 'trail changes administrators',
      },
    ],
  },
  {
    label: null,
    items: [
      {
        to: '/settings',
        label: 'Settings',
        icon: Settings,
        letter: 's',
        admin: true,
        words: 'configuration document history rollback',
      },
      {
        to: '/connect',
        label: 'Connect',
        icon: Plug,
        letter: 'c',
        words: 'setup claude code codex gemini cursor sdk client',
      },
    ],
  },
];

/** The groups that a role sees. */
export function navFor(admin: boolean): readonly NavGroup[] {
  return NAV.map(group => ({
    ...group,
    items: group.items.filter(item => admin || item.admin !== true),
  })).filter(group => group.items.length > 0);
}
