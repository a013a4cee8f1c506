/** A card's title: a link to the player, or the field in which it is renamed. */
import type { Signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import * as actions from "./actions";
import type { Catalog } from "./catalog";
import { linkId, type Shown } from "./shown";

interface Properties {
  video: Shown;
  catalog: Catalog;
  renaming: Signal<boolean>;
}

export function CardTitle({ video, catalog, renaming }: Properties) {
  const link = useRef<HTMLAnchorElement>(null);
  const done = () => {
    renaming.value = false;
    requestAnimationFrame(() => link.current?.focus());
  };
  return (
    <h2 class="title" dir="auto">
      {renaming.value ? (
        <Field video={video} catalog={catalog} done={done} />
      ) : (
        <a ref={link} id={linkId(video.id)} href={`/videos/${video.id}`} title={video.title}>
          {video.title}
        </a>
      )}
    </h2>
  );
}

function Field({ video, catalog, done }: { video: Shown; catalog: Catalog; done: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  const over = useRef(false);
  useLayoutEffect(() => input.current?.select(), []);

  const save = async () => {
    if (over.current) return;
    const title = input.current?.value.trim() ?? "";
    if (title && title !== video.title) {
      over.current = true;
      const taken = await actions.rename(catalog, video, title);
      over.current = false;
      if (!taken) return;
    }
    over.current = true;
    done();
  };
  return (
    <input
      ref={input}
      class="field"
      aria-label={`Title of ${video.title}; Enter keeps it, Escape leaves it`}
      maxLength={500}
      defaultValue={video.title}
      onBlur={save}
      onKeyDown={(event) => {
        if (event.key === "Enter") void save();
        if (event.key !== "Escape") return;
        over.current = true;
        done();
      }}
    />
  );
}
