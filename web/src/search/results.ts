/** The hits of a query: asked when it changes, page by page; what is overtaken is given up. */
import { useEffect, useRef, useState } from "preact/hooks";
import { detailOf, isAborted, Problem } from "../api/client";
import { search } from "../api/search";
import type { Hit, SearchAnswer } from "../api/types";
import { picture } from "../pictures";
import { asks, type Query, toParams, toRequest } from "../query";
import { toast } from "../shell/toasts";

/** Fills whole rows of two, three and four cards. */
const PAGE_SIZE = 24;
/** Whoever comes back from a hit within this time finds the list as it was. */
const KEPT_MS = 300_000;
const STARTED_ANEW = "This list was too old to go on, so it was searched anew.";

interface State {
  /** The query that was answered, as its URL's parameters. */
  key: string;
  /** Of its first page; it stays while the next query is asked. */
  answer?: SearchAnswer;
  hits: Hit[];
  next: string | null;
  loading: boolean;
  adding: boolean;
  error?: unknown;
}

export interface Results extends Omit<State, "key"> {
  more: () => void;
  again: () => void;
}

const EMPTY: State = { key: "", hits: [], next: null, loading: false, adding: false };

let left: { state: State; at: number } = { state: EMPTY, at: 0 };

/** Whether the query's picture was given to another tab, or before a reload. */
export function isPictureLost(query: Query): boolean {
  return query.picture !== null && picture(query.picture) === undefined;
}

/** What is found for the query. */
export function useResults(query: Query): Results {
  const key = asks(query) && !isPictureLost(query) ? toParams(query).toString() : "";
  const [state, setState] = useState<State>(() => kept(key));
  const [round, setRound] = useState(0);
  const asking = useRef(new AbortController());
  const isLeft = useRef(state.answer !== undefined);

  useEffect(() => {
    if (isLeft.current) {
      isLeft.current = false;
      return;
    }
    const { signal } = renewed(asking);
    if (!key) return setState(EMPTY);
    setState((was) => ({ ...was, loading: true, adding: false, error: undefined }));
    ask(query, null, signal).then(
      (answer) => !signal.aborted && setState(first(key, answer)),
      (error) => !given(signal, error) && setState({ ...EMPTY, error }),
    );
  }, [key, round]);
  useEffect(() => () => asking.current.abort(), []);
  useEffect(() => {
    if (!state.loading && !state.adding) left = { state, at: Date.now() };
  }, [state]);

  const more = () => {
    const { signal } = asking.current;
    setState((was) => ({ ...was, adding: true }));
    ask(query, state.next, signal).then(
      (answer) => !signal.aborted && setState((was) => longer(was, answer)),
      (error) => {
        if (given(signal, error)) return;
        const isOld = error instanceof Problem && error.status === 410;
        toast(isOld ? STARTED_ANEW : detailOf(error), { tone: isOld ? "plain" : "bad" });
        setState((was) => ({ ...was, adding: false }));
        if (isOld) setRound((n) => n + 1);
      },
    );
  };
  return { ...state, more, again: () => setRound((n) => n + 1) };
}

function kept(key: string): State {
  return left.state.key === key && Date.now() - left.at < KEPT_MS ? left.state : EMPTY;
}

/** End what is being asked, and begin something else. */
function renewed(asking: { current: AbortController }): AbortController {
  asking.current.abort();
  asking.current = new AbortController();
  return asking.current;
}

function given(signal: AbortSignal, error: unknown): boolean {
  return signal.aborted || isAborted(error);
}

function first(key: string, answer: SearchAnswer): State {
  return { ...EMPTY, key, answer, hits: answer.data, next: answer.page.next_token };
}

/** With another page; what could not take part in it counts for the whole. */
function longer(was: State, page: SearchAnswer): State {
  const known = new Set(was.answer?.degraded.map((one) => one.channel));
  const degraded = page.degraded.filter((one) => !known.has(one.channel));
  return {
    ...was,
    answer: was.answer && { ...was.answer, degraded: [...was.answer.degraded, ...degraded] },
    hits: [...was.hits, ...page.data],
    next: page.page.next_token,
    adding: false,
  };
}

function ask(query: Query, token: string | null, signal: AbortSignal): Promise<SearchAnswer> {
  return search(query, { ...toRequest(query), limit: PAGE_SIZE, page_token: token }, signal);
}
