/** What a view loads from the API. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { isAborted } from "../api/client";

export interface Loaded<T> {
  data: T | undefined;
  /** Of the last try; what was loaded before stays. */
  error: unknown;
  loading: boolean;
  again: () => void;
}

/** Load when `key` changes, and again when asked; a load that was overtaken is given up. */
export function useLoaded<T>(key: string, load: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [state, setState] = useState<{ key: string; data?: T; error?: unknown; loading: boolean }>({
    key,
    loading: true,
  });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const ended = new AbortController();
    setState((was) => ({ key, data: was.key === key ? was.data : undefined, loading: true }));
    load(ended.signal).then(
      (data) => !ended.signal.aborted && setState({ key, data, loading: false }),
      (error) =>
        !ended.signal.aborted &&
        !isAborted(error) &&
        setState((was) => ({ key, data: was.data, error, loading: false })),
    );
    return () => ended.abort();
  }, [key, round]);

  return {
    data: state.key === key ? state.data : undefined,
    error: state.error,
    loading: state.loading || state.key !== key,
    again: useCallback(() => setRound((n) => n + 1), []),
  };
}
