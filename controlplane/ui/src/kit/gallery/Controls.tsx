import { Copy, Trash2 } from 'lucide-react';
import { useState } from 'react';
import {
  Button,
  Card,
  Combobox,
  ConfirmDialog,
  CopyButton,
  Dialog,
  Drawer,
  Field,
  FilterBar,
  IconButton,
  Input,
  Kbd,
  Menu,
  Select,
  Switch,
  Tabs,
  Tooltip,
  toast,
} from '@/kit';
import type { RangeSearch } from '../range';

interface Search extends RangeSearch {
  q?: string;
  status?: string;
  model?: string;
  mine?: boolean;
}

const models = ['gpt-5.5', 'gpt-5.5-mini', 'claude-opus-5', 'claude-sonnet-5', 'gemini-3-pro', 'qwen3-coder'];

const suggest = async (query: string) =>
  ['alice@example.com', 'bob@example.com', 'tag:ci']
    .filter(login => login.includes(query))
    .map(value => ({ value, hint: value.startsWith('tag:') ? 'device' : 'person' }));

export function Controls() {
  const [search, setSearch] = useState<Search>({ model: 'gpt-5.5' });
  const [tab, setTab] = useState<'one' | 'two'>('one');
  const [on, setOn] = useState(true);
  const [person, setPerson] = useState<string>();
  const [open, setOpen] = useState<'dialog' | 'confirm' | 'drawer'>();
  const close = () => setOpen(undefined);
  return (
    <>
      <FilterBar<Search>
        search={search}
        onChange={change => setSearch({ ...search, ...change })}
        filters={[
          { kind: 'text', name: 'q', label: 'Search' },
          { kind: 'combobox', name: 'model', label: 'Model', options: models.map(value => ({ value })) },
          {
            kind: 'select',
            name: 'status',
            label: 'Status',
            options: [
              { value: '2xx', label: 'Success' },
              { value: '5xx', label: 'Server error' },
            ],
          },
          { kind: 'flag', name: 'mine', label: 'Only mine' },
        ]}
        range={{ fallback: '7d' }}
      />
      <Card title="Buttons and menus">
        <div className="row">
          <Button>Default</Button>
          <Button tone="primary">Primary</Button>
          <Button tone="danger" icon={Trash2}>
            Danger
          </Button>
          <Button tone="quiet">Quiet</Button>
          <Button size="small">Small</Button>
          <Button busy>Busy</Button>
          <Button disabled>Disabled</Button>
          <IconButton label="Remove" icon={Trash2} />
          <CopyButton text="copied" />
          <Tooltip content="A short text about it">
            <Button>Tooltip</Button>
          </Tooltip>
          <Menu
            label="Actions of the gallery"
            items={[
              { label: 'Copy the id', icon: Copy, run: () => toast({ title: 'Copied' }) },
              { label: 'Overview', to: '/' },
              { label: 'Remove', icon: Trash2, danger: true, run: () => setOpen('confirm') },
              { label: 'Not now', disabled: true },
            ]}
          />
          <Kbd>Ctrl</Kbd>
          <Kbd>K</Kbd>
        </div>
      </Card>
      <Card title="Over the page">
        <div className="row">
          <Button onClick={() => setOpen('dialog')}>Dialog</Button>
          <Button onClick={() => setOpen('confirm')}>Confirm</Button>
          <Button onClick={() => setOpen('drawer')}>Drawer</Button>
          <Button
            onClick={() => toast({ title: 'The bucket is filled', text: 'alice@example.com has $20.00' })}
          >
            Toast
          </Button>
          <Button
            onClick={() =>
              toast({
                title: 'Nothing was saved',
                tone: 'bad',
                action: { label: 'Undo', run: () => undefined },
              })
            }
          >
            Bad toast
          </Button>
        </div>
      </Card>
      <Dialog
        open={open === 'dialog'}
        onOpenChange={close}
        title="Refill a bucket"
        description="It is put on record who did it."
        footer={<Button tone="primary">Refill</Button>}
      >
        <Field label="Amount" hint="In US dollars">
          {ids => <Input {...ids} inputMode="decimal" placeholder="20.00" />}
        </Field>
      </Dialog>
      <ConfirmDialog
        open={open === 'confirm'}
        onOpenChange={close}
        title="Revoke the token?"
        confirm="Revoke"
        tone="danger"
        typed="ci"
        onConfirm={close}
      >
        Programs that use it are refused at once.
      </ConfirmDialog>
      <Drawer open={open === 'drawer'} onOpenChange={close} title="openai" footer={<Button>Close</Button>}>
        Details of a row
      </Drawer>
      <Card title="Fields">
        <div className="split">
          <div className="stack">
            <Field label="Name" hint="As it stands in the list">
              {ids => <Input {...ids} defaultValue="ci" />}
            </Field>
            <Field label="Amount" error="Say a number above 0">
              {ids => <Input {...ids} defaultValue="-1" />}
            </Field>
          </div>
          <div className="stack">
            <Field label="Role">
              {ids => (
                <Select
                  {...ids}
                  options={[
                    { value: 'user', label: 'User' },
                    { value: 'admin', label: 'Admin' },
                  ]}
                />
              )}
            </Field>
            <Field label="Person">
              {ids => (
                <Combobox
                  id={ids.id}
                  label="Person"
                  value={person}
                  onChange={setPerson}
                  suggest={suggest}
                  free
                />
              )}
            </Field>
            <Switch label="Keep captures" checked={on} onChange={setOn} />
          </div>
        </div>
      </Card>
      <Tabs
        label="Views"
        value={tab}
        onChange={setTab}
        tabs={[
          { value: 'one', label: 'Sessions' },
          { value: 'two', label: 'Requests' },
        ]}
      >
        The view “{tab}”
      </Tabs>
    </>
  );
}
