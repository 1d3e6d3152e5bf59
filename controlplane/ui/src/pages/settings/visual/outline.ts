// What an entry of the document says in one line, for as long as it is closed.

/** Keys that tell entries apart, in the order in which they are told. */
const TELLING = [
  'name',
  'src',
  'baseurl',
  'url',
  'address',
  'bucket',
  'match',
  'cidr',
  'issuer',
  'capacity',
  'rate',
  'on',
  'action',
  'kind',
  'role',
  'model',
];
const SHOWN = 3;
const LONG = 60;

const short = (text: string): string => (text.length > LONG ? `${text.slice(0, LONG - 1)}…` : text);

const singular = (key: string): string => key.replace(/ies$/, 'y').replace(/s$/, '');

/** `OpenAI · https://api.openai.com/v1 · 4 models`: what tells it from others, and how many parts its lists have. */
export function outline(entry: unknown): string {
  if (entry === null || typeof entry !== 'object') return entry === undefined ? '' : short(String(entry));
  if (Array.isArray(entry)) return `${entry.length} ${entry.length === 1 ? 'entry' : 'entries'}`;
  const of = entry as Record<string, unknown>;
  const told = TELLING.flatMap(key => {
    const value = of[key];
    if (typeof value === 'string' && value !== '') return [short(value)];
    return Array.isArray(value) && value.length > 0 && value.every(one => typeof one === 'string')
      ? [short(value.join(', '))]
      : [];
  });
  const counted = Object.entries(of).flatMap(([key, value]) =>
    Array.isArray(value) && !TELLING.includes(key)
      ? [`${value.length} ${value.length === 1 ? singular(key) : key}`]
      : [],
  );
  return [...told.slice(0, SHOWN), ...counted.slice(0, SHOWN)].join(' · ');
}
