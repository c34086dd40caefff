/** Whether something holds, or only running the command would tell. */
export type Answer = 'yes' | 'no' | 'maybe';

export function all(questions: readonly (() => Answer)[]): Answer {
  let answer: Answer = 'yes';
  for (const ask of questions) {
    const one = ask();
    if (one === 'no') return 'no';
    if (one === 'maybe') answer = 'maybe';
  }
  return answer;
}

export function some<T>(list: readonly T[], ask: (one: T) => Answer): Answer {
  let answer: Answer = 'no';
  for (const item of list) {
    const one = ask(item);
    if (one === 'yes') return 'yes';
    if (one === 'maybe') answer = 'maybe';
  }
  return answer;
}
