/** What the search is like: a picture or a scene, with its way out. */
import type { ComponentChildren } from "preact";
import { api, data, detailOf } from "../api/client";
import { clock } from "../format";
import { useLoaded } from "../parts/loaded";
import { Thumbnail } from "../parts/Thumbnail";
import { picture, preview } from "../pictures";
import type { Query } from "../query";
import { useTitles } from "./titles";

interface Properties {
  query: Query;
  onRemove: () => void;
}

export function Attached({ query, onRemove }: Properties) {
  if (query.picture !== null) return <OfPicture name={query.picture} onRemove={onRemove} />;
  if (query.sceneId !== null) return <OfScene id={query.sceneId} onRemove={onRemove} />;
  return null;
}

function OfPicture({ name, onRemove }: { name: string; onRemove: () => void }) {
  const file = picture(name);
  if (!file) {
    return (
      <Like shown={null} onRemove={onRemove}>
        <strong>The picture of this search is not here.</strong>{" "}
        <span class="soft">
          A picture cannot be shared by a link, and is gone after a reload. Drop, paste or choose it
          again, or remove it.
        </span>
      </Like>
    );
  }
  return (
    <Like
      shown={
        <div class="thumbnail">
          <img src={preview(name)} alt="" />
        </div>
      }
      onRemove={onRemove}
    >
      <span class="soft">Looks like</span> <strong>{file.name || "the pasted picture"}</strong>
    </Like>
  );
}

function OfScene({ id, onRemove }: { id: string; onRemove: () => void }) {
  const { data: scene, error } = useLoaded(id, (signal) =>
    data(api.GET("/v1/scenes/{scene_id}", { params: { path: { scene_id: id } }, signal })),
  );
  const titleOf = useTitles(scene ? [scene.video_id] : []);
  if (error)
    return (
      <Like shown={null} onRemove={onRemove}>
        {detailOf(error)}
      </Like>
    );
  const url = scene?.keyframes[0]?.url;
  return (
    <Like shown={<Thumbnail url={url} alt="" eager />} onRemove={onRemove}>
      <span class="soft">Like the scene</span>{" "}
      {scene && (
        <a href={`/scenes/${id}`}>
          {titleOf(scene.video_id)}, {clock(scene.start_ms)}–{clock(scene.end_ms)}
        </a>
      )}
    </Like>
  );
}

interface LikeProperties {
  /** The picture; null where there is none. */
  shown: ComponentChildren;
  onRemove: () => void;
  children: ComponentChildren;
}

function Like(props: LikeProperties) {
  return (
    <div class="like">
      {props.shown}
      <p>{props.children}</p>
      <button type="button" class="button small" onClick={props.onRemove}>
        Remove
        <span class="hidden-but-read"> what the search is like</span>
      </button>
    </div>
  );
}
