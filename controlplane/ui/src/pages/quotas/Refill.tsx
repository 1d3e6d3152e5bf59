import { useEffect, useState } from 'react';
import { type Schema, useMutationApi } from '@/api';
import { Button, Dialog, Field, Input, toast } from '@/kit';
import { amount } from '@/kit/amounts';
import { refillAmount } from './figures';

/** Asks how much is to be added, and confirms what was. */
export function Refill({
  bucket,
  open,
  onOpenChange,
}: {
  bucket: Schema<'Bucket'>;
  open: boolean;
  onOpenChange: (open: boolean) => void;
}) {
  const [text, setText] = useState('');
  const [sure, setSure] = useState(false);
  const refill = useMutationApi('post', '/api/quotas/refill', {
    invalidates: ['/api/quotas', '/api/quotas/refills', '/api/quotas/{id}/history'],
    onSuccess: done => {
      onOpenChange(false);
      toast({
        title: `${amount(done.unit, done.added)} added`,
        text: `${done.bucket}: ${amount(done.unit, done.before)} before, ${amount(done.unit, done.after)} now`,
      });
    },
  });
  const { reset } = refill;
  useEffect(() => {
    setSure(false);
    if (!open) {
      setText('');
      reset();
    }
  }, [open, reset]);
  const read = refillAmount(text);
  const problem = 'problem' in read ? read.problem : null;
  const fill = () => {
    if ('problem' in read) return;
    refill.mutate({
      body: { bucket: bucket.bucket, quota: bucket.quota, unit: bucket.unit, amount: read.amount },
    });
  };
  const what =
    'amount' in read && read.amount !== null
      ? read.amount
      : `all that is missing, up to ${amount(bucket.unit, bucket.capacity)}`;
  return (
    <Dialog
      open={open}
      onOpenChange={onOpenChange}
      title="Refill"
      description={
        <>
          <bdi className="mono">{bucket.bucket}</bdi> holds {amount(bucket.unit, bucket.balance)} of{' '}
          {amount(bucket.unit, bucket.capacity)}. It is never filled above its ceiling. The refill goes on
          record with your name.
        </>
      }
      footer={
        sure ? (
          <>
            <Button onClick={() => setSure(false)}>Back</Button>
            <Button tone="primary" busy={refill.isPending} onClick={fill}>
              Yes, refill
            </Button>
          </>
        ) : (
          <>
            <Button onClick={() => onOpenChange(false)}>Cancel</Button>
            <Button tone="primary" disabled={problem !== null} onClick={() => setSure(true)}>
              Go on
            </Button>
          </>
        )
      }
    >
      {sure ? (
        <p>
          Add <strong>{what}</strong>?
        </p>
      ) : (
        <Field label="Amount" error={problem} hint="To the full, if nothing stands here.">
          {ids => (
            <Input
              {...ids}
              value={text}
              placeholder={bucket.unit === 'usd' ? '$5.00' : '100k'}
              onChange={event => setText(event.target.value)}
            />
          )}
        </Field>
      )}
      {refill.error !== null && (
        <div className="field-error" role="alert">
          {refill.error.detail || refill.error.title}
        </div>
      )}
    </Dialog>
  );
}
