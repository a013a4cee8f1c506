import { useTitle } from "../parts/title";

export function NotFound() {
  useTitle("Not found");
  return (
    <>
      <h1>There is no such page</h1>
      <p>
        Go to <a href="/">the library</a> or <a href="/search">the search</a>.
      </p>
    </>
  );
}
