/** What is said in a scene, and what was written about it. */
import type { Scene, Utterance } from "../api/types";
import { clock } from "../format";
import { WHY_SILENT } from "../player/silence";

interface Properties {
  scene: Scene;
  /** The lines of the whole video; undefined until they are loaded. */
  lines: readonly Utterance[] | undefined;
  playAt: (ms: number) => string;
}

export function Words({ scene, lines, playAt }: Properties) {
  const here = lines?.filter(
    (line) => line.start_ms < scene.end_ms && line.end_ms > scene.start_ms,
  );
  const spoken = scene.channels.transcript;
  const missing = [
    !scene.description && "description",
    !scene.summary && "summary",
    !scene.tags.length && "tag",
  ].filter((name) => name !== false);

  return (
    <section aria-labelledby="words">
      <h2 id="words">Words</h2>
      <div class="words">
        <div class="panel">
          <h3>Transcript</h3>
          {here?.length ? (
            <ol class="said">
              {here.map((line) => (
                <li key={line.start_ms}>
                  <a href={playAt(line.start_ms)} aria-label={`Play from ${clock(line.start_ms)}`}>
                    {clock(line.start_ms)}
                  </a>
                  <span dir="auto">
                    {line.speaker && <strong>{line.speaker}: </strong>}
                    {line.text} {line.source !== "subtitles" && <Heard by={line.source} />}
                  </span>
                </li>
              ))}
            </ol>
          ) : (
            <p class="soft">{scene.transcript ?? WHY_SILENT[spoken?.status ?? "empty"]}</p>
          )}
        </div>
        <Text title="Description" text={scene.description} />
        <Text title="Summary" text={scene.summary} />
        {scene.tags.length > 0 && (
          <div class="panel">
            <h3>Tags</h3>
            <ul class="tags">
              {scene.tags.map((tag) => (
                <li key={tag}>
                  <a class="badge" href={`/search?tag=${encodeURIComponent(tag)}`}>
                    {tag}
                  </a>
                </li>
              ))}
            </ul>
          </div>
        )}
      </div>
      {missing.length > 0 && <p class="soft">There is no {listed(missing)}.</p>}
    </section>
  );
}

function Heard({ by }: { by: Utterance["source"] }) {
  return (
    <span class="badge plain">{by === "whisper" ? "heard by Whisper" : "heard by an API"}</span>
  );
}

function Text({ title, text }: { title: string; text: string | null }) {
  if (!text) return null;
  return (
    <div class="panel">
      <h3>{title}</h3>
      <p dir="auto">{text}</p>
    </div>
  );
}

function listed(names: readonly string[]): string {
  return new Intl.ListFormat("en", { type: "disjunction" }).format(names);
}
