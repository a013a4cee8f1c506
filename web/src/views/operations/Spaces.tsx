/** Embedding spaces, and how many scenes of all owners can be found in each. */
import { api, data } from "../../api/client";
import type { ChannelStatus } from "../../api/types";
import { percent } from "../../format";
import { CHANNEL_STATUSES, CHANNELS } from "../../words";
import { Section, Table } from "./parts";
import { type Pace, usePolled } from "./polled";
import type { Space } from "./shapes";

export function Spaces({ pace }: { pace: Pace }) {
  const polled = usePolled(
    "spaces",
    (signal) => data(api.GET("/v1/operations/spaces", { signal })),
    pace,
  );
  const found = polled.data?.data;
  return (
    <Section
      title="Spaces and coverage"
      empty={found?.length === 0 ? "Nothing is embedded yet." : null}
      error={polled.error}
      again={polled.again}
      class="whole"
    >
      <Table
        caption="Embedding spaces, and the scenes that have vectors in them"
        columns={["Space", "State", "Model", "Vectors", "Scenes with", "Scenes without"]}
      >
        {found?.map((one) => (
          <tr key={one.id}>
            <th scope="row">
              {one.id} {CHANNELS[one.channel]}
            </th>
            <td>
              <span class={`badge ${one.status === "active" ? "good" : "plain"}`}>
                {one.status}
              </span>
            </td>
            <td class="model">
              {one.model}{" "}
              <span class="soft small">
                {one.weights}, {one.dimensions} dimensions
              </span>
            </td>
            <td class="number">{one.vectors.toLocaleString("en")}</td>
            <td>
              <With of={one} />
            </td>
            <td class="wide">
              <Without of={one} />
            </td>
          </tr>
        ))}
      </Table>
    </Section>
  );
}

function With({ of: { scenes_with, scenes_without } }: { of: Space }) {
  const all = scenes_with + Object.values(scenes_without).reduce((n, one) => n + one, 0);
  const share = all ? scenes_with / all : 0;
  return (
    <>
      {scenes_with.toLocaleString("en")} of {all.toLocaleString("en")}
      {all > 0 && `, ${percent(share)}`}
      <span class="track" aria-hidden="true">
        <span class="share" style={{ width: `${100 * share}%` }} />
      </span>
    </>
  );
}

function Without({ of: { scenes_without } }: { of: Space }) {
  const reasons = Object.entries(scenes_without) as [ChannelStatus, number][];
  if (!reasons.length) return <span class="soft">none</span>;
  return (
    <ul class="row reasons">
      {reasons.map(([status, scenes]) => (
        <li key={status} class={`badge ${CHANNEL_STATUSES[status].tone}`}>
          {scenes.toLocaleString("en")} {CHANNEL_STATUSES[status].word}
        </li>
      ))}
    </ul>
  );
}
