/** Do something once nothing more of the kind has come for a while. */
import { useEffect, useRef } from "preact/hooks";

export interface Pause {
  /** Do this after the pause, instead of what was waiting. */
  after: (run: () => void) => void;
  /** Do nothing after all. */
  cancel: () => void;
}

export function usePause(ms: number): Pause {
  const waiting = useRef(0);
  const cancel = () => clearTimeout(waiting.current);
  useEffect(() => cancel, []);
  return {
    after: (run) => {
      cancel();
      waiting.current = setTimeout(run, ms);
    },
    cancel,
  };
}
