#!/usr/bin/env bash
# Restores a backup: DATABASE_URL=… STORAGE_URL=… infra/restore.sh DIRECTORY
#
# DATABASE_URL names an empty database whose user owns it, STORAGE_URL a directory that is not there
# yet or the bucket as it is. Nothing else may run: stop workers, relay and API first. What differs
# between the two is listed at the end, and mended by `scenebook reconcile --apply`.
set -eu -o pipefail

directory=${1:?Name the directory of the backup.}
: "${DATABASE_URL:?}"
url=${MIGRATIONS_DATABASE_URL:-$DATABASE_URL} # a login that may own the tables
url=${url/+psycopg/}
here=$(cd "$(dirname "$0")/.." && pwd)
scenebook=${SCENEBOOK:-scenebook}
psql() { "${PG_BIN:+$PG_BIN/}psql" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname="$url" "$@"; }

if [ -n "$(psql --tuples-only --no-align --command="select to_regclass('public.videos')")" ]; then
    echo "The database has videos already. Restore into an empty one." >&2
    exit 1
fi
case "${STORAGE_URL:?}" in
file://*)
    storage=${STORAGE_URL#file://}
    if [ -n "$(ls -A "$storage" 2>/dev/null)" ]; then
        echo "$storage is not empty. Restore into a directory that is not there yet." >&2
        exit 1
    fi
    mkdir -p "$storage"
    cp -a "$directory/storage/." "$storage/"
    ;;
esac

# Roles belong to the cluster and are in no dump: make what is missing first.
psql --single-transaction --output=/dev/null \
    --file="$here/migrations/versions/0001_initial.platform.sql" \
    --file="$here/migrations/versions/0007_operations.role.sql"
"${PG_BIN:+$PG_BIN/}pg_restore" --clean --if-exists --no-owner --single-transaction \
    --dbname="$url" "$directory/database.dump"
psql --command="analyze"
$scenebook migrate
$scenebook reconcile
