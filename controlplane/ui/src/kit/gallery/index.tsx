import { Download, RotateCw } from 'lucide-react';
import { Button, Page } from '@/kit';
import { Charts } from './Charts';
import { Controls } from './Controls';
import { Figures } from './Figures';
import { States } from './States';
import { Tables } from './Tables';

/** Every component in its states. The dev server has it at /ui/gallery; it is not part of what is built. */
export default function Gallery() {
  return (
    <Page
      title="Gallery"
      description="Every component in its states, to look at while a page is written. The sources beside this page are the examples."
      actions={
        <>
          <Button icon={RotateCw}>Refresh</Button>
          <Button tone="primary" icon={Download}>
            Primary
          </Button>
        </>
      }
    >
      <Controls />
      <Figures />
      <Charts />
      <Tables />
      <States />
    </Page>
  );
}
