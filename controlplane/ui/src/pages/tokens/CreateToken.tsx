import { useEffect, useState } from 'react';
import { type Schema, useMutationApi } from '@/api';
import { Button, Callout, Code, Dialog, Field, Input, Select } from '@/kit';

const DAY_S = 86_400;

const lengths = [
  { value: String(DAY_S), label: 'A day' },
  { value: String(30 * DAY_S), label: '30 days' },
  { value: String(90 * DAY_S), label: '90 days' },
  { value: String(365 * DAY_S), label: 'A year' },
];

/** Asks what a token is to be, and shows its secret once. */
export function CreateToken({
  open,
  onOpenChange,
  login,
  admin,
}: {
  open: boolean;
  onOpenChange: (open: boolean) => void;
  /** Of who makes it. */
  login: string;
  admin: boolean;
}) {
  const [name, setName] = useState('');
  const [whose, setWhose] = useState('');
  const [models, setModels] = useState('');
  const [role, setRole] = useState('');
  const [length, setLength] = useState(String(90 * DAY_S));
  const create = useMutationApi('post', '/api/tokens', { invalidates: ['/api/tokens'] });
  const { reset } = create;
  useEffect(() => {
    if (!open) {
      reset();
      setName('');
      setWhose('');
      setModels('');
      setRole('');
    }
  }, [open, reset]);
  const made = create.data as Schema<'NewToken'> | undefined;
  const list = (text: string) => text.split(/[\s,]+/).filter(word => word !== '');
  const submit = () => {
    const owner = whose.trim() === '' ? login : whose.trim();
    const tags = list(owner).filter(word => word.startsWith('tag:'));
    create.mutate({
      body: {
        name: name.trim(),
        ...(tags.length > 0 ? { tags } : { login: owner }),
        ...(models.trim() === '' ? {} : { models: list(models) }),
        ...(role === '' ? {} : { role: role as 'user' | 'admin' }),
        expires_in_s: Number(length),
      },
    });
  };
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title={made === undefined ? 'New token' : 'The token is made'}
      footer={
        made === undefined ? (
          <>
            <Button onClick={() => onOpenChange(false)}>Cancel</Button>
            <Button tone="primary" busy={create.isPending} onClick={submit}>
              Create token
            </Button>
          </>
        ) : (
          <Button tone="primary" onClick={() => onOpenChange(false)}>
            Done
          </Button>
        )
      }
    >
      {made === undefined ? (
        <form
          className="stack"
          onSubmit={event => {
            event.preventDefault();
            submit();
          }}
        >
          <Field label="Name" hint="For people: what it is for.">
            {ids => (
              <Input
                {...ids}
                value={name}
                placeholder="Nightly build"
                onChange={event => setName(event.target.value)}
              />
            )}
          </Field>
          {admin && (
            <Field
              label="Whose"
              hint="A login, or tags of a machine such as tag:ci. You, if nothing stands here."
            >
              {ids => (
                <Input
                  {...ids}
                  value={whose}
                  placeholder={login}
                  onChange={event => setWhose(event.target.value)}
                />
              )}
            </Field>
          )}
          <Field
            label="Limited to models"
            hint="Patterns over provider/model, with commas between. All that its owner is granted, if nothing stands here."
          >
            {ids => (
              <Input
                {...ids}
                value={models}
                placeholder="openai/gpt-*"
                onChange={event => setModels(event.target.value)}
              />
            )}
          </Field>
          {admin && (
            <Field label="Limited to the role">
              {ids => (
                <Select
                  {...ids}
                  value={role}
                  onChange={event => setRole(event.target.value)}
                  options={[
                    { value: '', label: 'Its owner’s' },
                    { value: 'user', label: 'user' },
                    { value: 'admin', label: 'admin' },
                  ]}
                />
              )}
            </Field>
          )}
          <Field label="Ends after">
            {ids => (
              <Select
                {...ids}
                value={length}
                onChange={event => setLength(event.target.value)}
                options={lengths}
              />
            )}
          </Field>
          {create.error !== null && (
            <div className="field-error" role="alert">
              {create.error.detail || create.error.title}
            </div>
          )}
          <button type="submit" className="visually-hidden" tabIndex={-1} aria-hidden>
            Create
          </button>
        </form>
      ) : (
        <div className="stack">
          <Callout tone="warn" title="Copy it now">
            It is shown this once: the gateway keeps only its hash.
          </Callout>
          <Code title="Token" text={made.token} />
          <Code
            title="How it is used"
            text={`curl ${window.location.origin}/v1/models -H "authorization: Bearer $SLUICE_TOKEN"`}
          />
        </div>
      )}
    </Dialog>
  );
}
