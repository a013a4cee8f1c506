/** The title of the browser's tab while a view is shown. */
import { useEffect } from "preact/hooks";

export function useTitle(title: string | undefined): void {
  useEffect(() => {
    document.title = title ? `${title} · Scenebook` : "Scenebook";
  }, [title]);
}
