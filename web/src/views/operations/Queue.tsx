/** What is to be done, by stage, and who does it. */
import { duration } from "../../format";
import { STAGES } from "../../words";
import { Id, Section, Table } from "./parts";
import type { Depth, Overview, Process } from "./shapes";

/** Rows of each kind that are asked for. */
export const LISTED = 100;
const ORDER = Object.keys(STAGES) as (keyof typeof STAGES)[];

export function Totals({ found }: { found: Overview | undefined }) {
  const jobs = (...states: Depth["state"][]) =>
    found?.depth.filter((one) => states.includes(one.state)).reduce((n, one) => n + one.jobs, 0);
  const oldest = found && Math.max(0, ...found.depth.map((one) => one.oldest_s));
  const silent = found?.processes.filter((one) => one.silent).length;
  return (
    <dl class="totals">
      <Total name="waiting" value={jobs("queued", "retryable")} />
      <Total name="oldest waits" value={oldest === 0 ? "–" : oldest && age(oldest)} />
      <Total name="running" value={jobs("running")} />
      <Total name="dead letters" value={found && atMost(found.dead_letters.length)} />
      <Total name="processes alive" value={found && found.processes.length - (silent ?? 0)} />
      <Total name="processes silent" value={silent} bad={!!silent} />
    </dl>
  );
}

function Total({
  name,
  value,
  bad = false,
}: {
  name: string;
  value: string | number | undefined;
  bad?: boolean;
}) {
  return (
    <div class="panel">
      <dt class="soft small">{name}</dt>
      <dd class={bad ? "bad" : ""}>{value?.toLocaleString("en") ?? "…"}</dd>
    </div>
  );
}

/** Every stage has its row, whether anything is to be done in it or not. */
export function Queue({ found }: { found: Overview | undefined }) {
  const most = Math.max(1, ...ORDER.map((stage) => of(found, stage).all));
  return (
    <Section title="Queue" empty={null} class="whole">
      <Table
        caption="Jobs to be done, by stage"
        columns={["Stage", "Waiting", "To be retried", "Running", "Oldest waits", "Share"]}
      >
        {ORDER.map((stage) => {
          const { queued, retryable, running, all, oldestS } = of(found, stage);
          return (
            <tr key={stage} class={all ? "" : "soft"}>
              <th scope="row">{STAGES[stage]}</th>
              <td class="number">{queued}</td>
              <td class="number">{retryable}</td>
              <td class="number">{running}</td>
              <td class="number">{queued + retryable ? age(oldestS) : "–"}</td>
              <td class="wide">
                <span class="track" aria-hidden="true">
                  <span class="share running" style={{ width: `${(100 * running) / most}%` }} />
                  <span class="share" style={{ width: `${(100 * (all - running)) / most}%` }} />
                </span>
              </td>
            </tr>
          );
        })}
      </Table>
    </Section>
  );
}

function of(found: Overview | undefined, stage: string) {
  const rows = found?.depth.filter((one) => one.stage === stage) ?? [];
  const jobs = (state: string) => rows.find((one) => one.state === state)?.jobs ?? 0;
  const [queued, retryable, running] = [jobs("queued"), jobs("retryable"), jobs("running")];
  const oldestS = Math.max(0, ...rows.map((one) => one.oldest_s));
  return { queued, retryable, running, all: queued + retryable + running, oldestS };
}

export function Processes({ found }: { found: Overview | undefined }) {
  const none = found?.processes.length === 0;
  return (
    <Section
      title="Processes"
      empty={none ? "No worker and no relay was alive within a day. Start them." : null}
      class="short"
    >
      <Table
        caption="Workers and relays"
        columns={["Process", "Kind", "State", "Last heard", "Version"]}
      >
        {found?.processes.map((one) => (
          <tr key={one.id}>
            <th scope="row">
              <Id of={one.id} />
            </th>
            <td>{one.kind}</td>
            <td>
              <State of={one} />
            </td>
            <td class="number">{age(one.silent_s)} ago</td>
            <td>{one.version}</td>
          </tr>
        ))}
      </Table>
    </Section>
  );
}

function State({ of: { silent, draining } }: { of: Process }) {
  if (silent) return <span class="badge bad">silent</span>;
  if (draining) return <span class="badge warn">draining</span>;
  return <span class="badge good">alive</span>;
}

export function RunningJobs({ found }: { found: Overview | undefined }) {
  return (
    <Section
      title="Running jobs"
      empty={found?.running.length === 0 ? "No job is running." : null}
      class="whole short"
    >
      <Table
        caption="Jobs that workers hold"
        columns={["Job", "Stage", "For", "Lease", "Try", "Video", "Owner", "Worker"]}
      >
        {found?.running.map((one) => (
          <tr key={one.job_id}>
            <th scope="row">{one.job_id}</th>
            <td>{STAGES[one.stage]}</td>
            <td class="number">{one.running_s === null ? "–" : age(one.running_s)}</td>
            <td class="number">
              {one.lease_s < 0 ? <span class="badge bad">over</span> : age(one.lease_s)}
            </td>
            <td class="number">{one.attempt}</td>
            <td>
              <Id of={one.video_id} />
            </td>
            <td>
              <Id of={one.owner_id} />
            </td>
            <td>{one.worker && <Id of={one.worker} />}</td>
          </tr>
        ))}
      </Table>
    </Section>
  );
}

export function BusyOwners({ found }: { found: Overview | undefined }) {
  return (
    <Section
      title="Owners with most to be done"
      empty={found?.owners.length === 0 ? "Nobody waits for anything." : null}
      class="short"
    >
      <Table
        caption="Owners by jobs to be done"
        columns={["Owner", "Jobs", "Running", "At most at once"]}
      >
        {found?.owners.map((one) => (
          <tr key={one.owner_id}>
            <th scope="row">
              <Id of={one.owner_id} />
            </th>
            <td class="number">{one.jobs.toLocaleString("en")}</td>
            <td class="number">{one.running}</td>
            <td class="number">{one.max_running}</td>
          </tr>
        ))}
      </Table>
    </Section>
  );
}

/** The list is told no further than the API lists. */
const atMost = (count: number) => (count < LISTED ? count : `${LISTED} or more`);

const age = (seconds: number) => duration(Math.max(0, 1000 * seconds));
