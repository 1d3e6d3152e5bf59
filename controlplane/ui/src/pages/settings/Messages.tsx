import type { Message } from './document/Editor';

const words = { error: 'Error', warning: 'Warning', notice: 'Notice' } as const;

/** What the gateway says of the document, each with its place, which can be gone to. */
export function Messages({
  messages,
  onGo,
}: {
  messages: readonly Message[];
  onGo?: (line: number) => void;
}) {
  if (messages.length === 0) return null;
  return (
    <ul className="config-messages">
      {messages.map(message => (
        <li
          key={`${message.line}:${message.column}:${message.text}`}
          className={`config-message-${message.severity}`}
        >
          {onGo === undefined ? (
            <span className="config-place">line {message.line}</span>
          ) : (
            <button type="button" className="link config-place" onClick={() => onGo(message.line)}>
              line {message.line}
            </button>
          )}
          <span>
            <strong>{words[message.severity]}:</strong> <bdi>{message.text}</bdi>
          </span>
        </li>
      ))}
    </ul>
  );
}
