import { Command } from 'cmdk';
import { Check, ChevronsUpDown } from 'lucide-react';
import { Popover } from 'radix-ui';
import { useState } from 'react';
import { useApi } from '@/api';
import './picker.css';

const SHOWN = 12;

export interface PersonPickerProps {
  /** Login; `undefined`: everybody. */
  value: string | undefined;
  /** Who looks: offered first. */
  login: string | undefined;
  onChange: (login: string | undefined) => void;
}

/** Whose usage is shown; for admins. */
export function PersonPicker({ value, login, onChange }: PersonPickerProps) {
  const [open, setOpen] = useState(false);
  const [query, setQuery] = useState('');
  const people = useApi(
    '/api/people',
    { query: { search: query.trim() || undefined, sort: 'last', limit: SHOWN } },
    { enabled: open },
  );
  const others = (people.data?.people ?? []).map(person => person.login).filter(name => name !== login);
  const choose = (chosen: string | undefined) => {
    setOpen(false);
    setQuery('');
    onChange(chosen);
  };
  const item = (name: string | undefined, text: string) => (
    <Command.Item key={name ?? ''} value={name ?? 'everybody'} onSelect={() => choose(name)}>
      <bdi>{text}</bdi>
      {name === value && <Check size={14} aria-label="Shown" />}
    </Command.Item>
  );
  return (
    <Popover.Root open={open} onOpenChange={setOpen}>
      <Popover.Trigger className="button picker" aria-label={`Usage of ${value ?? 'everybody'}`}>
        <bdi>{value === undefined ? 'Everybody' : value === login ? 'Only me' : value}</bdi>
        <ChevronsUpDown size={14} aria-hidden />
      </Popover.Trigger>
      <Popover.Portal>
        <Popover.Content className="picker-list" align="end" sideOffset={6} collisionPadding={8}>
          <Command shouldFilter={false} loop label="Usage of">
            <Command.Input value={query} onValueChange={setQuery} placeholder="Find a person" autoFocus />
            <Command.List>
              {query.trim() === '' && item(undefined, 'Everybody')}
              {query.trim() === '' && login !== undefined && item(login, `Only me (${login})`)}
              {others.map(name => item(name, name))}
              <Command.Empty>{people.isFetching ? 'Searching…' : 'Nobody is called that.'}</Command.Empty>
            </Command.List>
          </Command>
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}
