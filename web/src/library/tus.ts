/** How this page speaks tus with the service: who it is, what it retries, what it remembers. */
import {
  type DetailedError,
  defaultOptions,
  type HttpResponse,
  type PreviousUpload,
  Upload as Tus,
  type UploadOptions,
} from "tus-js-client";
import { authorization, Problem, problemOf } from "../api/client";
import { freshKey } from "../fresh";
import { me, signedOut } from "../session";

// Long enough to be fast, short enough for proxies that end long requests.
const CHUNK_BYTES = 64_000_000;
const SOONEST_MS = 1000;
const LATEST_MS = 30_000;
// Of a stored upload that cannot be gone on with: a new one begins.
const LOST = new Set([404, 409, 410]);

/** The options of one upload; `wanted` says whether it still is. */
export function options(name: string, wanted: () => boolean): UploadOptions {
  // A creation that is repeated because its answer was lost is done once.
  let creation = freshKey();
  return {
    endpoint: "/v1/uploads",
    chunkSize: CHUNK_BYTES,
    // uploads.ts waits by itself: it knows when the network is back.
    retryDelays: null,
    removeFingerprintOnSuccess: true,
    metadata: { filename: name },
    fingerprint: (file) =>
      Promise.resolve(`${whose()}${file.name}-${file.size}-${file.lastModified}`),
    onBeforeRequest: (request) => {
      if (!wanted() && request.getMethod() !== "DELETE") throw new Error("It is stopped.");
      for (const [header, value] of Object.entries(authorization()))
        request.setHeader(header, value);
      if (request.getMethod() === "POST") request.setHeader("Idempotency-Key", creation);
    },
    onAfterResponse: async (request, response) => {
      if (response.getStatus() < 400) return;
      if (request.getMethod() === "HEAD" && LOST.has(response.getStatus())) {
        creation = freshKey();
        return;
      }
      const problem = await asProblem(response);
      if (problem.status === 401) signedOut(problem.message);
      throw problem;
    },
  };
}

/** Stored uploads of another owner are none of ours. */
function whose(): string {
  return `scenebook-${me.value?.owner_id ?? "unknown"}-`;
}

async function asProblem(response: HttpResponse): Promise<Problem> {
  const wait = response.getHeader("Retry-After");
  const said = new Response(response.getBody(), {
    status: response.getStatus(),
    headers: wait ? { "Retry-After": wait } : {},
  });
  return problemOf(said);
}

/** When to try again after an error, in ms; null where that does not help. */
export function nextTryMs(error: Error, tries: number): { problem: Error; afterMs: number | null } {
  const backOffMs = Math.min(SOONEST_MS * 2 ** tries, LATEST_MS);
  const cause = error instanceof Problem ? error : (error as DetailedError).causingError;
  if (!(cause instanceof Problem) || cause.status === 0) {
    const offline = new Error("Waiting for the network; it goes on by itself.");
    return { problem: offline, afterMs: backOffMs };
  }
  // Of two requests the service takes the later one; this one asks where to go on.
  if (cause.code === "wrong_offset") {
    return { problem: new Error("Interrupted; it goes on by itself."), afterMs: backOffMs };
  }
  if (!passes(cause)) return { problem: cause, afterMs: null };
  return { problem: cause, afterMs: Math.max(backOffMs, (cause.retryAfterS ?? 0) * 1000) };
}

/** Whether the reason goes away by itself. */
function passes({ status, code }: Problem): boolean {
  if (status === 429) return code !== "quota_exceeded";
  if (status === 409) return code === "request_in_progress";
  return status === 408 || (status >= 500 && status !== 507);
}

/** The video that an upload has become. */
export function videoOf(response: HttpResponse): string | null {
  return response.getHeader("Scenebook-Video-Id") ?? null;
}

/** What this browser knows of an earlier upload of the same file. */
export async function remembered(tus: Tus): Promise<PreviousUpload | undefined> {
  return (await tus.findPreviousUploads()).at(-1);
}

/** Uploads of this owner that were broken off, by this browser's memory. */
export async function brokenOff(): Promise<PreviousUpload[]> {
  const all = await defaultOptions.urlStorage.findAllUploads();
  return all.filter((one) => one.urlStorageKey.startsWith(`tus::${whose()}`));
}

/** Give up an upload that was broken off. What cannot be removed at the service expires there. */
export async function giveUp({ urlStorageKey, uploadUrl }: PreviousUpload): Promise<void> {
  await defaultOptions.urlStorage.removeUpload(urlStorageKey);
  if (!uploadUrl) return;
  const asOwner = { ...options("", () => true), httpStack: defaultOptions.httpStack };
  await Tus.terminate(uploadUrl, asOwner).catch(() => {});
}
