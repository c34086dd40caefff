import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { words } from './words.ts';

/** Whether a reason is asked for. When it is not any more, the button that asked for it has the focus again. */
export function useDenying() {
  const [isDenying, setDenying] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const was = useRef(false);
  useLayoutEffect(() => {
    if (was.current && !isDenying) button.current?.focus();
    was.current = isDenying;
  }, [isDenying]);
  return { isDenying, setDenying, button };
}

const MAX_REASON_CHARS = 500;

interface DenyFormProps {
  readonly isBusy: boolean;
  readonly onDeny: (why: string) => void;
  readonly onCancel: () => void;
}

/** Asks for a reason, and denies. */
export function DenyForm({ isBusy, onDeny, onCancel }: DenyFormProps) {
  const [why, setWhy] = useState('');
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        onDeny(why.trim());
      }}
      onKeyDown={(event) => {
        if (event.key === 'Escape') onCancel();
      }}
    >
      <label>
        {words.request.why}
        <input
          type="text"
          value={why}
          maxLength={MAX_REASON_CHARS}
          ref={field}
          onInput={(event) => setWhy(event.currentTarget.value)}
        />
      </label>
      <div class="actions">
        <button type="submit" class="danger" disabled={isBusy}>
          {words.request.denyNow}
        </button>
        <button type="button" class="quiet" onClick={onCancel}>
          {words.cancel}
        </button>
      </div>
    </form>
  );
}
