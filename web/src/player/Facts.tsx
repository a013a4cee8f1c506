/** What is known of a video as a whole: its file, its owner's words, how far each channel got. */
import type { ComponentChildren } from "preact";
import type { Channel, ChannelStatus, VideoDetail } from "../api/types";
import { bytes, clock, counted, day } from "../format";
import { ChannelStatusBadge } from "../parts/badges";
import { CHANNELS } from "../words";
import "./facts.css";

type Fact = [name: string, value: ComponentChildren];

export function Facts({ video }: { video: VideoDetail }) {
  const own = Object.entries(video.metadata);
  return (
    <section class="facts" aria-label="About this video">
      <div class="panel">
        <h2>The file</h2>
        <List facts={factsOf(video)} />
      </div>
      <Coverage video={video} />
      {own.length > 0 && (
        <div class="panel">
          <h2>Your notes</h2>
          <List facts={own.map(([name, value]) => [name, plain(value)])} />
        </div>
      )}
    </section>
  );
}

function List({ facts }: { facts: readonly Fact[] }) {
  return (
    <dl>
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function factsOf(video: VideoDetail): Fact[] {
  const { container } = video;
  const streams = (container.streams ?? []) as { type: string; codec: string | null }[];
  const facts: [string, ComponentChildren | null | undefined | false][] = [
    ["Length", video.duration_ms !== null && clock(video.duration_ms, true)],
    ["Picture", video.width && video.height && `${video.width} × ${video.height}`],
    ["Frame rate", video.fps && `${video.fps} a second`],
    ["Size", video.bytes !== null && bytes(video.bytes)],
    ["Format", container.format as string | undefined],
    ["Codecs", streams.map(({ type, codec }) => `${codec ?? "unknown"} (${type})`).join(", ")],
    ["Sound", video.has_audio === null ? null : video.has_audio ? "yes" : "no sound track"],
    ["Language", video.language],
    ["Made", container.created_at ? day(container.created_at as string) : null],
    ["Title in the file", container.title as string | undefined],
    ["Added", day(video.created_at)],
    ["Imported from", video.source_url],
  ];
  return facts.filter((fact): fact is Fact => Boolean(fact[1]));
}

function Coverage({ video }: { video: VideoDetail }) {
  const rows = Object.keys(CHANNELS).filter((name): name is Channel => name in video.channels);
  return (
    <div class="panel">
      <h2>What can be found</h2>
      {rows.length === 0 ? (
        <p class="soft">No scene has been looked at yet.</p>
      ) : (
        <table class="coverage">
          <thead>
            <tr>
              <th scope="col">Channel</th>
              <th scope="col">Searchable</th>
              <th scope="col">Scenes</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((channel) => (
              <tr key={channel}>
                <th scope="row">{CHANNELS[channel]}</th>
                <td>
                  {video.coverage[channel]} of {video.coverage.scenes}
                </td>
                <td>
                  {Object.entries(video.channels[channel] ?? {}).map(([status, count]) => (
                    <span key={status} class="row">
                      <ChannelStatusBadge status={status as ChannelStatus} />
                      <span class="small soft">{counted(count as number, "scene")}</span>
                    </span>
                  ))}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

function plain(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
