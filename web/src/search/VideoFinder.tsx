/** The videos to search in, found by their titles. */
import { useState } from "preact/hooks";
import { api, data } from "../api/client";
import { useLoaded } from "../parts/loaded";
import { Failure } from "../parts/Message";
import { usePause } from "../parts/pause";
import { learn } from "./titles";

const SHOWN = 6;
const TYPING_MS = 250;

interface Properties {
  chosen: readonly string[];
  onChoose: (ids: string[]) => void;
}

export function VideoFinder({ chosen, onChoose }: Properties) {
  const [title, setTitle] = useState("");
  const pause = usePause(TYPING_MS);
  const { data: videos, error } = useLoaded(title, async (signal) => {
    const params = { query: { limit: SHOWN, title: title || null } };
    const page = await data(api.GET("/v1/videos", { params, signal }));
    learn(page.data);
    return page.data;
  });
  const choose = (id: string, isChosen: boolean) =>
    onChoose(isChosen ? [...chosen, id] : chosen.filter((one) => one !== id));
  return (
    <fieldset class="filter finder">
      <legend>Videos</legend>
      <input
        class="field"
        type="search"
        placeholder="A part of the title"
        aria-label="Find a video by its title"
        onInput={(event) => {
          const typed = event.currentTarget.value.trim();
          pause.after(() => setTitle(typed));
        }}
      />
      <div class="finder-list">
        {error !== undefined && <Failure error={error} />}
        {videos?.length === 0 && <p class="soft small">No video has this in its title.</p>}
        {videos?.map((video) => (
          <label key={video.id}>
            <input
              type="checkbox"
              checked={chosen.includes(video.id)}
              onChange={(event) => choose(video.id, event.currentTarget.checked)}
            />
            <span>{video.title}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
