/** What a view says instead of its content: an error with another try, or that there is nothing. */
import type { ComponentChildren } from "preact";
import { detailOf } from "../api/client";

export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  return (
    <div class="panel row" role="alert">
      <span>{detailOf(error)}</span>
      {retry && (
        <button type="button" class="button small" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Nothing({ children }: { children: ComponentChildren }) {
  return <div class="panel soft">{children}</div>;
}
