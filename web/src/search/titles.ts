/** Titles of the videos that a search is narrowed to, known by their ids. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { api, data, Problem } from "../api/client";

const titles = signal<ReadonlyMap<string, string>>(new Map());

/** Remember titles that came with something else. */
export function learn(known: readonly { id: string; title: string }[]): void {
  titles.value = new Map([...titles.value, ...known.map(({ id, title }) => [id, title] as const)]);
}

/** The title of each video, as far as it is known; those that are not are asked for. */
export function useTitles(ids: readonly string[]): (id: string) => string {
  useEffect(() => {
    for (const id of ids.filter((one) => !titles.value.has(one))) {
      const asked = api.GET("/v1/videos/{video_id}", { params: { path: { video_id: id } } });
      data(asked).then(
        (video) => learn([video]),
        (error) => {
          const isGone = error instanceof Problem && [404, 422].includes(error.status);
          if (isGone) learn([{ id, title: "a video that is not there" }]);
        },
      );
    }
  }, [ids.join()]);
  return (id) => titles.value.get(id) ?? "…";
}
