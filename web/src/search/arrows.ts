/** Arrow keys among results that lie in a grid. */

/** Where an arrow leads from one of the links; undefined where it leads nowhere. */
function target(links: HTMLElement[], from: number, key: string): HTMLElement | undefined {
  const top = (link: HTMLElement) => link.getBoundingClientRect().top;
  const first = links[0];
  if (!first) return undefined;
  const isBelow = links.findIndex((link) => top(link) > top(first));
  const columns = isBelow === -1 ? links.length : isBelow;
  const steps: Record<string, number> = {
    ArrowLeft: from - 1,
    ArrowRight: from + 1,
    ArrowUp: from - columns,
    ArrowDown: from + columns,
    Home: 0,
    End: links.length - 1,
  };
  const to = steps[key];
  return to === undefined ? undefined : links[to];
}

/** Move from the result that has the focus; `play` selects the link of each that is moved to. */
export function moveAmong(list: HTMLElement, play: string, event: KeyboardEvent): void {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const links = [...list.querySelectorAll<HTMLElement>(play)];
  const inside = (event.target as HTMLElement).closest("li[data-hit]");
  const from = links.findIndex((link) => inside?.contains(link));
  const to = from === -1 ? undefined : target(links, from, event.key);
  if (!to) return;
  event.preventDefault();
  to.focus();
}
