/** What is said kindly in place of a video or scene that does not exist. */
import { useTitle } from "./title";
import "./missing.css";

export function Missing({ what, why }: { what: "video" | "scene"; why: string }) {
  useTitle(`No such ${what}`);
  return (
    <div class="panel missing">
      <h1>There is no such {what}</h1>
      <p>{why}</p>
      <p class="row">
        <a class="button" href="/">
          Go to the library
        </a>
        <a class="button" href="/search">
          Search
        </a>
      </p>
    </div>
  );
}
