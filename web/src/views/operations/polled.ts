/** What is asked again every few seconds, while somebody looks. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { isAborted, Problem } from "../../api/client";

export interface Polled<T> {
  data: T | undefined;
  /** Of the last try; what came before stays. */
  error: unknown;
  again: () => void;
}

/** How often to ask: never again while paused, and at once when somebody wants to `look`. */
export interface Pace {
  everyMs: number;
  paused: boolean;
  look: number;
}

/** Ask at once and then every so often, unless paused or out of sight; a new key begins anew. */
export function usePolled<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
  { everyMs, paused, look }: Pace,
): Polled<T> {
  const [state, setState] = useState<{ key: string; data?: T; error?: unknown }>({ key });
  const [round, setRound] = useState(0);

  useEffect(() => {
    const ended = new AbortController();
    let next: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      clearTimeout(next);
      try {
        const data = await load(ended.signal);
        if (!ended.signal.aborted) setState({ key, data });
      } catch (error) {
        if (ended.signal.aborted || isAborted(error)) return;
        setState((was) => ({ key, data: was.key === key ? was.data : undefined, error }));
        if (error instanceof Problem && (error.status === 401 || error.status === 403)) return;
      }
      if (!paused && !document.hidden && !ended.signal.aborted) next = setTimeout(ask, everyMs);
    };
    const seen = () => {
      if (!document.hidden && !paused) void ask();
    };
    document.addEventListener("visibilitychange", seen);
    void ask();
    return () => {
      ended.abort();
      clearTimeout(next);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [key, everyMs, paused, look, round]);

  const current = state.key === key;
  return {
    data: current ? state.data : undefined,
    error: current ? state.error : undefined,
    again: useCallback(() => setRound((n) => n + 1), []),
  };
}

/** The token of the page that is shown, and the ways to its neighbours. */
export interface Pages {
  token: string | undefined;
  newer: (() => void) | undefined;
  older: (token: string) => void;
}

export function usePages(): Pages {
  const [tokens, setTokens] = useState<readonly string[]>([]);
  return {
    token: tokens.at(-1),
    newer: tokens.length ? () => setTokens(tokens.slice(0, -1)) : undefined,
    older: (token) => setTokens([...tokens, token]),
  };
}
