/** A hit: its picture, its time, why it was found, and where to go from here. */
import type { Hit } from "../api/types";
import { clock, counted } from "../format";
import { ReasonBadge } from "../parts/badges";
import { Thumbnail } from "../parts/Thumbnail";
import { NOTHING, playUrl, type Query, searchUrl } from "../query";
import { excerpt } from "./excerpt";

const PARTS_SHOWN = 8;

export function HitCard({ hit, query, eager }: { hit: Hit; query: Query; eager: boolean }) {
  const like = { ...NOTHING, groupBy: query.groupBy, sceneId: hit.scene_id };
  return (
    <article class="hit">
      <a class="hit-play" href={playUrl(hit.video_id, hit.matched_ms ?? hit.start_ms, query)}>
        <Thumbnail url={hit.keyframe_url} alt="" time={range(hit)} eager={eager} />
        <h3 dir="auto">{hit.title}</h3>
      </a>
      <Said hit={hit} />
      {hit.parts.length > 0 && <Parts hit={hit} query={query} />}
      <p class="hit-reasons">
        <span class="hidden-but-read">Found by </span>
        {hit.reasons.map((reason) => (
          <ReasonBadge key={reason.channel} reason={reason} />
        ))}
      </p>
      <p class="hit-ways">
        <a class="button quiet small" href={searchUrl(like)}>
          More like this
        </a>
        <a class="button quiet small" href={`/scenes/${hit.scene_id}`}>
          Scene details
        </a>
      </p>
    </article>
  );
}

/** From when to when, in tenths where seconds would be the same. */
function range({ start_ms, end_ms }: Hit): string {
  const [from, to] = [clock(start_ms), clock(end_ms)];
  return from === to ? `${clock(start_ms, true)}–${clock(end_ms, true)}` : `${from}–${to}`;
}

/** What is said, and what was written about it where that matched or nothing is said. */
function Said({ hit }: { hit: Hit }) {
  const matched = new Set(hit.reasons.map((one) => one.channel));
  let written = null;
  if (matched.has("visual")) written = hit.description;
  else if (matched.has("summary")) written = hit.summary;
  else if (!hit.transcript) written = hit.description ?? hit.summary;
  return (
    <>
      {hit.transcript && (
        <p class="hit-said" dir="auto">
          {excerpt(hit.transcript).map(({ text, isMarked }) =>
            isMarked ? <mark>{text}</mark> : text,
          )}
        </p>
      )}
      {written && (
        <p class="hit-said soft" dir="auto">
          {written}
        </p>
      )}
    </>
  );
}

/** The other scenes of a moment or video that matched, as times to play from. */
function Parts({ hit, query }: { hit: Hit; query: Query }) {
  const more = hit.parts.length - PARTS_SHOWN;
  return (
    <ul class="hit-parts" aria-label="Other scenes that match">
      {hit.parts.slice(0, PARTS_SHOWN).map((part) => (
        <li key={part.scene_id}>
          <a class="button small" href={playUrl(hit.video_id, part.start_ms, query)}>
            {clock(part.start_ms)}
          </a>
        </li>
      ))}
      {more > 0 && <li class="soft small">and {counted(more, "scene")} more</li>}
    </ul>
  );
}
