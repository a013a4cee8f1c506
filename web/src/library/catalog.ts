/** The videos that a filter finds, page by page, as far as they were asked for. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { api, data, isAborted, Problem } from "../api/client";
import type { VideoStatus } from "../api/types";
import { VIDEO_STATUSES } from "../words";
import type { Shown } from "./shown";

const PAGE = 24;

export interface Filter {
  title: string;
  status: VideoStatus | null;
}

/** The filter of a URL; what it says wrongly is left out. */
export function filterOf(query: Record<string, string>): Filter {
  const { title = "", status = "" } = query;
  return { title, status: status in VIDEO_STATUSES ? (status as VideoStatus) : null };
}

/** The URL of a filter. */
export function urlOf({ title, status }: Filter): string {
  const params = new URLSearchParams();
  if (title) params.set("title", title);
  if (status) params.set("status", status);
  return params.size ? `/?${params}` : "/";
}

function finds(filter: Filter, video: Shown): boolean {
  const titled = video.title.toLowerCase().includes(filter.title.trim().toLowerCase());
  return titled && (filter.status === null || filter.status === video.status);
}

export interface Catalog {
  /** Undefined until the first page is there; of the filter before until that of this one is. */
  videos?: readonly Shown[];
  error?: unknown;
  loading: boolean;
  /** Load the next page; null after the last. */
  more: (() => void) | null;
  again: () => void;
  /** Take over what is known of a video that is shown. */
  put: (video: Partial<Shown> & { id: string }) => void;
  /** Show a video that came in, if the filter finds it. */
  add: (video: Shown) => void;
  remove: (id: string) => void;
}

interface State {
  videos?: readonly Shown[];
  next: string | null;
  error?: unknown;
  loading: boolean;
}

export function useCatalog(filter: Filter): Catalog {
  const key = urlOf(filter);
  const { state, setState, load } = usePages(filter);
  const again = useCallback(() => load(null), [load]);

  // Who comes back to the tab sees what came in by other ways.
  const onePage = (state.videos?.length ?? 0) <= PAGE;
  useEffect(() => {
    const look = () => !document.hidden && onePage && again();
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, [again, onePage]);

  const change = (to: (videos: readonly Shown[]) => readonly Shown[]) =>
    setState((was) => (was.videos ? { ...was, videos: to(was.videos) } : was));
  const put = useCallback<Catalog["put"]>(
    (video) =>
      change((videos) => videos.map((one) => (one.id === video.id ? { ...one, ...video } : one))),
    [],
  );
  const add = useCallback<Catalog["add"]>(
    (video) =>
      change((videos) => {
        const others = videos.filter((one) => one.id !== video.id);
        return finds(filter, video) ? newestFirst([video, ...others]) : others;
      }),
    [key],
  );
  const remove = useCallback<Catalog["remove"]>(
    (id) => change((videos) => videos.filter((one) => one.id !== id)),
    [],
  );
  const { next, ...shown } = state;
  const more = next === null ? null : () => load(next);
  return { ...shown, more, again, put, add, remove };
}

/** The pages of a filter: the first at once, each further one when it is loaded by its token. */
function usePages(filter: Filter) {
  const [state, setState] = useState<State>({ next: null, loading: true });
  const ended = useRef(new AbortController());
  const load = useCallback(
    (after: string | null) => {
      ended.current.abort();
      ended.current = new AbortController();
      const { signal } = ended.current;
      setState((was) => ({ ...was, error: undefined, loading: true }));
      page(filter, after, signal).then(
        ({ data: found, page: { next_token } }) =>
          !signal.aborted &&
          setState((was) => ({
            videos: merged(was.videos ?? [], found, after !== null),
            next: next_token,
            loading: false,
          })),
        (error) => {
          if (signal.aborted || isAborted(error)) return;
          // The place in the list is too old: it begins anew.
          if (after !== null && error instanceof Problem && error.code === "expired") load(null);
          else setState((was) => ({ ...was, error, loading: false }));
        },
      );
    },
    [urlOf(filter)],
  );
  useEffect(() => {
    load(null);
    return () => ended.current.abort();
  }, [load]);
  return { state, setState, load };
}

function page({ title, status }: Filter, after: string | null, signal: AbortSignal) {
  const query = { limit: PAGE, page_token: after, status, title: title.trim() || null };
  return data(api.GET("/v1/videos", { params: { query }, signal }));
}

/** A page that was loaded behind the videos before, or in their place; what is known stays. */
function merged(
  before: readonly Shown[],
  found: readonly Shown[],
  behind: boolean,
): readonly Shown[] {
  const known = new Map(before.map((one) => [one.id, one]));
  if (behind) return [...before, ...found.filter((one) => !known.has(one.id))];
  return found.map((one) => ({ ...known.get(one.id), ...one }));
}

function newestFirst(videos: Shown[]): readonly Shown[] {
  return videos.sort((a, b) => b.created_at.localeCompare(a.created_at));
}
