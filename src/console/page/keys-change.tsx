import { useEffect, useState } from 'preact/hooks';
import { canonical } from '../../lib/canonical.ts';
import { visibleLine } from '../../lib/visible.ts';
import { fingerprintOf, fromBase64url, listDigest, type PinnedPasskey } from '../order.ts';
import type { ChangeOfKeys } from '../shown-servers.ts';
import { Fault, useOrder, useScreen } from './parts.tsx';
import { words } from './words.ts';

/** Says that servers do not know a change of the console's passkeys, and signs it for them. */
export function KeysNotice() {
  const { fleet, person } = useScreen();
  const { keys = null } = fleet ?? {};
  if (keys === null) return null;
  return (
    <section class="notice" aria-label={words.fleet.keysTitle}>
      <h2>{words.fleet.keysTitle}</h2>
      <p>{words.fleet.keysText}</p>
      {person?.passkey === true && <Change keys={keys} />}
    </section>
  );
}

/**
 * All that servers will know, for a person to compare: a console that was taken over can show a passkey of its own. What is
 * signed is what was shown first; what comes later is shown when the person asks for it.
 */
function Change({ keys: latest }: { keys: ChangeOfKeys }) {
  const { isBusy, fault, send } = useOrder();
  const [keys, show] = useState(latest);
  const isOld = canonical(keys) !== canonical(latest);
  const { hub, count, known, now } = keys;
  const has = ({ passkeys }: ChangeOfKeys['now'], { id, public_key }: PinnedPasskey): boolean =>
    passkeys.some((one) => one.id === id && one.public_key === public_key);
  const gone = known.passkeys.filter((one) => !has(now, one));
  const { fleet: text } = words;
  const sign = async (): Promise<void> => {
    const previous = await listDigest(known);
    const { origin, rp_id, passkeys } = now;
    await send({ kind: 'keys', hub, count: count + 1, previous, origin, rp_id, passkeys });
  };
  return (
    <>
      <ul class="findings">
        {now.passkeys.map((one) => (
          <PasskeyItem key={one.id} one={one} what={has(known, one) ? text.keyKnown : text.keyNew} />
        ))}
        {gone.map((one) => (
          <PasskeyItem key={one.id} one={one} what={text.keyGone} />
        ))}
      </ul>
      {now.origin !== known.origin && <p>{text.keysOrigin(visibleLine(now.origin))}</p>}
      <p>
        {text.keysCompare} <code>sudo agent3 console list</code>
      </p>
      <Fault text={fault} />
      <div class="actions">
        {isOld ? (
          <button type="button" onClick={() => show(latest)}>
            {text.keysShow}
          </button>
        ) : (
          <button type="button" disabled={isBusy} onClick={() => void sign()}>
            {isBusy ? words.request.signing : text.keysSign}
          </button>
        )}
      </div>
    </>
  );
}

/** The fingerprint is of the key itself, whatever the console says it is. */
function PasskeyItem({ one, what }: { one: PinnedPasskey; what: string }) {
  const [fingerprint, setFingerprint] = useState('');
  useEffect(() => {
    try {
      void fingerprintOf(fromBase64url(one.public_key)).then(setFingerprint);
    } catch {
      setFingerprint('?');
    }
  }, [one.public_key]);
  return (
    <li>
      <strong>{what}</strong> {visibleLine(one.name)} <code>{fingerprint}</code>
    </li>
  );
}
