/** The work of all owners, for whoever runs the deployment. */
import { useState } from "preact/hooks";
import { api, data, Problem } from "../api/client";
import { Failure } from "../parts/Message";
import { useTitle } from "../parts/title";
import { DeadLetters } from "./operations/DeadLetters";
import { type Pace, usePolled } from "./operations/polled";
import { BusyOwners, LISTED, Processes, Queue, RunningJobs, Totals } from "./operations/Queue";
import { Searches } from "./operations/Searches";
import { Spaces } from "./operations/Spaces";
import "./operations.css";

const EVERY_MS = 5_000;
// Every scene there is, is counted for these.
const SPACES_EVERY_MS = 30_000;

export function Operations() {
  useTitle("Operations");
  const [paused, setPaused] = useState(false);
  const [look, setLook] = useState(0);
  const pace: Pace = { everyMs: EVERY_MS, paused, look };
  const polled = usePolled(
    "overview",
    (signal) => data(api.GET("/v1/operations", { params: { query: { limit: LISTED } }, signal })),
    pace,
  );
  const refused = polled.error instanceof Problem && polled.error.status === 403;
  return (
    <div class="operations">
      <div class="row">
        <h1>Operations</h1>
        {!refused && <Refresh paused={paused} set={setPaused} look={() => setLook(look + 1)} />}
      </div>
      {polled.error !== undefined && (
        <Failure error={polled.error} retry={refused ? undefined : polled.again} />
      )}
      {!refused && (
        <>
          <Totals found={polled.data} />
          <div class="sections">
            <Queue found={polled.data} />
            <DeadLetters pace={pace} retried={polled.again} />
            <RunningJobs found={polled.data} />
            <Processes found={polled.data} />
            <BusyOwners found={polled.data} />
            <Spaces pace={{ ...pace, everyMs: SPACES_EVERY_MS }} />
            <Searches pace={pace} />
          </div>
        </>
      )}
    </div>
  );
}

function Refresh({
  paused,
  set,
  look,
}: {
  paused: boolean;
  set: (paused: boolean) => void;
  look: () => void;
}) {
  return (
    <div class="row refresh">
      <span class="soft small" role="status">
        {paused ? "Paused: what is shown stays." : `Renewed every ${EVERY_MS / 1000} seconds.`}
      </span>
      <button type="button" class="button small" aria-pressed={paused} onClick={() => set(!paused)}>
        Pause
      </button>
      {paused && (
        <button type="button" class="button small" onClick={look}>
          Look once
        </button>
      )}
    </div>
  );
}
