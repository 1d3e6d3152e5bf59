import { useState } from 'react';
import type { ApiProblem } from '@/api';
import { Button, Dialog, toast } from '@/kit';
import { Editor } from './document/Editor';
import type { Draft } from './draft';
import { Messages } from './Messages';

/** Under the document: whether it can be used, and the way to put it into use, which shows the difference first. */
export function SaveBar({
  draft,
  reviewing,
  onReview,
}: {
  draft: Draft;
  reviewing: boolean;
  onReview: (open: boolean) => void;
}) {
  const [refused, setRefused] = useState<ApiProblem | null>(null);
  const { report, dirty } = draft;
  const wrong = report?.messages.filter(message => message.severity !== 'notice').length ?? 0;
  const save = async (replace = false) => {
    const problem = await draft.save(replace);
    setRefused(problem);
    if (problem === null) {
      onReview(false);
      toast({ title: 'The configuration is in use' });
    }
  };
  return (
    <div className="config-bar">
      <span role="status" className={wrong > 0 ? 'config-bad' : 'muted'}>
        {report === null
          ? 'Checking …'
          : wrong > 0
            ? `${wrong} ${wrong === 1 ? 'thing' : 'things'} to mend first`
            : dirty
              ? 'Valid, not saved yet'
              : 'In use'}
      </span>
      <div className="row">
        <Button tone="quiet" disabled={!dirty} onClick={draft.discard}>
          Discard changes
        </Button>
        <Button tone="primary" disabled={!dirty} onClick={() => onReview(true)}>
          Review and save
        </Button>
      </div>
      <Dialog
        open={reviewing}
        onOpenChange={open => {
          setRefused(null);
          onReview(open);
        }}
        size="wide"
        title="Review the change"
        description="What is removed is red, what is added green. It is put into use at once; requests under way keep what they began with."
        footer={
          <>
            <Button onClick={() => onReview(false)}>Go on editing</Button>
            {refused?.status === 412 && (
              <Button tone="danger" busy={draft.saving} onClick={() => void save(true)}>
                Replace what was saved meanwhile
              </Button>
            )}
            <Button
              tone="primary"
              busy={draft.saving}
              disabled={report === null || wrong > 0}
              onClick={() => void save()}
            >
              Save and use
            </Button>
          </>
        }
      >
        {refused !== null && (
          <div className="config-refused" role="alert">
            <strong>{refused.title}</strong> {refused.detail}
          </div>
        )}
        {draft.saved !== undefined && (
          <div className="config-diff">
            <Editor label="Difference" text={draft.text} before={draft.saved.text} />
          </div>
        )}
        {report !== null && <Messages messages={report.messages} />}
      </Dialog>
    </div>
  );
}
