#!/usr/bin/env bash
# Backs a deployment up: DATABASE_URL=… STORAGE_URL=… infra/backup.sh DIRECTORY [database|storage]
#
# The database first, the storage after: an object without a row is removed by `scenebook reconcile`,
# and a row without an object is a loss. Neither is stopped or locked meanwhile. PG_BIN names the
# directory of pg_dump, which must be as new as the server.
set -eu -o pipefail

directory=${1:?Name a directory for the backup.}
part=${2:-all}
mkdir -p "$directory"
chmod 700 "$directory" # it holds everything that owners have stored, and hashes of their keys

if [ "$part" != storage ]; then
    "${PG_BIN:+$PG_BIN/}pg_dump" --format=custom --file="$directory/database.dump.new" \
        --dbname="${DATABASE_URL/+psycopg/}"
    mv "$directory/database.dump.new" "$directory/database.dump"
    date -u +%Y-%m-%dT%H:%M:%SZ >"$directory/database.time"
fi

if [ "$part" != database ]; then
    case "${STORAGE_URL:?}" in
    file://*)
        mkdir -p "$directory/storage"
        # What an owner deletes meanwhile is gone from the rows too; anything else is an error.
        said=$(LC_ALL=C cp -a "${STORAGE_URL#file://}/." "$directory/storage/" 2>&1) ||
            if grep -v "No such file or directory$" <<<"$said" >&2; then exit 1; fi
        ;;
    *)
        echo "The storage is a bucket: keep it by the bucket's own versioning or replication," >&2
        echo "with what is deleted kept for as long as the dumps are." >&2
        ;;
    esac
    date -u +%Y-%m-%dT%H:%M:%SZ >"$directory/storage.time"
fi
