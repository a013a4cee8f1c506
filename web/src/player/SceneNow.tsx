/** The scene under the playhead: where it is, why it was found, and ways on from it. */

import type { Scene } from "../api/types";
import { clock } from "../format";
import { ReasonBadge } from "../parts/badges";
import type { Relevance } from "./relevance";

interface Properties {
  scene: Scene | undefined;
  relevance: Relevance;
  asked: boolean;
}

export function SceneNow({ scene, relevance, asked }: Properties) {
  const place = scene && relevance.places.get(scene.id);
  return (
    <div class="scene-now">
      {scene && (
        <>
          <p>
            <strong>Scene {scene.scene_index + 1}</strong>{" "}
            <span class="soft">
              {clock(scene.start_ms)} to {clock(scene.end_ms)}
            </span>
          </p>
          {asked && (
            <p class="row small">
              {place ? `Rank ${place.rank} here, by` : <span class="soft">No hit</span>}
              {place?.hit.reasons.map((reason) => (
                <ReasonBadge key={reason.channel} reason={reason} />
              ))}
            </p>
          )}
          <p class="row ways">
            <a class="button small" href={`/scenes/${scene.id}`}>
              Inspect this scene
            </a>
            <a class="button small" href={`/search?like=${scene.id}`}>
              More like this
            </a>
          </p>
        </>
      )}
    </div>
  );
}
