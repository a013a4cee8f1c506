/** What the answer is worth: what was missing, and how it was searched. */
import type { SearchAnswer } from "../api/types";
import { percent } from "../format";
import { CHANNELS } from "../words";
import { askedChannels, remarks } from "./worth";

export function Remarks({ answer }: { answer: SearchAnswer }) {
  return (
    <ul class="remarks">
      {remarks(answer).map((one) => (
        <li key={one}>{one}</li>
      ))}
    </ul>
  );
}

/** The way of the search: channel by channel, with what each counted and how long it took. */
export function How({ answer }: { answer: SearchAnswer }) {
  const { pool, timing_ms } = answer;
  const exactly = answer.search === "exact" ? "Exact" : "Approximate";
  return (
    <details class="how small soft">
      {/* One text, so that no part of it moves when another is longer. */}
      <summary>{`${exactly}, ${Math.round(timing_ms.total)} ms`}</summary>
      <div class="panel">
        <table>
          <thead>
            <tr>
              <th scope="col">Searched</th>
              <th scope="col">Weight</th>
              <th scope="col">Scenes</th>
              <th scope="col">Encode</th>
              <th scope="col">Search</th>
            </tr>
          </thead>
          <tbody>
            {askedChannels(answer).map((one) => (
              <tr key={one.channel}>
                <th scope="row">{CHANNELS[one.channel]}</th>
                <td>{percent(one.weight)}</td>
                <td>
                  {one.scenes} of {pool.scenes}
                </td>
                <td>{milliseconds(one.encodeMs)}</td>
                <td>{milliseconds(one.searchMs)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function milliseconds(ms: number | undefined): string {
  if (ms === undefined) return "–";
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}
