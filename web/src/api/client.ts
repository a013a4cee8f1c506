/** Calls of the API, typed by its OpenAPI document (schema.d.ts). */
import createClient, { type Middleware } from "openapi-fetch";
import { credential, signedOut } from "../session";
import type { paths } from "./schema";

/** What the API says of an error (RFC 9457); `code` is stable, `detail` is for people. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly retryAfterS: number | null = null,
  ) {
    super(detail);
  }
}

const UNREACHABLE = new Problem(
  0,
  "unreachable",
  "Scenebook cannot be reached. Check the network; what you did may not have arrived.",
);

/** The headers that say who is calling; empty where nobody has to sign in. */
export function authorization(): Record<string, string> {
  return credential.value ? { Authorization: `Bearer ${credential.value}` } : {};
}

const identified: Middleware = {
  onRequest({ request }) {
    for (const [name, value] of Object.entries(authorization())) request.headers.set(name, value);
  },
  async onResponse({ response }) {
    if (response.ok) return;
    const error = await problemOf(response);
    if (error.status === 401) signedOut(error.message);
    throw error;
  },
  onError({ error }) {
    return isAborted(error) ? undefined : UNREACHABLE;
  },
};

/** The typed client. Its calls throw Problem, so that `data` is always there: see `data`. */
export const api = createClient<paths>();
api.use(identified);

/** The data of an answer of `api`: errors were thrown before. */
export async function data<T>(call: Promise<{ data?: T }>): Promise<T> {
  return (await call).data as T;
}

/** The error that a response which is not ok stands for. */
export async function problemOf(response: Response): Promise<Problem> {
  const wait = Number(response.headers.get("Retry-After"));
  const said = await response.json().catch(() => ({}));
  return new Problem(
    response.status,
    said.code ?? "unknown",
    said.detail ?? `The service answered ${response.status}.`,
    wait > 0 ? wait : null,
  );
}

/** Whether a call ended because nobody waits for it any more. */
export function isAborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** What to tell a person about whatever was thrown. */
export function detailOf(error: unknown): string {
  return error instanceof Error ? error.message : "Something went wrong. Try again.";
}

/** A signed URL as this page reaches it: PUBLIC_URL may be another name of the same service. */
export function here(url: string): string {
  const { pathname, search } = new URL(url, location.origin);
  return pathname.replace(/^\/+/, "/") + search; // two slashes would begin the name of a host
}
