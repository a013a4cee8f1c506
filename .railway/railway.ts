// The whole project on Railway: `railway config plan` shows what would change, `railway config
// apply` changes it. It says what infra/railway/*.toml say, and the variables besides; a test
// compares the two.
import { bucket, defineRailway, image, preserve, project, redis, ref, service, volume } from "railway/iac";

const API = "infra/api.Dockerfile";
const WORKER = "infra/worker.Dockerfile";
const BOTH = ["/infra/*.Dockerfile", "/infra/*.lock", "/infra/railway/**", "/migrations/**", "/pyproject.toml"];
const WORKS = [...BOTH, "/scenebook/**", "/worker/**"];
const SERVES = ["/api/**", ...BOTH, "/railway.toml", "/scenebook/**", "/web/**"];

const built = (dockerfilePath: string, watchPatterns: string[]) => ({
  builder: "DOCKERFILE" as const,
  dockerfilePath,
  watchPatterns,
});

const deployed = (procfileLine: string, drainingSeconds: number) => ({
  startCommand: `/bin/sh -c '${procfileLine}'`,
  preDeployCommand: ["scenebook migrate"],
  restartPolicyType: "ALWAYS" as const,
  drainingSeconds,
  overlapSeconds: 20,
});

export default defineRailway(() => {
  // Railway's own Postgres has no pgvector. Set POSTGRES_PASSWORD once, by hand, to a long secret.
  const data = volume("postgres-data");
  const database = service("Postgres", {
    source: image("pgvector/pgvector:pg18"),
    env: {
      POSTGRES_USER: "postgres",
      POSTGRES_DB: "railway",
      POSTGRES_PASSWORD: preserve(),
      DATABASE_URL:
        "postgresql://${{POSTGRES_USER}}:${{POSTGRES_PASSWORD}}@${{RAILWAY_PRIVATE_DOMAIN}}:5432/${{POSTGRES_DB}}",
      RAILWAY_SHM_SIZE_BYTES: "268435456", // an index is built in it, in parallel
    },
    volumeMounts: { "/var/lib/postgresql": data },
  });
  const broker = redis("Redis");
  const videos = bucket("videos");

  const shared = {
    DATABASE_URL: database.env.DATABASE_URL,
    REDIS_URL: broker.env.REDIS_URL,
    STORAGE_URL: "s3://${{videos.BUCKET}}",
    AWS_ACCESS_KEY_ID: ref(videos, "ACCESS_KEY_ID"),
    AWS_SECRET_ACCESS_KEY: ref(videos, "SECRET_ACCESS_KEY"),
    AWS_REGION: ref(videos, "REGION"),
    // Railway's buckets are hosts: this address names the bucket, and requests do not repeat it.
    AWS_ENDPOINT_URL: "https://${{videos.BUCKET}}.storage.railway.app",
    AWS_VIRTUAL_HOSTED_STYLE_REQUEST: "true",
    TORCH_INDEX_URL: preserve(), // read while the image is built
  };
  const web = service("web", {
    build: built(API, SERVES),
    deploy: { ...deployed("exec python -m api", 30), healthcheckPath: "/readyz", healthcheckTimeout: 300 },
    env: {
      ...shared,
      SCENEBOOK_SECRET_KEY: preserve(),
      JWT_JWKS_URL: preserve(), // or JWT_SECRET; neither where API keys are enough
      PUBLIC_URL: "https://${{RAILWAY_PUBLIC_DOMAIN}}",
      TRUSTED_PROXIES: "1",
    },
  });
  const worker = service("worker", {
    build: built(WORKER, WORKS),
    deploy: deployed(
      "exec python -m celery -A worker.app worker --without-gossip --without-mingle -O fair",
      60,
    ),
    env: {
      ...shared,
      METRICS_PORT: "9464",
      // In 2 GB: what takes more ends alone, and not the worker.
      ENCODER_CHILD_MEMORY_MB: "1200",
      MEDIA_CHILD_MEMORY_MB: "1200",
    },
  });
  const relay = service("relay", {
    build: built(API, WORKS),
    deploy: deployed("exec python -m worker.relay", 20),
    env: { ...shared, METRICS_PORT: "9464" },
  });
  return project("scenebook", { resources: [database, data, broker, videos, web, worker, relay] });
});
