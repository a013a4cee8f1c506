/** Jobs that were given up, and their retry. */
import { useRef, useState } from "preact/hooks";
import { api, data, detailOf } from "../../api/client";
import { counted } from "../../format";
import { Ago } from "../../parts/Ago";
import { toast } from "../../shell/toasts";
import { STAGES } from "../../words";
import { Id, Section, Table, Turn } from "./parts";
import { type Pace, usePages, usePolled } from "./polled";
import type { DeadLetter } from "./shapes";

interface Properties {
  pace: Pace;
  /** The queue has more to do. */
  retried: () => void;
}

export function DeadLetters({ pace, retried }: Properties) {
  const pages = usePages();
  const { token } = pages;
  const polled = usePolled(
    token ?? "",
    (signal) =>
      data(
        api.GET("/v1/operations/dead-letters", {
          params: { query: { page_token: token } },
          signal,
        }),
      ),
    pace,
  );
  // Gone at once, and back again only if the API refuses.
  const [gone, setGone] = useState<ReadonlySet<number>>(new Set());
  const place = useRef<HTMLDivElement>(null);
  const letters = polled.data?.data.filter((one) => !gone.has(one.job_id));

  async function retry(letter: DeadLetter) {
    setGone((was) => new Set(was).add(letter.job_id));
    place.current?.querySelector("h2")?.focus(); // its button is no more
    try {
      const done = await data(
        api.POST("/v1/operations/dead-letters/{job_id}/retry", {
          params: { path: { job_id: letter.job_id } },
        }),
      );
      toast(
        done.stages
          ? `Job ${letter.job_id} is retried: ${counted(done.stages, "stage")} of its video.`
          : `Nothing of the video of job ${letter.job_id} was left to retry.`,
      );
      retried();
    } catch (error) {
      setGone((was) => new Set([...was].filter((id) => id !== letter.job_id)));
      toast(`Job ${letter.job_id} was not retried. ${detailOf(error)}`, { tone: "bad" });
    }
    polled.again();
  }

  return (
    <div class="whole" ref={place}>
      <Section
        title="Dead letters"
        empty={letters?.length === 0 && !pages.newer ? "No job was given up." : null}
        error={polled.error}
        again={polled.again}
      >
        <Table
          caption="Dead letters, newest first"
          columns={["Job", "Given up", "Stage", "Why", "Tries", "Video", "Owner", "Retry"]}
        >
          {letters?.map((one) => (
            <tr key={one.job_id}>
              <th scope="row">{one.job_id}</th>
              <td>
                <Ago at={one.failed_at} />
              </td>
              <td>{STAGES[one.stage]}</td>
              <td class="wide">
                <span class="badge bad">{one.code ?? "unknown"}</span> {one.message}
              </td>
              <td class="number">{one.attempts + one.crash_count}</td>
              <td>
                <Id of={one.video_id} />
              </td>
              <td>
                <Id of={one.owner_id} />
              </td>
              <td class="act">
                <button
                  type="button"
                  class="button small"
                  aria-label={`Retry job ${one.job_id}`}
                  onClick={() => void retry(one)}
                >
                  Retry
                </button>
              </td>
            </tr>
          ))}
        </Table>
        <Turn pages={pages} next={polled.data?.page.next_token} of="dead letters" />
      </Section>
    </div>
  );
}
