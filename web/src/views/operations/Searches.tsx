/** Recent searches of all owners: how long each channel took. What was looked for is not kept. */
import { api, data } from "../../api/client";
import { duration } from "../../format";
import { Ago } from "../../parts/Ago";
import { CHANNELS } from "../../words";
import { Id, Section, Table, Turn } from "./parts";
import { type Pace, usePages, usePolled } from "./polled";
import type { LoggedSearch } from "./shapes";

const NAMES: Record<string, string> = { ...CHANNELS, rerank: "re-ranking" };

export function Searches({ pace }: { pace: Pace }) {
  const pages = usePages();
  const { token } = pages;
  const polled = usePolled(
    token ?? "",
    (signal) =>
      data(
        api.GET("/v1/operations/searches", { params: { query: { page_token: token } }, signal }),
      ),
    pace,
  );
  const found = polled.data?.data;
  const longest = Math.max(1, ...(found?.flatMap((one) => [one.took_ms, spent(one)]) ?? []));
  return (
    <Section
      title="Recent searches"
      empty={found?.length === 0 && !pages.newer ? "Nobody has searched yet." : null}
      error={polled.error}
      again={polled.again}
      class="whole"
    >
      <Table
        caption="Recent searches, newest first"
        columns={["When", "Took", "By channel", "Hits", "Did not answer", "Owner"]}
      >
        {found?.map((one) => (
          <tr key={one.id}>
            <th scope="row">
              <Ago at={one.at} />
            </th>
            <td class="number">{duration(one.took_ms)}</td>
            <td class="wide">
              <Timings of={one} longest={longest} />
            </td>
            <td class="number">{one.hits || <span class="badge warn">none</span>}</td>
            <td>
              {one.degraded.map((name) => (
                <span key={name} class="badge bad">
                  {NAMES[name] ?? name}
                </span>
              ))}
            </td>
            <td>
              <Id of={one.owner_id} />
            </td>
          </tr>
        ))}
      </Table>
      <Turn pages={pages} next={polled.data?.page.next_token} of="searches" />
    </Section>
  );
}

/** A bar of as many parts as there were channels, and the same in words. */
function Timings({ of, longest }: { of: LoggedSearch; longest: number }) {
  const parts = channelsOf(of);
  return (
    <>
      <span class="track" aria-hidden="true">
        {parts.map(([name, ms]) => (
          <span key={name} class={`share ${name}`} style={{ width: `${(100 * ms) / longest}%` }} />
        ))}
      </span>
      <span class="small soft">
        {parts.map(([name, ms]) => `${NAMES[name] ?? name} ${duration(ms)}`).join(", ") || "–"}
      </span>
    </>
  );
}

function channelsOf(one: LoggedSearch): [string, number][] {
  return Object.entries(one.timing_ms)
    .map(([name, steps]): [string, number] => [
      name,
      Object.values(steps).reduce((all, ms) => all + ms, 0),
    ])
    .sort((a, b) => b[1] - a[1]);
}

const spent = (one: LoggedSearch) => channelsOf(one).reduce((all, [, ms]) => all + ms, 0);
