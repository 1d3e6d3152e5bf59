import { useMe } from '@/api';
import { Page, TimeRangePicker } from '@/kit';
import { useTimeRange } from '@/kit/range';
import { useSearchState } from '@/kit/search';
import { PersonPicker } from '../overview/PersonPicker';
import { Calls } from './Calls';
import type { Search } from './search';
import { Tools } from './Tools';
import './tools.css';

/** Which tools models call, how often, for whom; and the calls of one tool. */
export default function ToolUsePage() {
  const [search, set] = useSearchState<Search>();
  const me = useMe();
  const admin = me.data?.role === 'admin';
  const span = useTimeRange(search, '7d');
  const user = admin ? search.user : undefined;
  return (
    <Page
      title="Tool use"
      description={`Tools that models asked for${admin ? '' : ' in your calls'}, as captured answers have them.`}
      actions={
        <>
          {admin && (
            <PersonPicker value={user} login={me.data?.login} onChange={person => set({ user: person })} />
          )}
          <TimeRangePicker
            value={search}
            onChange={set}
            fallback="7d"
            ranges={['24h', '7d', '30d', '90d', 'custom']}
          />
        </>
      }
    >
      {search.name === undefined ? (
        <Tools
          span={span}
          user={user}
          admin={admin}
          captures={me.data?.features.captures}
          kind={search.kind}
          onKind={kind => set({ kind })}
          onOpen={name => set({ name })}
        />
      ) : (
        <Calls
          name={search.name}
          span={span}
          user={user}
          model={search.model}
          admin={admin}
          onModel={model => set({ model })}
          onClose={() => set({ name: undefined, model: undefined })}
        />
      )}
    </Page>
  );
}
