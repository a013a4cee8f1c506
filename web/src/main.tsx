/** The page's entry: its styles, its routes, and where it is put. */
import "./style/tokens.css";
import "./style/base.css";
import { render } from "preact";
import { LocationProvider, lazy, Route, Router } from "preact-iso";
import { Shell } from "./shell/Shell";
// The first view comes with the page, the others when they are opened.
import { Library } from "./views/Library";
import { NotFound } from "./views/NotFound";

const Search = lazy(() => import("./views/Search").then((view) => view.Search));
const Player = lazy(() => import("./views/Player").then((view) => view.Player));
const SceneInspector = lazy(() => import("./views/SceneInspector").then((v) => v.SceneInspector));
const Operations = lazy(() => import("./views/Operations").then((view) => view.Operations));

// The API answers these paths with the page (api/page.py).
function Page() {
  return (
    <LocationProvider>
      <Shell>
        <Router>
          <Route path="/" component={Library} />
          <Route path="/search" component={Search} />
          <Route path="/videos/:id" component={Player} />
          <Route path="/scenes/:id" component={SceneInspector} />
          <Route path="/operations" component={Operations} />
          <Route default component={NotFound} />
        </Router>
      </Shell>
    </LocationProvider>
  );
}

const root = document.getElementById("page");
if (root) render(<Page />, root);
