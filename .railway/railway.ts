// The whole project on Railway: `railway config plan` shows what would change, `railway config
// apply` changes it. This form has no pre-deploy command, so the relay migrates before it starts;
// draining and overlap are set by Railway's own variables.
import { defineRailway, postgres, project, redis, service } from "railway/iac";

export default defineRailway(() => {
  // Needs pgvector: choose an image or template that has it.
  const database = postgres("postgres");
  const broker = redis("redis");
  const shared = {
    DATABASE_URL: database.env.DATABASE_URL,
    REDIS_URL: broker.env.REDIS_URL,
    // The bucket's AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL are set
    // on the services themselves: secrets do not belong into a repository.
    STORAGE_URL: "s3://scenebook",
    RAILWAY_DOCKERFILE_PATH: "infra/Dockerfile",
    RAILWAY_DEPLOYMENT_OVERLAP_SECONDS: "20",
  };
  const web = service("web", {
    start: "/bin/sh -c 'export API_HOST=::; exec python -m api'",
    healthcheckPath: "/readyz",
    // SCENEBOOK_SECRET_KEY, and JWT_SECRET or JWT_JWKS_URL, are set on the service itself.
    env: { ...shared, RAILWAY_DEPLOYMENT_DRAINING_SECONDS: "30", TRUSTED_PROXIES: "1" },
  });
  const worker = service("worker", {
    start:
      "/bin/sh -c 'exec python -m celery -A worker.app worker --without-gossip --without-mingle -O fair'",
    env: { ...shared, RAILWAY_DEPLOYMENT_DRAINING_SECONDS: "60" },
  });
  const relay = service("relay", {
    start: "/bin/sh -c 'scenebook migrate && exec python -m worker.relay'",
    env: { ...shared, RAILWAY_DEPLOYMENT_DRAINING_SECONDS: "10" },
  });
  return project("scenebook", { resources: [database, broker, web, worker, relay] });
});
