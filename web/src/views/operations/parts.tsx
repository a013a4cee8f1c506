/** What the tables of this view are made of. */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Failure } from "../../parts/Message";
import type { Pages } from "./polled";

interface SectionProperties {
  title: string;
  /** What there is to say where there are no rows; null where there are some, or none are known. */
  empty: string | null;
  error?: unknown;
  again?: () => void;
  class?: string;
  children: ComponentChildren;
}

/** One heading with what belongs to it, of a size that does not depend on what comes. */
export function Section({ title, empty, error, again, children, ...rest }: SectionProperties) {
  const id = useId();
  return (
    <section class={`panel ${rest.class ?? ""}`} aria-labelledby={id}>
      <h2 id={id} tabIndex={-1}>
        {title}
      </h2>
      {error !== undefined && <Failure error={error} retry={again} />}
      {empty === null ? children : <p class="soft">{empty}</p>}
    </section>
  );
}

interface TableProperties {
  /** Says what the rows are; read out, and not shown, for the heading says it. */
  caption: string;
  columns: readonly string[];
  children: ComponentChildren;
}

/** A table that scrolls in its own place, by the keyboard too. */
export function Table({ caption, columns, children }: TableProperties) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
    <section class="scroll" tabIndex={0} aria-label={caption}>
      <table>
        <caption class="hidden-but-read">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </section>
  );
}

/** An id: its beginning is shown, all of it is read, selected and copied. */
export function Id({ of }: { of: string | number }) {
  return (
    <code class="id" title={String(of)}>
      {of}
    </code>
  );
}

/** The ways to newer and older rows. */
export function Turn({
  pages,
  next,
  of,
}: {
  pages: Pages;
  next: string | null | undefined;
  of: string;
}) {
  return (
    <nav class="row turn" aria-label={`Pages of ${of}`}>
      <button
        type="button"
        class="button small"
        disabled={pages.newer === undefined}
        onClick={pages.newer}
      >
        Newer
      </button>
      <button
        type="button"
        class="button small"
        disabled={!next}
        onClick={() => next && pages.older(next)}
      >
        Older
      </button>
    </nav>
  );
}
