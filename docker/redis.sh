#!/bin/sh
# Redis with a user for each part: their rights are in redis-users.acl, their passwords in the environment, hashes in the file it reads.
set -eu
umask 077
users=$(mktemp)
hash_of() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
sed \
    -e "s/@web@/#$(hash_of "$SUREFOOT_REDIS_WEB_PASSWORD")/" \
    -e "s/@relay@/#$(hash_of "$SUREFOOT_REDIS_RELAY_PASSWORD")/" \
    -e "s/@worker@/#$(hash_of "$SUREFOOT_REDIS_WORKER_PASSWORD")/" \
    -e "s/@services@/#$(hash_of "$SUREFOOT_REDIS_SERVICES_PASSWORD")/" \
    -e "s/@flower@/#$(hash_of "$SUREFOOT_REDIS_FLOWER_PASSWORD")/" \
    -e "s/@operator@/#$(hash_of "$SUREFOOT_REDIS_OPERATOR_PASSWORD")/" \
    "$(dirname "$0")/redis-users.acl" >"$users"
# It keeps what it was given and evicts nothing: a lost message costs the relay a round, not a job.
exec redis-server --aclfile "$users" --protected-mode no --proto-max-bulk-len 8mb --appendonly yes --appendfsync everysec --save "" --maxmemory-policy noeviction "$@"
