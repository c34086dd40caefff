import { useEffect, useRef, useState } from 'preact/hooks';
import { readMarks, type TimingMark } from '../../sessions/timing-marks.ts';
import type { Stream } from '../shown.ts';
import type { Part, SessionDetails } from '../shown-past.ts';
import { describeFailure, post } from './api.ts';
import { describeBytes } from './format.ts';
import { outputText, writerInto } from './output.tsx';
import { Fault } from './parts.tsx';
import { Playback, readInBlocks, type Stage } from './playback.ts';
import { words } from './words.ts';

const SPEEDS = [1, 2, 5, 20];
/** How often the picture moves on. */
const STEP_MS = 50;
/** A tab that was hidden resumes where it was. */
const MOST_STEP_MS = 250;
/** Longer pauses are skipped, down to this. */
const PAUSE_MS = 1000;

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** When a session wrote how much; it ends with all that there is. */
async function marksOf({ session, has_timing, ...details }: SessionDetails): Promise<TimingMark[]> {
  let marks: TimingMark[] = [];
  const parts: number[] = [];
  for (let from: number | null = has_timing ? 0 : null; from !== null; ) {
    const part: { base64: string; next: number | null } = await post('timing', { session, from });
    for (const byte of bytesOf(part.base64)) parts.push(byte);
    from = part.next;
  }
  marks = readMarks(Uint8Array.from(parts));
  const ms = Math.max(marks.at(-1)?.ms ?? 0, has_timing ? (details.duration_ms ?? 0) : 0);
  return [...marks, { ms, stdout: details.stdout_bytes, stderr: details.stderr_bytes }];
}

/** What shows output as text. */
function textStage(box: HTMLElement): Stage {
  let write = writerInto(box);
  let decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  return {
    clear: () => {
      box.replaceChildren();
      write = writerInto(box);
      decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    },
    write: (stream, bytes) => write(outputText(decoders[stream].decode(bytes, { stream: true })), stream),
    skip: (bytes) => write(`${words.views.leftOut(describeBytes(bytes))}\n`, 'gap'),
  };
}

/** What shows output as a terminal does. Loads the terminal. */
async function screenStage(box: HTMLElement, details: SessionDetails): Promise<Stage & { readonly close: () => void }> {
  const { openTerminal } = await import('./terminal.ts');
  const terminal = openTerminal(box, details);
  return { clear: terminal.reset, write: (_, bytes) => terminal.write(bytes), skip: () => {}, close: terminal.close };
}

/** The playback of a session, which at first shows all of it. */
function usePlayback(details: SessionDetails, box: { readonly current: HTMLDivElement | null }) {
  const [playback, setPlayback] = useState<Playback>();
  const [fault, setFault] = useState<string>();
  useEffect(() => {
    let isOver = false;
    let close = (): void => {};
    const open = async (): Promise<void> => {
      const marks = await marksOf(details);
      if (box.current === null || isOver) return;
      const screen = details.terminal ? await screenStage(box.current, details) : undefined;
      if (screen !== undefined) close = screen.close;
      const read = readInBlocks(async (stream: Stream, from: number, bytes: number) => {
        const { base64 } = await post<Part>('output', { session: details.session, stream, from, bytes });
        return bytesOf(base64);
      });
      const opened = new Playback(marks, details.terminal, read, screen ?? textStage(box.current));
      await opened.jump(opened.endMs);
      if (isOver) close();
      else setPlayback(opened);
    };
    open().catch((error) => isOver || setFault(describeFailure(error)));
    return () => {
      isOver = true;
      close();
    };
  }, [details]);
  return { playback, fault, setFault };
}

/** Shows the output of a session that is over, or plays it back. `name` is its command. */
export function Player({ details, name }: { details: SessionDetails; name: string }) {
  const box = useRef<HTMLDivElement>(null);
  const { playback, fault, setFault } = usePlayback(details, box);
  const isEmpty = details.stdout_bytes + details.stderr_bytes === 0;
  return (
    <>
      {isEmpty && <p class="muted">{words.past.noOutput}</p>}
      {!isEmpty && playback === undefined && fault === undefined && <p class="muted">{words.loading}</p>}
      <div
        ref={box}
        hidden={isEmpty}
        {...(details.terminal
          ? { class: 'terminal' }
          : {
              class: 'output',
              tabIndex: 0,
              role: 'log',
              'aria-live': 'off',
              'aria-label': words.views.outputOf(name),
            })}
      />
      <Fault text={fault} />
      {playback !== undefined && details.has_timing && <Controls playback={playback} onFault={setFault} />}
      {!details.has_timing && !isEmpty && <p class="muted">{words.past.noTiming}</p>}
    </>
  );
}

function Controls({ playback, onFault }: { playback: Playback; onFault: (text: string) => void }) {
  const { past } = words;
  const [at, setAt] = useState(playback.at);
  const [isPlaying, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  const [skips, setSkips] = useState(true);
  const { step, jump } = useSteps(playback, setAt, (error) => {
    setPlaying(false);
    onFault(describeFailure(error));
  });
  const end = playback.endMs;
  useEffect(() => {
    if (!isPlaying) return;
    let last = performance.now();
    const timer = setInterval(() => {
      const now = performance.now();
      step(Math.min(now - last, MOST_STEP_MS) * speed, skips);
      last = now;
      if (playback.at >= end) setPlaying(false);
    }, STEP_MS);
    return () => clearInterval(timer);
  }, [isPlaying, speed, skips]);
  const toggle = (): void => {
    if (!isPlaying && playback.at >= end) jump(0);
    setPlaying(!isPlaying);
  };
  const position = past.positionOf(clockOf(at), clockOf(end));
  return (
    <div class="player">
      <button type="button" onClick={toggle}>
        {isPlaying ? past.pause : past.play}
      </button>
      <input
        type="range"
        min={0}
        max={Math.max(1, Math.ceil(end))}
        value={Math.round(at)}
        aria-label={past.position}
        aria-valuetext={position}
        onInput={(event) => jump(Number(event.currentTarget.value))}
      />
      <span class="muted">{position}</span>
      <label class="inline">
        {past.speed}
        <select value={speed} onChange={(event) => setSpeed(Number(event.currentTarget.value))}>
          {SPEEDS.map((one) => (
            <option key={one} value={one}>
              {past.times(one)}
            </option>
          ))}
        </select>
      </label>
      <label class="inline">
        <input type="checkbox" checked={skips} onChange={(event) => setSkips(event.currentTarget.checked)} />
        {past.skipPauses}
      </label>
    </div>
  );
}

/** Steps of a playback, one at a time: of jumps that come meanwhile the last one counts, and time waits for what is read. */
function useSteps(playback: Playback, onMoved: (at: number) => void, onFault: (error: unknown) => void) {
  const state = useRef<{ isBusy: boolean; wanted: number | undefined }>({ isBusy: false, wanted: undefined });
  const run = async (work: () => Promise<void>): Promise<void> => {
    if (state.current.isBusy) return;
    state.current.isBusy = true;
    try {
      await work();
      for (let to = state.current.wanted; to !== undefined; to = state.current.wanted) {
        state.current.wanted = undefined;
        await playback.jump(to);
      }
      onMoved(playback.at);
    } catch (error) {
      onFault(error);
    } finally {
      state.current.isBusy = false;
    }
  };
  const step = (ms: number, skips: boolean): void =>
    void run(async () => {
      const to = playback.at + ms;
      const { nextMs } = playback;
      const isPause = skips && nextMs !== undefined && nextMs - playback.at > PAUSE_MS + ms;
      await playback.advance(isPause ? nextMs - PAUSE_MS : to);
    });
  const jump = (ms: number): void => {
    state.current.wanted = ms;
    onMoved(ms);
    void run(async () => {});
  };
  return { step, jump };
}

/** Minutes and seconds. */
function clockOf(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const rest = String(seconds % 60).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}:${rest}`
    : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, '0')}:${rest}`;
}
